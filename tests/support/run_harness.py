"""What the tests of a run share: runs in this process, put together as the command does it."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from worker.api.client import Client
from worker.api.verdict import Answer, Reply
from worker.app.composition import limits_of, make_pacer, policy_of
from worker.core.clock import Clock
from worker.core.departure import Departure
from worker.core.errors import ExitCode
from worker.core.events import Event, Observer, RunFinished
from worker.core.outcomes import Outcome, Record
from worker.core.tally import Tally
from worker.ledger import Ledger, read_records
from worker.runner import EventDispatcher, Runner
from worker.runner.ports import ClientPort
from worker.sandbox.config import SandboxConfig
from worker.sandbox.faults import parse_faults
from worker.sandbox.server import Sandbox
from worker.sandbox.sessions import Status
from worker.settings import ApiKey, Settings, load
from worker.sources import AsyncSource, open_source

DONE = Answer(200, b'{"status": "processing"}')

KEY = "test_0aMiZu7o3Kq9f3a9"

FAST = {
    "api.connect_timeout": "2s",
    "api.timeout": "5s",
    "pace.rate": "10000",
    "retry.backoff_initial": "2ms",
    "retry.backoff_max": "10ms",
    "retry.throttle_initial": "2ms",
    "retry.throttle_max": "10ms",
    "retry.settle": "0s",
    "stop.outage_after": "10000",
    "stop.suspicious_after": "none",
    "stop.max_failures": "none",
    "stop.patience": "30s",
}
"""Settings with which no test has to wait for anything but what it is about."""

E = TypeVar("E", bound=Event)


def backlog(directory: Path, *lines: str) -> Path:
    path = directory / "backlog.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def results(directory: Path) -> Path:
    return directory / "backlog.results.jsonl"


def ids(count: int, start: int = 1) -> list[str]:
    return [f"5eb2b61e02df0a00{number:08x}" for number in range(start, start + count)]


def sessions(held: Iterable[str], status: Status = Status.STARTED, **config: Any) -> SandboxConfig:
    """A sandbox without a limit that holds these."""
    return SandboxConfig(sessions=dict.fromkeys(held, status), limit=0, **config)


def settings(**given: object) -> Settings:
    """The fast settings with others over them: `retry_max_attempts=2`."""
    names = {path.replace(".", "_"): path for path in load(flags={}, environ={}).origins}
    flags = FAST | {names[name]: str(value) for name, value in given.items()}
    return load(flags=flags, environ={}, cwd=Path("/nonexistent")).settings


class Seen:
    """An observer that keeps every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def notice(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]


class Ended:
    """How a run ended: its last event, every event, and the records of the whole log."""

    def __init__(self, finished: RunFinished, seen: Seen, results: Path) -> None:
        self.finished = finished
        self.seen = seen
        self.records = records_in(results)
        self.journal_stays = journal_of(results).exists()

    @property
    def code(self) -> ExitCode:
        return self.finished.exit_code

    def __getitem__(self, id: str) -> Record:
        """The id's last record."""
        return {record.id: record for record in self.records}[id]

    @property
    def outcomes(self) -> Counter[str]:
        """How many ids ended how, failed ones by their error's type."""
        last = {record.id: record for record in self.records}.values()
        return Counter(_ending(record) for record in last)


def _ending(record: Record) -> str:
    if record.outcome is Outcome.FAILED and record.error is not None:
        return record.error.type
    return record.outcome.value


class RunHarness:
    """Runs over one backlog and one results log; the runner at work stands in `runner`."""

    def __init__(self, directory: Path, url: str = "http://127.0.0.1:9/v1", **given: object):
        self.backlog = directory / "backlog.txt"
        self.results = directory / "backlog.results.jsonl"
        self.url = url
        self.given = given
        self.runner: Runner
        self._at_work = asyncio.Event()
        self._runs = 0

    async def at_work(self) -> Runner:
        """The runner, once a run was begun."""
        await self._at_work.wait()
        return self.runner

    async def run(
        self,
        lines: Iterable[str] = (),
        *,
        client: ClientPort | None = None,
        observers: Sequence[Observer] = (),
        source: AsyncSource | None = None,
        clock: Clock | None = None,
        before: Callable[[Runner], None] = lambda _: None,
        tls: ssl.SSLContext | None = None,
        **given: object,
    ) -> Ended:
        """One run; without `lines` over the backlog that is there."""
        if lines:
            self.backlog.write_text("".join(f"{line}\n" for line in lines))
        chosen = settings(api_base_url=self.url, **self.given | given)
        source = source or AsyncSource(open_source(str(self.backlog)))
        seen = Seen()
        self._runs += 1
        run = f"run-{self._runs}"
        with closing(source), closing(Ledger.open(self.results, run)) as ledger:
            async with client_for(chosen, tls=tls) as real:
                self.runner = _runner(
                    run, source, client or real, ledger, [seen, *observers], chosen, clock
                )
                before(self.runner)
                self._at_work.set()
                finished = await self.runner.run()
        assert finished.tally.balanced
        return Ended(finished, seen, self.results)


def client_for(settings: Settings, key: str = KEY, **given: Any) -> Client:
    return Client(
        settings.api.base_url,
        lambda: key,
        connect_timeout_s=settings.api.connect_timeout,
        timeout_s=settings.api.timeout,
        **given,
    )


def _runner(
    run: str,
    source: AsyncSource,
    client: ClientPort,
    ledger: Ledger,
    observers: Sequence[Observer],
    settings: Settings,
    clock: Clock | None,
) -> Runner:
    clock = clock or Clock()
    dispatcher = EventDispatcher(observers)
    return Runner(
        run=run,
        results="results",
        source=source,
        client=client,
        pacer=make_pacer(settings, ApiKey(KEY), clock, dispatcher.notice, first_probe=None),
        ledger=ledger,
        dispatcher=dispatcher,
        clock=clock,
        policy=policy_of(settings),
        limits=limits_of(settings, clock, tick_s=0.05),
        random=Random(1),
        tally=Tally(),
        statuses=None,
    )


def journal_of(results: Path) -> Path:
    return results.with_name(results.name + ".inflight")


def records_in(results: Path) -> list[Record]:
    """Every record; any other line is an error."""

    def refuse(number: int, line: bytes) -> None:
        raise AssertionError(f"line {number} is no record: {line!r}")

    return list(read_records(results, refuse)) if results.exists() else []


def events_in(output: str) -> list[dict[str, Any]]:
    """The events of a log in JSON; any other line is an error."""
    return [json.loads(line) for line in output.splitlines()]


@asynccontextmanager
async def harness(
    directory: Path, config: SandboxConfig, **given: object
) -> AsyncIterator[tuple[RunHarness, Sandbox]]:
    async with Sandbox(config) as sandbox:
        yield RunHarness(directory, sandbox.url, **given), sandbox


def faulty(held: Iterable[str], *faults: str, limit: int | None = None, **more: Any) -> Any:
    return sessions(held, faults=parse_faults(*faults, limit=limit), **more)


def methods(sandbox: Sandbox) -> dict[str, int]:
    return dict(sandbox.stats()["requests"]["by_method"])


class Held:
    """A client whose requests stay in flight until they are let go."""

    def __init__(self, reply: Reply = DONE) -> None:
        self._reply = reply
        self.sent: list[str] = []
        self.most_at_once = 0
        self.let_go = asyncio.Event()
        self._at_once = 0

    async def complete(self, id: str, departure: Departure) -> Reply:
        self.sent.append(id)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await self.let_go.wait()
        self._at_once -= 1
        return self._reply

    async def check(self, id: str, departure: Departure) -> Reply:
        raise AssertionError(f"nobody asked to read {id}")


class Scripted:
    """A client that gives each id's replies in turn, and the last one again and again."""

    def __init__(self, replies: dict[str, list[Reply]]) -> None:
        self._replies = {key: list(row) for key, row in replies.items()}
        self.sent: list[tuple[str, str]] = []

    async def complete(self, id: str, departure: Departure) -> Reply:
        return self._next("POST", id)

    async def check(self, id: str, departure: Departure) -> Reply:
        return self._next("GET", id)

    def _next(self, method: str, id: str) -> Reply:
        self.sent.append((method, id))
        row = self._replies.get(id, [DONE])
        return row.pop(0) if len(row) > 1 else row[0]
