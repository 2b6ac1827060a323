"""What an outage in the middle of a run costs: ids, requests, and time after its end."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.bench.contenders import Job, complete_sessions, write_ids
from tests.bench.effort import Effort
from tests.bench.figures import next_success_s
from tests.bench.process import BenchError, Command, python, run, started
from tests.bench.table import Column, Row, Table, Target

_RATE = 10
_FLAP_S = 2.0
_LONGEST_AFTER_S = 90.0
_COLUMNS = (
    Column("failed", "ids failed"),
    Column("sent", "requests into the outage"),
    Column("back_s", "s from return to next success", places=2),
    Column("code", "exit code"),
)


@dataclass(frozen=True)
class Scenario:
    """`settings` differ from the defaults, with which a run is back within one probe: that is, no
    later than the last pause and the request timeout, which is a minute, after the API's return.
    """

    name: str
    mode: str
    flapping: bool = False
    settings: tuple[tuple[str, str], ...] = ()
    back_within_s: float = 5.0


_SHORT_HOLE = Scenario(
    "black hole, timeout and longest pause 2 s",
    "blackhole",
    settings=(("WORKER_API_TIMEOUT", "2s"), ("WORKER_RETRY_BACKOFF_MAX", "2s")),
)
_DEFAULT_HOLE = Scenario("black hole, default settings", "blackhole", back_within_s=120.0)
_SCENARIOS = (
    Scenario("connections refused", "refuse"),
    _SHORT_HOLE,
    Scenario("503 to all", "503"),
    Scenario("down and up, 2 s each", "refuse", flapping=True),
)


@dataclass(frozen=True)
class Outage:
    """Seconds since the server's start."""

    begins_s: float
    ends_s: float

    def spans(self, *, flapping: bool) -> list[tuple[float, float]]:
        if not flapping:
            return [(self.begins_s, self.ends_s)]
        count = max(1, int((self.ends_s - self.begins_s) // (2 * _FLAP_S)))
        starts = [self.begins_s + 2 * _FLAP_S * number for number in range(count)]
        return [(start, start + _FLAP_S) for start in starts]

    def ids(self, *, flapping: bool, after_s: float) -> int:
        """Enough for a run to last till `after_s` after the outage, but not for much longer."""
        up_s = self.begins_s + after_s
        if flapping:
            up_s += (self.ends_s - self.begins_s) / 2
        return round(up_s * _RATE)


def outage(effort: Effort, directory: Path) -> Table:
    """All at the same time: they hardly use the machine."""
    spell = Outage(effort.before_outage_s, effort.before_outage_s + effort.outage_s)
    scenarios = [*_SCENARIOS, *[_DEFAULT_HOLE][: effort.default_timeout]]
    rows = [Row(scenario.name) for scenario in scenarios]
    rounds = [
        (scenario, row, directory / f"{number}-{place}")
        for number in range(effort.rounds_or(2))
        for place, (scenario, row) in enumerate(zip(scenarios, rows, strict=True))
    ]
    with ThreadPoolExecutor(len(rounds)) as pool:
        measured = pool.map(
            lambda each: _measure(each[0], spell, effort.after_outage_s, each[2]), rounds
        )
        for (_, row, _), figures in zip(rounds, measured, strict=True):
            row.add(**figures)
    targets = []
    for scenario in scenarios:
        targets += [
            Target(scenario.name, "failed", "<=", 0),
            Target(scenario.name, "back_s", "<=", scenario.back_within_s),
        ]
        if not scenario.flapping:
            targets.append(Target(scenario.name, "sent", "<", 40))
    title = (
        f"complete-sessions at {_RATE}/s, {effort.outage_s:g} s of outage in the middle of a run"
    )
    return Table("outage", title, _COLUMNS, rows, targets)


def _measure(
    scenario: Scenario, spell: Outage, after_s: float, directory: Path
) -> dict[str, float]:
    directory.mkdir()
    count = spell.ids(flapping=scenario.flapping, after_s=after_s)
    ids = write_ids(directory / "ids.txt", count)
    spans = spell.spans(flapping=scenario.flapping)
    log = directory / "run.log"
    with _sandbox(scenario.mode, spans, directory) as url:
        returns_at = time.time() + spans[-1][1]
        command = complete_sessions("uvloop", "--log-format", "json")
        finished = run(
            replace(
                command(Job(url, ids, directory, _RATE)),
                stderr=log,
                settings=scenario.settings,
            ),
            directory,
            timeout_s=spell.ends_s * 2 + _LONGEST_AFTER_S,
        )
    records = _objects(directory / "results.jsonl")
    return judge(count, records, _objects(log), returns_at) | {"code": finished.code}


@contextmanager
def _sandbox(mode: str, spans: Iterable[tuple[float, float]], directory: Path) -> Iterator[str]:
    argv = python("-m", "worker", "sandbox", "--port", "0", "--any-id", "--limit", "0")
    argv += ["--outage-mode", mode, *(f"--outage={start:g}-{end:g}" for start, end in spans)]
    with started(Command(argv), directory, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        announced = server.stdout.readline().decode().split()
        if not announced:
            raise BenchError("the sandbox did not start")
        yield announced[-1]


def judge(
    ids: int,
    records: Iterable[dict[str, Any]],
    events: Iterable[dict[str, Any]],
    returns_at: float,
) -> dict[str, float]:
    """From the results log and the run's own log: each request that failed left a line there."""
    last = {record["id"]: record for record in records}
    done = [record for record in last.values() if record["outcome"] != "failed"]
    failures = ("retry_scheduled", "outcome_failed")
    return {
        "failed": ids - len(done),
        "sent": sum(event["event"] in failures for event in events),
        "back_s": next_success_s([_seconds(record["at"]) for record in done], returns_at),
    }


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def _objects(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]
