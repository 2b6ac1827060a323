"""How much of a limit a contender uses, and how much of what it sends is refused."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.contenders import ASYNCIO, TIMETABLE, UVLOOP, Contender, Job, paced, write_ids
from tests.bench.effort import Effort
from tests.bench.figures import accepted_per_s, ratios, refused_share
from tests.bench.nginx import nginx
from tests.bench.process import Finished, run
from tests.bench.rounds import in_turn
from tests.bench.table import Column, Row, Table, Target
from worker.core.errors import ExitCode

_SPARE_S = 2.0
_KILL_AFTER_S = 2.0
_ENDS = (0, ExitCode.STOPPED, -signal.SIGKILL)
_COLUMNS = (
    Column("share", "accepted, share of the limit", places=3),
    Column("ratio", "to complete-sessions", places=2),
    Column("refused", "answered 429", places=1, percent=True),
    Column("cpu_s", "CPU, s", places=2),
    Column("requests", "requests"),
)
_CORE = Column("core", "of a core, start left out", places=2, percent=True)
_BEYOND = Column("beyond", "beyond an aiohttp loop that sleeps", places=2, percent=True)
_ON_A_CORE = (UVLOOP, ASYNCIO, TIMETABLE)
_MOST_REFUSED = 1 / 300


@dataclass(frozen=True)
class Limit:
    rate: int
    burst: str = ""

    def __str__(self) -> str:
        return f"{self.rate} r/s, {self.burst or 'no burst'}"


def pacing_10(effort: Effort, directory: Path) -> Table:
    """What pacing, log and journal cost is what the program takes beyond a bare loop's requests."""
    columns = (*_COLUMNS, _CORE, _BEYOND)
    table = _measure("pacing-10", Limit(10), effort.slow_ids, columns, effort, directory)
    targets = [Target(name, "beyond", "<", 0.01) for name in (UVLOOP, ASYNCIO)]
    return _with_targets(table, targets)


def pacing_500(effort: Effort, directory: Path) -> Table:
    limit = Limit(500, "burst=50 nodelay")
    table = _measure("pacing-500", limit, effort.fast_ids, _COLUMNS, effort, directory)
    return _with_targets(table, [])


def _with_targets(table: Table, more: Sequence[Target]) -> Table:
    own = (UVLOOP, ASYNCIO)
    table.targets = [
        *(Target(name, "share", ">=", 0.99) for name in own),
        *(Target(name, "refused", "<=", _MOST_REFUSED) for name in own),
        *more,
    ]
    return table


def _measure(
    name: str,
    limit: Limit,
    count: int,
    columns: Sequence[Column],
    effort: Effort,
    directory: Path,
) -> Table:
    window_s = count / limit.rate
    ids = write_ids(directory / "ids.txt", count)
    one_id = write_ids(directory / "one.txt", 1)
    knows_core = _CORE in columns

    def measure(contender: Contender, row: Row, own: Path) -> None:
        finished = _send(contender, row, limit, ids, own, window_s)
        if knows_core and contender.name in _ON_A_CORE:
            start = _send(contender, Row(""), limit, one_id, own / "start", window_s)
            row.add(core=(finished.cpu_s - start.cpu_s) / window_s)

    contenders = paced(window_s + _SPARE_S)
    rows = in_turn(contenders, measure, effort.rounds_or(2), directory)
    _compare(rows)
    title = f"{count:,} ids at {limit.rate}/s to a limiter of {limit}, for {window_s:g} s at most"
    return Table(name, title, columns, rows, plotted="share")


def _send(
    contender: Contender, row: Row, limit: Limit, ids: Path, own: Path, window_s: float
) -> Finished:
    with nginx(own / "nginx", limit=f"{limit.rate}r/s", burst=limit.burst) as server:
        job = Job(server.url, ids, own, limit.rate)
        bound_s = window_s + _SPARE_S + _KILL_AFTER_S
        finished = run(contender.command(job), own, timeout_s=bound_s)
        requests = server.requests()
    finished.must_be(*_ENDS)
    row.add(
        share=accepted_per_s(requests, window_s) / limit.rate,
        refused=refused_share(requests),
        cpu_s=finished.cpu_s,
        requests=len(requests),
    )
    return finished


def _compare(rows: Sequence[Row]) -> None:
    own = next((row for row in rows if row.name in (UVLOOP, ASYNCIO) and row.is_measured), None)
    bare = next((row for row in rows if row.name == TIMETABLE and row.is_measured), None)
    for row in rows:
        if own is not None and row.is_measured:
            row.add_all("ratio", ratios(row.figures["share"], own.figures["share"]))
        if bare is not None and row.name in (UVLOOP, ASYNCIO) and "core" in row.figures:
            own_core, bare_core = row.figures["core"], bare.figures["core"]
            row.add_all("beyond", [a - b for a, b in zip(own_core, bare_core, strict=True)])
