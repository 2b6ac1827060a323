"""Size and start: a million settled ids, memory over a long run, the first request, `--help`."""

from __future__ import annotations

import time
from pathlib import Path

from tests.bench.contenders import Job, complete_sessions, made_up_ids, write_ids
from tests.bench.effort import Effort
from tests.bench.figures import bytes_per_id
from tests.bench.nginx import nginx
from tests.bench.process import Command, Finished, python, resident_bytes, run, started
from tests.bench.rounds import report
from tests.bench.table import Column, Row, Table, Target

_MIB = 2**20
_LONGEST_S = 300.0
_HUGE = 10_000_000
_SAMPLE_S = 0.1
_EARLY_SHARE = 0.2
_NOWHERE = "http://127.0.0.1:9/v1"
_VALUE = Column("value", "figure", places=1)
_RECORD = (
    '{{"id":"{}","outcome":"processing","session_status":"processing","http_status":200,'
    '"error":null,"attempts":1,"via":"complete","latency_ms":87.4,"elapsed_ms":87.9,'
    '"at":"2026-11-23T01:02:03.456Z","run":"20261123T010000Z-7f3a","line":{}}}\n'
)


def scale(effort: Effort, directory: Path) -> Table:
    table = Table("scale", "size and start of complete-sessions (uvloop)", [_VALUE], [])
    rounds = effort.rounds_or(3)
    _settled(table, effort.settled_ids, rounds, directory)
    if effort.is_huge:
        _settled(table, _HUGE, 1, directory)
    _memory(table, effort.memory_ids, directory)
    _starts(table, effort.starts, directory)
    return table


def _settled(table: Table, count: int, rounds: int, directory: Path) -> None:
    seconds = Row(f"{count:,} settled ids skipped, s")
    peak = Row("their peak memory, MiB")
    each = Row("memory for an id remembered, bytes")
    if count == _HUGE:
        peak, each = Row(f"{count:,} ids: peak memory, MiB"), Row(f"{count:,} ids: bytes for each")
    fewer = count // 10
    for number in range(rounds):
        report(f"round {number + 1} of {rounds}: {count:,} settled ids")
        whole = _skip(directory, count)
        tenth = _skip(directory, fewer)
        seconds.add(value=whole.wall_s)
        peak.add(value=whole.peak_bytes / _MIB)
        each.add(value=bytes_per_id((fewer, tenth.peak_bytes), (count, whole.peak_bytes)))
    table.rows += [seconds, peak, each]
    targets = [Target(each.name, "value", "<=", 130)]
    if count != _HUGE:
        targets += [Target(seconds.name, "value", "<", 4)]
        targets += [Target(peak.name, "value", "<", 250)]
    table.targets = [*table.targets, *targets]


def _skip(directory: Path, count: int) -> Finished:
    """A run over ids that have all settled: no request is sent."""
    own = directory / f"settled-{count}"
    source, results = own / "ids.txt", own / "results.jsonl"
    if not own.exists():
        own.mkdir()
        write_ids(source, count)
        with results.open("w") as log:
            log.writelines(
                _RECORD.format(session, line) for line, session in enumerate(made_up_ids(count), 1)
            )
    command = complete_sessions("uvloop", "-q")(Job(_NOWHERE, source, own, 1))
    finished = run(command, own, timeout_s=_LONGEST_S)
    finished.must_be(0)
    return finished


def _memory(table: Table, count: int, directory: Path) -> None:
    """Beyond what remembering the ids takes, a run must not grow with its length."""
    report(f"memory over {count:,} ids")
    early, late = _watch(count, directory / "memory")
    growth = Row("memory gained for each id, bytes")
    if late[0] > early[0]:
        growth.add(value=bytes_per_id(early, late))
    rows = []
    for ids, held in (early, late):
        row = Row(f"memory of a run after {ids:,} ids, MiB")
        row.add(value=held / _MIB)
        rows.append(row)
    table.rows += [*rows, growth]
    table.targets = [*table.targets, Target(growth.name, "value", "<=", 130)]


def _watch(count: int, own: Path) -> tuple[tuple[int, int], tuple[int, int]]:
    """Ids settled and memory held, early in a run and at its end."""
    own.mkdir()
    ids = write_ids(own / "ids.txt", count)
    with nginx(own / "nginx", logged=False) as server:
        command = complete_sessions("uvloop", "-q")(Job(server.url, ids, own, 10_000))
        with started(command, own) as child:
            early = late = (0, 0)
            deadline = time.monotonic() + _LONGEST_S
            while child.poll() is None and time.monotonic() < deadline:
                settled = server.count()
                if settled > 0 and (held := resident_bytes(child.pid)) > 0:
                    late = (settled, held)
                    early = early if early[0] > count * _EARLY_SHARE else late
                time.sleep(_SAMPLE_S)
    return early, late


def _starts(table: Table, times: int, directory: Path) -> None:
    helped = Row("--help, ms")
    first = Row("first request after the start, ms")
    for number in range(times):
        own = directory / f"start-{number}"
        own.mkdir()
        done = run(Command(python("-m", "worker", "--help")), own, timeout_s=_LONGEST_S)
        helped.add(value=done.wall_s * 1000)
        first.add(value=_first_request_s(own) * 1000)
    table.rows += [helped, first]
    table.targets = [
        *table.targets,
        Target(helped.name, "value", "<", 150),
        Target(first.name, "value", "<", 500),
    ]


def _first_request_s(own: Path) -> float:
    ids = write_ids(own / "ids.txt", 1)
    with nginx(own / "nginx", limit="1000r/s") as server:
        command = complete_sessions("uvloop", "-q")(Job(server.url, ids, own, 10))
        began = time.time()
        run(command, own, timeout_s=_LONGEST_S)
        return server.requests()[0].at - began
