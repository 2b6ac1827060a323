"""How the program gets on with customers who share its limit, leave, and take all of it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.bench.contenders import PEERS, UVLOOP, Contender, Job, complete_sessions, curl, write_ids
from tests.bench.effort import Effort
from tests.bench.figures import Request, accepted_per_s, recovery_s, refused_share, within
from tests.bench.nginx import nginx
from tests.bench.process import BenchError, Command, python, run, started
from tests.bench.table import Column, Row, Table, Target
from tests.bench.tools import why_missing

_LIMIT = 10
_CUSTOMERS = 4
_CROWD = 12
_START_S = 5.0
_BACK_AT = 0.95
_BACK_FOR_S = 5.0
_COLUMNS = (
    Column("accepted", "beside 4/s: accepted a second", places=2),
    Column("refused", "of them refused", places=2, percent=True),
    Column("customers", "of the customers' refused", places=2, percent=True),
    Column("back_s", "alone again: s to 95 %", places=1),
    Column("per_minute", "beside 12/s: sent a minute", places=1),
)
_TARGETS = (
    Target(UVLOOP, "accepted", ">=", 5.7),
    Target(UVLOOP, "refused", "<=", 0.02),
    Target(UVLOOP, "customers", "<", 0.01),
    Target(UVLOOP, "back_s", "<", 30.0),
)


@dataclass(frozen=True)
class Phases:
    """Seconds with the customers, without them, and with a crowd of them."""

    shared_s: float
    alone_s: float
    crowded_s: float

    @property
    def whole_s(self) -> float:
        return self.shared_s + self.alone_s + self.crowded_s


def neighbour(effort: Effort, directory: Path) -> Table:
    """Rounds run at the same time, each with a limiter of its own: they hardly use the machine."""
    phases = Phases(effort.shared_s, effort.alone_s, effort.crowded_s)
    ids = write_ids(directory / "ids.txt", round(phases.whole_s + _START_S) * _LIMIT)
    bound = ("--max-duration", f"{phases.whole_s + _START_S:g}s", "-q")
    contenders = [
        Contender(UVLOOP, complete_sessions("uvloop", *bound), ("python:uvloop",)),
        Contender("curl --rate", curl(rated=True), ("curl",)),
    ]
    rows = [Row(contender.name, skipped=why_missing(contender.needs)) for contender in contenders]
    rounds = [
        (contender, row, directory / f"{number}-{place}")
        for number in range(effort.rounds_or(3))
        for place, (contender, row) in enumerate(zip(contenders, rows, strict=True))
        if not row.skipped
    ]
    with ThreadPoolExecutor(max(1, len(rounds))) as pool:
        measured = pool.map(lambda each: _measure(each[0], ids, each[2], phases), rounds)
        for (_, row, _), figures in zip(rounds, measured, strict=True):
            row.add(**figures)
    title = (
        f"a limiter of {_LIMIT} r/s, burst=10 nodelay, shared with customers: {_CUSTOMERS}/s for "
        f"{phases.shared_s:g} s, none for {phases.alone_s:g} s, "
        f"{_CROWD}/s for {phases.crowded_s:g} s"
    )
    return Table("neighbour", title, _COLUMNS, rows, _TARGETS)


def _measure(contender: Contender, ids: Path, directory: Path, phases: Phases) -> dict[str, float]:
    directory.mkdir()
    with nginx(directory / "nginx", limit=f"{_LIMIT}r/s", burst="burst=10 nodelay") as server:
        worker = contender.command(Job(server.url, ids, directory, _LIMIT))
        with started(worker, directory):
            run(
                _customers(server.url, phases),
                directory,
                timeout_s=phases.whole_s + 2 * _START_S,
            )
        return judge(server.requests(), phases)


def _customers(url: str, phases: Phases) -> Command:
    timetable = (
        f"{_CUSTOMERS}x{phases.shared_s:g}",
        f"0x{phases.alone_s:g}",
        f"{_CROWD}x{phases.crowded_s:g}",
    )
    return Command(python(str(PEERS / "customers.py"), url, *timetable))


def judge(requests: Sequence[Request], phases: Phases) -> dict[str, float]:
    """The figures of one round, which begins with the customers' first request."""
    customers = [request for request in requests if request.agent == "customers"]
    workers = [request for request in requests if request.agent != "customers"]
    if not customers or not workers:
        raise BenchError("one of the two sent nothing")
    begins = customers[0].at
    left = begins + phases.shared_s
    crowded = left + phases.alone_s
    shared = within(workers, begins, phases.shared_s)
    accepted = [request.at for request in workers if request.status == 200]
    alone = [at for at in accepted if at < crowded]
    sent = len(within(workers, crowded, phases.crowded_s))
    return {
        "accepted": accepted_per_s(shared, phases.shared_s),
        "refused": refused_share(shared),
        "customers": refused_share(within(customers, begins, phases.shared_s)),
        "back_s": recovery_s(alone, left, _BACK_AT * _LIMIT, _BACK_FOR_S),
        "per_minute": sent * 60 / phases.crowded_s,
    }
