"""How much of a shared budget processes use up, with Redis near and far, and how fairly.

An nginx without a limit answers at once and logs when each request came. `python -m
tests.bench.shared_pace` plays every cell; `make bench` a few.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from tests.bench.nginx import nginx
from tests.bench.process import ROOT, Command, python, started
from tests.support.delaying_proxy import delaying_proxy
from tests.support.redis_server import redis_server

_CELL_S = 10.0
_SETTLE_S = 10.0
"""Processes that start all at once take Redis to be far away, until they have asked some more."""

_LEAST_REQUESTS = 150
"""Slower cells take longer: the one probe for bursts costs three gaps."""


@dataclass(frozen=True)
class Cell:
    """So many processes at one rate, so far from Redis; 0 is as near as it gets."""

    processes: int
    rate: float
    delay_ms: float


FULL = tuple(Cell(*one) for one in product((1, 2, 4, 8), (5, 10, 50, 200, 1000), (0, 5, 50, 200)))
FEW = tuple(Cell(*one) for one in product((1, 4), (10, 200), (0, 50)))
QUICK = (Cell(2, 50, 5),)


@dataclass(frozen=True)
class Outcome:
    """`share` of the rate, the most requests in any second, and Jain's index of fairness."""

    share: float
    most_per_s: int
    fairness: float


def table(cells: Sequence[Cell], seconds: float) -> Iterator[str]:
    titles = ("shared budget", "rate", "Redis away", "share", "most/s", "fairness")
    yield "{:<14} {:>6} {:>11} {:>7} {:>7} {:>9}".format(*titles)
    for cell in cells:
        found = _measure(cell, seconds)
        yield (
            f"{cell.processes:>3} processes  {cell.rate:>6g} {cell.delay_ms:>8g} ms"
            f" {found.share:>7.3f} {found.most_per_s:>7} {found.fairness:>9.3f}"
        )


def _measure(cell: Cell, seconds: float) -> Outcome:
    seconds = max(seconds, _LEAST_REQUESTS / cell.rate)
    output = ROOT / ".bench"
    output.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pace-", dir=output) as name, ExitStack() as stack:
        directory = Path(name)
        api = stack.enter_context(nginx(directory / "nginx"))
        redis = stack.enter_context(redis_server(directory / "redis", "appendonly no"))
        port = redis.port
        if cell.delay_ms:
            proxy = delaying_proxy(directory, port, cell.delay_ms)
            port = stack.enter_context(proxy).port
        logs = [directory / f"{number}.jsonl" for number in range(cell.processes)]
        children = []
        for number, log in enumerate(logs):
            command = _command(cell, directory, number, log, api.url, port)
            children.append(stack.enter_context(started(command, directory)))
        _wait_for(logs)
        time.sleep(_SETTLE_S)
        began_at, before = time.time(), [_count(log) for log in logs]
        time.sleep(seconds)
        ended_at, after = time.time(), [_count(log) for log in logs]
        for child in children:
            child.terminate()
        for child in children:
            child.wait(30)
        times = sorted(one.at for one in api.requests() if began_at <= one.at < ended_at)
    most = max(bisect_left(times, at + 0.9995) - index for index, at in enumerate(times))
    share = (len(times) - 1) / (times[-1] - times[0]) / cell.rate
    counts = [late - early for early, late in zip(before, after, strict=True)]
    fairness = sum(counts) ** 2 / (len(counts) * sum(one**2 for one in counts))
    return Outcome(share, most, fairness)


def _command(cell: Cell, directory: Path, number: int, log: Path, url: str, port: int) -> Command:
    source = directory / f"{number}.txt"
    source.write_text("".join(f"{number}x{one:08}\n" for one in range(100_000)))
    options = ["--results", str(log), "--rate", f"{cell.rate:g}", "--base-url", url, "-q"]
    settings = (("WORKER_SHARED_URL", f"redis://127.0.0.1:{port}/0"),)
    return Command(python("-m", "worker", "run", str(source), *options), settings=settings)


def _wait_for(logs: Sequence[Path]) -> None:
    """Until all have sent something."""
    ends_at = time.monotonic() + 60.0
    while not all(log.exists() and log.stat().st_size for log in logs):
        if time.monotonic() > ends_at:
            return
        time.sleep(0.05)


def _count(log: Path) -> int:
    return log.read_bytes().count(b"\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--few", action="store_true", help="eight cells of eighty")
    parser.add_argument("--seconds", type=float, default=_CELL_S)
    options = parser.parse_args()
    for line in table(FEW if options.few else FULL, options.seconds):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
