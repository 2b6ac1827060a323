"""What sharing costs, and what more processes bring: a queue and a budget in Redis on one machine.

Against an nginx that answers at once, at a rate that nobody reaches. CPU time is of the workers,
and of Redis beside it; what a process needs to start is left out, as the difference of two sizes.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.bench import shared_pace
from tests.bench.nginx import nginx
from tests.bench.process import ROOT, BenchError, Command, python, run, started
from tests.bench.tools import find
from tests.support.redis_server import SERVER, RedisServer, redis_server

_FULL_IDS = 20_000
_QUICK_IDS = 1_000
_RATE = "10000"
_CONCURRENCY = "64"
_LONGEST_S = 300.0


@dataclass(frozen=True)
class Case:
    """A way to work off ids; without a queue it is one process over a file."""

    name: str
    processes: int = 1
    queue: bool = False
    budget: bool = False


CASES = (
    Case("a file, nothing shared"),
    Case("a file, shared budget", budget=True),
    Case("a queue, 1 process", 1, queue=True),
    Case("a queue, 2 processes", 2, queue=True),
    Case("a queue, 4 processes", 4, queue=True),
)


@dataclass(frozen=True)
class Spent:
    """On how many ids; seconds of CPU time, and from the first outcome to the last."""

    ids: int
    workers_s: float
    redis_s: float
    span_s: float


def main(quick: bool) -> str:
    """The table; or why there is none."""
    if SERVER is None or find("nginx") is None:
        return "shared: skipped: redis-server or nginx is not installed"
    ids = _QUICK_IDS if quick else _FULL_IDS
    titles = ("shared", "ids a second", "CPU an id, µs", "Redis, µs", "more, µs")
    lines = ["{:<24} {:>13} {:>14} {:>10} {:>9}".format(*titles)]
    alone_us: float | None = None
    for case in CASES:
        small, large = _measure(case, ids // 5), _measure(case, ids)
        workers_us = _per_id_us(large.workers_s - small.workers_s, large.ids - small.ids)
        redis_us = _per_id_us(large.redis_s - small.redis_s, large.ids - small.ids)
        alone_us = workers_us if alone_us is None else alone_us
        more_us = workers_us + redis_us - alone_us
        lines.append(
            f"{case.name:<24} {large.ids / large.span_s:>13,.0f} {workers_us:>14.0f}"
            f" {redis_us:>10.0f} {more_us:>9.0f}"
        )
    cores = os.cpu_count() or 1
    lines.append(f"({cores} cores, which the workers share with Redis and nginx)")
    pace = shared_pace.table(
        shared_pace.QUICK if quick else shared_pace.FEW, 2.0 if quick else 10.0
    )
    return "\n".join([*lines, "", *pace])


def _per_id_us(cpu_s: float, ids: int) -> float:
    return max(cpu_s, 0.0) / ids * 1e6


def _measure(case: Case, ids: int) -> Spent:
    # Beside the project, for the system's own place may be memory, where syncing costs nothing.
    output = ROOT / ".bench"
    output.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="shared-", dir=output) as name, ExitStack() as stack:
        directory = Path(name)
        backlog = directory / "backlog.txt"
        backlog.write_text("".join(f"5eb2b61e02df0a00{one:08x}\n" for one in range(ids)))
        api = stack.enter_context(nginx(directory / "nginx", logged=False))
        redis = stack.enter_context(redis_server(directory / "redis"))
        settings = [("WORKER_SHARED_URL", redis.url)] if case.queue or case.budget else []
        if case.queue:
            enqueue = python("-m", "worker", "enqueue", str(backlog), "--queue", "bench")
            run(Command(enqueue, settings=tuple(settings)), directory, timeout_s=60).must_be(0)
        redis_before_s = _cpu_s(redis)
        logs = [directory / f"{number}.jsonl" for number in range(case.processes)]
        commands = [
            Command(_argv(case, backlog, log, api.url), settings=tuple(settings)) for log in logs
        ]
        workers_s = _run_all(commands, directory)
        return Spent(ids, workers_s, _cpu_s(redis) - redis_before_s, _span_s(logs, ids))


def _argv(case: Case, backlog: Path, log: Path, url: str) -> list[str]:
    ids = ["--queue", "bench"] if case.queue else [str(backlog)]
    options = ["--base-url", url, "--rate", _RATE, "--concurrency", _CONCURRENCY, "-q"]
    return python("-m", "worker", "run", *ids, "--results", str(log), *options)


def _run_all(commands: Sequence[Command], directory: Path) -> float:
    """Run all at once; their CPU time together."""
    with ExitStack() as stack:
        children = [stack.enter_context(started(one, directory)) for one in commands]
        return sum(_end_of(child) for child in children)


def _end_of(child: subprocess.Popen[bytes]) -> float:
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise BenchError(f"a worker exited with {child.returncode}")
    return usage.ru_utime + usage.ru_stime


def _cpu_s(redis: RedisServer) -> float:
    fields = Path(f"/proc/{redis.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _span_s(logs: Sequence[Path], ids: int) -> float:
    times = sorted(_times(logs))
    if len(times) != ids:
        raise BenchError(f"{len(times)} outcomes for {ids} ids")
    return max((times[-1] - times[0]).total_seconds(), 1e-3)


def _times(logs: Sequence[Path]) -> Iterator[datetime]:
    for log in logs:
        for line in log.read_text().splitlines():
            yield datetime.fromisoformat(json.loads(line)["at"])
