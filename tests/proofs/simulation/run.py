"""One simulated run: put together as the command does it, on a loop, a disk and an API of its own
world, and killed, stopped or hindered as its plan has it."""

from __future__ import annotations

import errno
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final
from unittest.mock import patch

import msgspec

from tests.proofs.simulation import checks
from tests.proofs.simulation.api import Api
from tests.proofs.simulation.client import SimulatedClient
from tests.proofs.simulation.disk import Platter, SimulatedDisk
from tests.proofs.simulation.listing import PAGE_SIZE, ListedClient
from tests.proofs.simulation.loop import SimulatedLoop, Timeline
from tests.proofs.simulation.process import Process
from tests.proofs.simulation.scenario import RunPlan, Scenario
from tests.proofs.simulation.source import SimulatedSource
from tests.proofs.simulation.witness import Witness
from worker.app.composition import limits_of, make_pacer, policy_of, statuses_of
from worker.app.process.signals import stop_on_signals
from worker.core.clock import Clock
from worker.core.errors import ExitCode, LedgerError
from worker.core.events import Event, OutcomesRecorded, RunFinished
from worker.core.tally import Tally
from worker.core.target import Target
from worker.ledger import Ledger
from worker.pacing.pacer import MakePacer, Pacer
from worker.reading.statuses import StatusReader
from worker.runner import EventDispatcher, Limits, Runner
from worker.runner.ports import LedgerPort, SourcePort
from worker.settings import ApiKey, Settings

LOG: Final = Path("/logs/results.jsonl")
_EPOCH: Final = datetime(2026, 11, 23, tzinfo=UTC)
KEY: Final = ApiKey("test_0aMiZu7o3Kq9f3a9")
_PID: Final = 4711
_TICK_S: Final = 30.0
_CLOCK_ERROR_S: Final = 1.0
"""A clock that is set forward by more, after the last outcome of a run, may end the next run's wait
for the API too early."""


@dataclass
class World:
    """What runs share: time, the disk, the API, and how far the wall clock is off."""

    scenario: Scenario
    random: Random
    timeline: Timeline
    platter: Platter
    api: Api
    clock_off_s: float = 0.0

    def utc(self, now: float) -> datetime:
        return _EPOCH + timedelta(seconds=now + self.clock_off_s)


@dataclass
class Facts:
    """What is known of one run: `finished` is None where it died or was never begun."""

    plan: RunPlan
    settings: Settings
    began_at: float
    key: int
    limits: Limits | None = None
    witness: Witness = field(default_factory=Witness)
    finished: RunFinished | None = None
    ended_at: float = 0.0
    signalled_at: float | None = None
    disk_failed: bool = False
    source_failed: bool = False
    source_gave_at: float = 0.0
    clock_set_forward: bool = False
    may_miss_redis: bool = False

    @property
    def may_have_waited_for_source(self) -> bool:
        """Whether nothing may have been left to send between the last reply and the end."""
        return self.is_over or self.source_gave_at > self.witness.replied_at

    @property
    def exit_code(self) -> ExitCode | None:
        return None if self.finished is None else self.finished.exit_code

    @property
    def is_over(self) -> bool:
        """Whether the run came to its end, with nothing left."""
        return self.exit_code in (ExitCode.OK, ExitCode.SOME_FAILED)


class SimulatedClock(Clock):
    """The clock of a simulated loop, beside a wall clock that may be set."""

    def __init__(self, loop: SimulatedLoop, world: World) -> None:
        self._loop = loop
        self._world = world

    def now(self) -> float:
        return self._loop.time()

    def utc(self) -> datetime:
        return self._world.utc(self.now())

    def timestamp(self) -> str:
        return self.utc().isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def nap(self, seconds: float) -> None:
        self._loop.skip(max(seconds, 1e-9))


class SimulatedRun:
    """One process. `carry_out` raises Died where it dies, and Violation where a promise breaks."""

    def __init__(self, world: World, name: str, plan: RunPlan) -> None:
        now = world.timeline.now
        self.name = name
        self.world = world
        self.process = Process()
        self.loop = SimulatedLoop(  # type: ignore[abstract]
            self.process, world.random, world.timeline
        )
        self.clock = SimulatedClock(self.loop, world)
        settings = _settings(world.scenario, plan, self.clock)
        self.facts = Facts(plan, settings, now, world.api.key_on_file(now))
        self.disk = SimulatedDisk(
            world.platter, self.process, self._before, lambda: self.clock.utc().timestamp()
        )
        if plan.dies_at_step is not None:
            self.process.at_step[plan.dies_at_step] = self.process.die

    def carry_out(self) -> None:
        ledger = self.open()
        if ledger is None:
            return
        try:
            self.loop.run(self.main(ledger))
        finally:
            if self.process.is_alive:
                ledger.close()

    def open(self) -> Ledger | None:
        """The ledger; None where the disk keeps it from being opened."""
        try:
            with _named_alike():
                return Ledger.open(
                    LOG,
                    self.name,
                    force=self.facts.plan.force,
                    target=_target(self.facts.key),
                    disk=self.disk,
                    writer=_Writer(self.loop),
                )
        except LedgerError as error:
            told = f"the ledger cannot be opened: {error}"
            checks.expect(self.facts.disk_failed, told)
            return None

    async def main(self, log: Ledger) -> None:
        """What the command does within its loop."""
        world, settings = self.world, self.facts.settings
        dispatcher = EventDispatcher([_DiskWatch(world.platter)])
        limits = limits_of(settings, self.clock, tick_s=_TICK_S)
        self.facts.limits = limits
        self._plan_ahead()
        async with self.meet(log, dispatcher.notice) as (source, ledger, make):
            probe = world.scenario.first_probe
            pacer = make_pacer(
                settings, KEY, self.clock, dispatcher.notice, make, first_probe=probe
            )
            client, tally = self._client(log), Tally()
            runner = Runner(
                run=self.name,
                results=str(LOG),
                source=source,
                client=client,
                pacer=pacer,
                ledger=ledger,
                dispatcher=dispatcher,
                clock=self.clock,
                policy=policy_of(settings),
                limits=limits,
                random=world.random,
                tally=tally,
                statuses=self._statuses(client, pacer, tally),
            )
            with stop_on_signals(runner.stop, runner.abort):
                self.facts.finished = await runner.run()
        if isinstance(source, SimulatedSource):
            self.facts.source_failed = source.failed
            self.facts.source_gave_at = source.gave_at
        checks.expect(not runner.defects, f"defects: {runner.defects}")

    @asynccontextmanager
    async def meet(
        self, log: Ledger, notify: Callable[[Event], None]
    ) -> AsyncIterator[tuple[SourcePort, LedgerPort, MakePacer]]:
        """The run's source, ledger and kind of pacer."""
        del notify
        scenario = self.world.scenario
        source = SimulatedSource(scenario, self.world.random, self.facts.plan.source_fails_after)
        yield source, log, Pacer

    def _client(self, log: Ledger) -> SimulatedClient:
        return SimulatedClient(
            self.world.api,
            self.process,
            self.facts.witness,
            key=self.facts.key,
            on_key_renewed=lambda renewed: log.name_target(_target(renewed)),
            connect_timeout_s=self.facts.settings.api.connect_timeout,
            timeout_s=self.facts.settings.api.timeout,
        )

    def _statuses(self, single: SimulatedClient, pacer: Pacer, tally: Tally) -> StatusReader | None:
        world, settings = self.world, self.facts.settings
        listing = world.scenario.listing
        if listing is None:
            return None
        client = ListedClient(world.api, self.process, self.facts.witness, single, listing)
        return statuses_of(
            settings,
            client,
            pacer,
            self.clock,
            tally,
            lambda _: None,
            random=world.random,
            page_size=PAGE_SIZE,
        )

    def _plan_ahead(self) -> None:
        for delay in self.facts.plan.signals_s:
            self.loop.call_later(delay, self._send_signal)
        for delay, seconds in self.facts.plan.clock_set:
            self.loop.call_later(delay, self._set_clock, seconds)

    def _send_signal(self) -> None:
        if self.facts.finished is None:
            self.loop.send_signal(getattr(signal, self.facts.plan.signal))
            self.facts.signalled_at = self.facts.signalled_at or self.loop.time()

    def _set_clock(self, seconds: float) -> None:
        self.world.clock_off_s += seconds
        self.facts.clock_set_forward = self.facts.clock_set_forward or seconds > _CLOCK_ERROR_S

    def _before(self, name: str) -> None:
        """What befalls an operation of the disk that changes something."""
        del name
        plan, process = self.facts.plan, self.process
        process.disk_operations += 1
        if process.disk_operations == plan.dies_at_operation:
            process.die()
        failing = plan.fails_at_operation
        if failing is not None and process.disk_operations >= failing:
            self.facts.disk_failed = True
            number = self.world.random.choice((errno.ENOSPC, errno.EIO))
            raise OSError(number, "the disk fails")


class _Writer(Executor):
    """The ledger's writer: the loop does its jobs, and a shutdown waits for them."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        del cancel_futures
        if wait:
            self._loop.work_off_jobs()


class _DiskWatch:
    """Holds every outcome that is counted against the disk, at that moment."""

    def __init__(self, platter: Platter) -> None:
        self._platter = platter

    def notice(self, event: Event) -> None:
        if isinstance(event, OutcomesRecorded):
            checks.counted_is_durable(event, self._platter.durable(LOG))


@contextmanager
def _named_alike() -> Iterator[None]:
    """A journal names process and host: longer ones would make another night of the seed's."""
    with (
        patch("worker.ledger.journal.os.getpid", return_value=_PID),
        patch("worker.ledger.journal.socket.gethostname", return_value="host"),
    ):
        yield


def _target(key: int) -> Target:
    return Target("https://api.example/v1", "test", f"{key:08x}")


def _settings(scenario: Scenario, plan: RunPlan, clock: Clock) -> Settings:
    replace, plain = msgspec.structs.replace, Settings()
    until = None
    if plan.until_s is not None:
        # The command takes whole minutes.
        at = clock.utc().astimezone() + timedelta(seconds=plan.until_s + 60.0)
        until = at.time().replace(second=0, microsecond=0)
    return replace(
        plain,
        pace=replace(
            plain.pace,
            rate=scenario.rate,
            concurrency=scenario.concurrency,
            window=scenario.window,
        ),
        retry=replace(
            plain.retry,
            max_attempts=scenario.max_attempts,
            on_ambiguous=scenario.on_ambiguous,
            check_first=scenario.check_first,
        ),
        stop=replace(
            plain.stop,
            patience=scenario.patience_s,
            suspicious_after=plain.stop.suspicious_after if plan.suspects else None,
            limit=plan.limit,
            max_duration=plan.max_duration_s,
            until=until,
        ),
    )
