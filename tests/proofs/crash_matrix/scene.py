"""What a row of the matrix is played with: a Redis, a sandbox, runs as processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis import Redis

from tests.support.delaying_proxy import DelayingProxy, delaying_proxy
from tests.support.redis_server import SAFE, RedisServer, redis_server
from tests.support.sandbox_process import sandbox_process, stats_of

LEASE_S = 3.0
PATIENCE_S = 300
USER, PASSWORD = "worker", "matrix-password"
KILLED = -signal.SIGKILL


@dataclass(frozen=True)
class Row:
    """What happens, to which share of the ids, and what is otherwise than usual.

    `rates` are those of the workers; a Redis that is `delay_ms` away is reached through a proxy.
    """

    name: str
    happens: Callable[[Scene, int], None]
    rates: tuple[float, ...] = (200.0,) * 4
    share: float = 1.0
    faults: tuple[str, ...] = ()
    delay_ms: float | None = None
    codes: frozenset[int] = frozenset()


@dataclass
class Scene:
    """One row at work."""

    directory: Path
    row: Row
    redis: RedisServer
    sandbox_url: str
    proxy: DelayingProxy | None = None
    down_s: float = 4.0
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    others: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def backlog(self) -> Path:
        return self.directory / "backlog.txt"

    @property
    def shared_url(self) -> str:
        port = self.redis.port if self.proxy is None else self.proxy.port
        return f"redis://{USER}:{PASSWORD}@127.0.0.1:{port}/0"

    def admin(self) -> Any:
        """The server as whoever runs it sees it."""
        return Redis.from_url(self.redis.url, decode_responses=True)

    def allow(self, *rules: str) -> None:
        """Give the runs' user all rights but those that `rules` take away."""
        with self.admin() as redis:
            given = ("reset", "on", f">{PASSWORD}", "allkeys", "allcommands", *rules)
            redis.execute_command("ACL", "SETUSER", USER, *given)

    def program(self, *arguments: str, stdin: int | None = None) -> subprocess.Popen[bytes]:
        environ = os.environ | {
            "COMPLYCUBE_API_KEY": "test_matrix0000",
            "WORKER_SHARED_URL": self.shared_url,
            "WORKER_SHARED_LEASE": f"{LEASE_S:g}s",
            "WORKER_API_CONNECT_TIMEOUT": "500ms",
            "WORKER_API_TIMEOUT": "1s",
            "WORKER_RETRY_BACKOFF_INITIAL": "50ms",
            "WORKER_RETRY_SETTLE": "0s",
            "WORKER_RETRY_THROTTLE_INITIAL": "100ms",
        }
        command = [sys.executable, "-m", "worker", *arguments]
        with (self.directory / "errors.log").open("ab") as errors:
            return subprocess.Popen(command, env=environ, stdin=stdin, stdout=errors, stderr=errors)

    def enqueue(self, *more: str) -> subprocess.Popen[bytes]:
        process = self.program("enqueue", str(self.backlog), "--queue", "row", *more)
        self.others.append(process)
        return process

    def work(self, *more: str) -> subprocess.Popen[bytes]:
        number = len(self.workers)
        rate = self.row.rates[number % len(self.row.rates)]
        results = self.directory / f"{number}.results.jsonl"
        command = ["run", "--queue", "row", "--results", str(results), "--rate", f"{rate:g}"]
        process = self.program(*command, "--base-url", self.sandbox_url, *more)
        self.workers.append(process)
        return process

    def work_again(self, *more: str) -> None:
        """Wait until all have ended, and start as many anew."""
        for process in self.workers:
            process.wait(PATIENCE_S)
        for _ in self.row.rates:
            self.work(*more)

    def stats(self) -> dict[str, Any]:
        return stats_of(self.sandbox_url)

    def outcomes(self) -> list[dict[str, Any]]:
        command = [sys.executable, "-m", "worker", "queue", "results", "--queue", "row"]
        environ = os.environ | {"WORKER_SHARED_URL": self.shared_url}
        printed = subprocess.run(command, env=environ, check=True, capture_output=True).stdout
        return [json.loads(line) for line in printed.splitlines()]

    def status(self) -> dict[str, Any]:
        command = [sys.executable, "-m", "worker", "queue", "status", "--queue", "row", "--json"]
        environ = os.environ | {"WORKER_SHARED_URL": self.shared_url}
        printed = subprocess.run(command, env=environ, check=False, capture_output=True).stdout
        content: dict[str, Any] = json.loads(printed)
        return content

    def wait_until_triggered(self, number: int) -> None:
        """Until the sandbox has completed so many sessions."""
        ends_at = time.monotonic() + PATIENCE_S
        while self.stats()["triggered"] < number:
            assert time.monotonic() < ends_at
            time.sleep(0.05)


@contextmanager
def scene_for(row: Row, directory: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        # In its file, so that it is there from the first moment after a restart.
        user = f"user {USER} on >{PASSWORD} ~* &* +@all"
        redis = stack.enter_context(redis_server(directory / "redis", *SAFE, user))
        faults = [f"--fault={fault}" for fault in row.faults]
        url = stack.enter_context(sandbox_process("--any-id", *faults))
        proxy = None
        if row.delay_ms is not None:
            proxy = stack.enter_context(delaying_proxy(directory, redis.port, row.delay_ms))
        scene = Scene(directory, row, redis, url, proxy)
        scene.allow()
        stack.callback(_end, scene)
        yield scene


def _end(scene: Scene) -> None:
    for process in (*scene.workers, *scene.others):
        process.kill()
        process.wait()
