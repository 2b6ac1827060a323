"""Kill what several machines consist of, one after the other, and count what came of it.

`python tests/crash_matrix.py` is `make crash-matrix`; a short row is in the suite. Every row has
four processes, a Redis and a sandbox of its own, whose count of triggered checks is the proof.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.support.redis_server import RedisServer, redis_server

WORKERS = 4
LEASE_S = 3.0
_PATIENCE_S = 300


@dataclass
class Scene:
    """One row at work."""

    directory: Path
    redis: RedisServer
    sandbox_url: str
    rate: float
    down_s: float = 4.0
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def backlog(self) -> Path:
        return self.directory / "backlog.txt"

    def program(self, *arguments: str) -> subprocess.Popen[bytes]:
        environ = os.environ | {
            "COMPLYCUBE_API_KEY": "test_matrix0000",
            "WORKER_SHARED_URL": self.redis.url,
            "WORKER_SHARED_LEASE": f"{LEASE_S:g}s",
            "WORKER_API_CONNECT_TIMEOUT": "500ms",
            "WORKER_API_TIMEOUT": "1s",
            "WORKER_RETRY_BACKOFF_INITIAL": "50ms",
            "WORKER_RETRY_SETTLE": "0s",
            "WORKER_RETRY_THROTTLE_INITIAL": "100ms",
        }
        command = [sys.executable, "-m", "worker", *arguments]
        with (self.directory / "errors.log").open("ab") as errors:
            return subprocess.Popen(command, env=environ, stdout=errors, stderr=errors)

    def enqueue(self) -> subprocess.Popen[bytes]:
        return self.program("enqueue", str(self.backlog), "--queue", "row")

    def work(self) -> subprocess.Popen[bytes]:
        results = self.directory / f"{len(self.workers)}.results.jsonl"
        command = ["run", "--queue", "row", "--results", str(results), "--rate", f"{self.rate:g}"]
        process = self.program(*command, "--base-url", self.sandbox_url)
        self.workers.append(process)
        return process

    def stats(self) -> dict[str, Any]:
        url = self.sandbox_url.removesuffix("/v1") + "/sandbox/stats"
        with urllib.request.urlopen(url) as answer:  # noqa: S310 - it is our own
            content: dict[str, Any] = json.load(answer)
        return content

    def outcomes(self) -> list[dict[str, Any]]:
        command = [sys.executable, "-m", "worker", "queue", "results", "--queue", "row"]
        environ = os.environ | {"WORKER_SHARED_URL": self.redis.url}
        printed = subprocess.run(command, env=environ, check=True, capture_output=True).stdout
        return [json.loads(line) for line in printed.splitlines()]

    def wait_until_triggered(self, number: int) -> None:
        """Until the sandbox has completed so many sessions."""
        ends_at = time.monotonic() + _PATIENCE_S
        while self.stats()["triggered"] < number:
            assert time.monotonic() < ends_at
            time.sleep(0.05)


def nothing(scene: Scene, ids: int) -> None:
    """Four workers, and nobody is killed."""


def kill_worker(scene: Scene, ids: int) -> None:
    """kill -9 of one of four workers."""
    scene.wait_until_triggered(ids // 4)
    scene.workers[0].kill()


def stop_worker(scene: Scene, ids: int) -> None:
    """SIGSTOP of one worker for longer than its lease, then SIGCONT."""
    scene.wait_until_triggered(ids // 4)
    scene.workers[0].send_signal(signal.SIGSTOP)
    time.sleep(LEASE_S * 1.5)
    scene.workers[0].send_signal(signal.SIGCONT)


def terminate_worker(scene: Scene, ids: int) -> None:
    """SIGTERM to one worker: the others go on with its ids at once."""
    scene.wait_until_triggered(ids // 4)
    scene.workers[0].terminate()


def kill_redis(scene: Scene, ids: int) -> None:
    """kill -9 of Redis, which comes back after some seconds."""
    scene.wait_until_triggered(ids // 4)
    scene.redis.kill()
    time.sleep(scene.down_s)
    scene.redis.start()


def late_worker(scene: Scene, ids: int) -> None:
    """A fifth worker that comes when the others have done half."""
    scene.wait_until_triggered(ids // 2)
    scene.work()


def everything(scene: Scene, ids: int) -> None:
    """All of it in one run."""
    stop_worker(scene, ids)
    scene.workers[1].kill()
    kill_redis(scene, ids)
    late_worker(scene, ids)


@dataclass(frozen=True)
class Row:
    """What happens, at which rate, to which share of the ids, and what the sandbox does besides."""

    name: str
    happens: Callable[[Scene, int], None]
    rate: float = 200.0
    share: float = 1.0
    faults: tuple[str, ...] = ()


FAULTS = ("http_503_after=0.02", "reset_after=0.02", "reset_before=0.02", "throttle=0.01")
ROWS = (
    Row("nobody killed, 10/s", nothing, rate=10.0, share=0.1),
    Row("nobody killed, 200/s", nothing),
    Row("worker killed", kill_worker),
    Row("worker stopped", stop_worker),
    Row("worker terminated", terminate_worker),
    Row("Redis killed", kill_redis),
    Row("late worker", late_worker),
    Row("everything", everything),
    Row("everything, and faults", everything, faults=FAULTS),
    Row("everything, 10/s", everything, rate=10.0, share=0.1),
)


@dataclass
class Result:
    """What one run of a row came to; `problems` is empty where every promise was kept."""

    seconds: float
    per_s: float
    most_per_s: int
    problems: list[str]


def play(row: Row, ids: int, directory: Path, down_s: float = 4.0) -> Result:
    """Run a row with so many ids; Redis is down for `down_s` where the row says so."""
    with scene_for(row, directory) as scene:
        scene.down_s = down_s
        scene.backlog.write_text("".join(f"5eb2b61e02df0a00{one:08x}\n" for one in range(ids)))
        # Two at once, of which each id must be added by one.
        adding = [scene.enqueue(), scene.enqueue()]
        codes = [process.wait(_PATIENCE_S) for process in adding]
        started = time.monotonic()
        for _ in range(WORKERS):
            scene.work()
        row.happens(scene, ids)
        codes += [process.wait(_PATIENCE_S) for process in scene.workers]
        seconds = time.monotonic() - started
        stats = scene.stats()
        outcomes = scene.outcomes()
        problems = list(_problems(scene, ids, codes, stats, outcomes))
    return Result(seconds, _per_s(outcomes), stats["max_accepted_per_s"], problems)


def _per_s(outcomes: list[dict[str, Any]]) -> float:
    """Outcomes a second, without the beginning and the end, in which not all take part."""
    times = sorted(datetime.fromisoformat(one["at"]).timestamp() for one in outcomes)
    middle = times[len(times) // 10 : len(times) * 9 // 10]
    return (len(middle) - 1) / (middle[-1] - middle[0]) if len(middle) > 1 else 0.0


def _problems(
    scene: Scene,
    ids: int,
    codes: list[int],
    stats: dict[str, Any],
    outcomes: list[dict[str, Any]],
) -> Iterator[str]:
    counts = Counter(outcome["id"] for outcome in outcomes)
    if missing := ids - len(counts):
        yield f"{missing} ids have no outcome"
    if more := [one for one, count in counts.items() if count > 1]:
        yield f"{len(more)} ids have more than one outcome, as {more[0]}"
    if wrong := [one for one in outcomes if one["outcome"] != "processing"]:
        yield f"{len(wrong)} ids ended otherwise than processing, as {wrong[0]}"
    if twice := stats["triggered_twice"]:
        yield f"{len(twice)} sessions were triggered twice, as {min(twice)}"
    if stats["triggered"] != ids:
        yield f"{stats['triggered']} of {ids} sessions were triggered"
    if unexpected := set(codes) - {0, -signal.SIGKILL, 143}:
        yield f"exit codes {sorted(unexpected)}: {_errors(scene)}"


def _errors(scene: Scene) -> str:
    lines = (scene.directory / "errors.log").read_text().splitlines()
    return "\n".join(line for line in lines if '"level": "error"' in line) or lines[-1]


@contextmanager
def scene_for(row: Row, directory: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(directory / "redis"))
        url = stack.enter_context(sandbox(*row.faults))
        scene = Scene(directory, redis, url, row.rate)
        stack.callback(_end, scene.workers)
        yield scene


def _end(workers: list[subprocess.Popen[bytes]]) -> None:
    for worker in workers:
        worker.kill()
        worker.wait()


@contextmanager
def sandbox(*faults: str) -> Iterator[str]:
    """A sandbox without a limit in a process of its own; gives its URL."""
    command = [sys.executable, "-m", "worker", "sandbox", "--port", "0", "--limit", "0", "--any-id"]
    command += ["--latency", "2ms-40ms", "--fault-limit", "3"]
    command += [f"--fault={fault}" for fault in faults]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()
            process.communicate(timeout=10)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="make crash-matrix")
    parser.add_argument("--ids", type=int, default=3000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="rows whose name holds this")
    options = parser.parse_args()
    failed = 0
    sys.stdout.write(f"{'row':<24} {'ids':>6} {'seconds':>8} {'per s':>7} {'most/s':>7}\n")
    for row in [row for row in ROWS if options.only in row.name]:
        for _ in range(options.repeats):
            ids = max(20, round(options.ids * row.share))
            with tempfile.TemporaryDirectory() as directory:
                result = play(row, ids, Path(directory))
            if result.most_per_s > row.rate:
                # Only here: on a busy machine requests may be held up on their way.
                result.problems.append(f"{result.most_per_s} requests in one second")
            failed += bool(result.problems)
            sys.stdout.write(
                f"{row.name:<24} {ids:>6} {result.seconds:>8.1f} {result.per_s:>7.1f}"
                f" {result.most_per_s:>7}  {'; '.join(result.problems) or 'kept every promise'}\n"
            )
            sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
