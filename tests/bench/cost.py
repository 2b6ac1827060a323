"""What an id costs at full speed, 32 at once, against a server that answers at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.contenders import (
    ASYNCIO,
    CONCURRENCY,
    UVLOOP,
    Contender,
    Job,
    complete_sessions,
    curl,
    curl_for_each,
    peer,
    write_ids,
)
from tests.bench.effort import Effort
from tests.bench.figures import Cost, cpu_us_per_id, ids_per_s, ratios
from tests.bench.nginx import nginx
from tests.bench.process import BenchError, run
from tests.bench.rounds import in_turn
from tests.bench.table import Column, Row, Table, Target

_RATE = 10_000
_SMALL_SHARE = 6
_FEWEST = 5
_LONGEST_S = 120.0
_BARE_UVLOOP = "bare aiohttp (uvloop)"
_BARE_ASYNCIO = "bare aiohttp (asyncio)"
_COLUMNS = (
    Column("cpu_us", "CPU an id, µs"),
    Column("ratio", "to bare aiohttp on the same loop", places=2),
    Column("speed", "ids a second"),
)


@dataclass(frozen=True)
class Entry:
    """A contender, and how many ids it is worth waiting for."""

    contender: Contender
    ids: int


def entries() -> list[Entry]:
    quiet = ("-q",)
    parallel = ("--parallel", "--parallel-max", CONCURRENCY)
    official = peer("official_client", CONCURRENCY, rated=True)
    return [
        Entry(Contender(_BARE_UVLOOP, peer("bare_aiohttp", "uvloop"), ("python:uvloop",)), 30_000),
        Entry(Contender(UVLOOP, complete_sessions("uvloop", *quiet), ("python:uvloop",)), 30_000),
        Entry(Contender(_BARE_ASYNCIO, peer("bare_aiohttp", "asyncio")), 24_000),
        Entry(Contender(ASYNCIO, complete_sessions("asyncio", *quiet)), 24_000),
        Entry(Contender("curl --parallel", curl(*parallel), ("curl",)), 24_000),
        Entry(Contender("asyncio-throttle, gather", peer("throttle_gather", rated=True)), 12_000),
        Entry(Contender("official client, 32 threads", official, ("python:complycube",)), 2_400),
        Entry(Contender("httpx, 32 at once", peer("httpx_client"), ("python:httpx",)), 2_400),
        Entry(
            Contender(
                "xargs -P 32 curl",
                curl_for_each("xargs", "-P", CONCURRENCY),
                ("xargs", "curl"),
            ),
            480,
        ),
    ]


def cost(effort: Effort, directory: Path) -> Table:
    chosen = entries()
    counts = {
        entry.contender.name: _sizes(round(entry.ids * effort.cost_share)) for entry in chosen
    }
    files = {
        count: write_ids(directory / f"{count}.txt", count)
        for sizes in counts.values()
        for count in sizes
    }

    def measure(contender: Contender, row: Row, own: Path) -> None:
        sizes = counts[contender.name]
        small, large = [_send(contender, files[count], count, own / str(count)) for count in sizes]
        row.add(
            cpu_us=cpu_us_per_id(small, large),
            speed=ids_per_s(small, large),
        )

    rounds = effort.rounds_or(3)
    rows = in_turn([entry.contender for entry in chosen], measure, rounds, directory)
    _compare(rows)
    title = "full speed, 32 at once, to an nginx that answers at once; start and end left out"
    targets = [Target(name, "ratio", "<=", 1.35) for name in (UVLOOP, ASYNCIO)]
    return Table("cost", title, _COLUMNS, rows, targets, plotted="cpu_us", is_logarithmic=True)


def _sizes(count: int) -> tuple[int, int]:
    small = max(_FEWEST, count // _SMALL_SHARE)
    return small, max(small * 2, count)


def _send(contender: Contender, ids: Path, count: int, own: Path) -> Cost:
    own.mkdir()
    with nginx(own / "nginx", logged=False) as server:
        command = contender.command(Job(server.url, ids, own, _RATE))
        finished = run(command, own, timeout_s=_LONGEST_S)
        missing = count - server.count()
    finished.must_be(0)
    if missing > 0:
        raise BenchError(f"{missing} of {count} ids never reached the server")
    return Cost(count, finished.cpu_s, finished.wall_s)


def _compare(rows: Sequence[Row]) -> None:
    """On uvloop where the contender runs on it, on asyncio else."""
    measured = {row.name: row for row in rows if row.is_measured}
    for row in measured.values():
        is_uvloop = row.name in (UVLOOP, _BARE_UVLOOP)
        base = measured.get(_BARE_UVLOOP if is_uvloop else _BARE_ASYNCIO)
        if base is not None:
            row.add_all("ratio", ratios(row.figures["cpu_us"], base.figures["cpu_us"]))
