"""A Redis of a test's own, that can be killed and started again."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SERVER = shutil.which("redis-server") or shutil.which("valkey-server")

needs_redis = pytest.mark.skipif(SERVER is None, reason="neither redis-server nor valkey-server")

SAFE = ("appendonly yes", "appendfsync always", "maxmemory-policy noeviction")
"""What a queue needs, as config/redis.conf has it."""


class RedisServer:
    """Listens on a port of its own on 127.0.0.1, and keeps its files in `directory`.

    `lines` are of its configuration file.
    """

    def __init__(self, directory: Path, *lines: str) -> None:
        self._directory = directory
        self.lines = ("bind 127.0.0.1", 'save ""', f"dir {directory}", *lines)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.lines = (f"port {self.port}", *self.lines)
        self.process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        assert SERVER is not None
        path = self._directory / "redis.conf"
        path.write_text("".join(f"{line}\n" for line in self.lines))
        self.process = subprocess.Popen([SERVER, str(path)], stdout=subprocess.DEVNULL)
        try:
            self._await_answer()
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """As a crash does."""
        self.process.kill()
        self.process.wait()

    def _await_answer(self) -> None:
        ends_at = time.monotonic() + 20
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                    if any(line.startswith("tls-") for line in self.lines):
                        return
                    connection.sendall(b"PING\r\n")
                    # A server that loads its file says so, and one with a password refuses.
                    if not connection.recv(100).startswith(b"-LOADING"):
                        return
            except OSError:
                assert self.process.poll() is None, "Redis ended at once"
            assert time.monotonic() < ends_at
            time.sleep(0.02)


@contextmanager
def redis_server(directory: Path, *lines: str) -> Iterator[RedisServer]:
    directory.mkdir(exist_ok=True)
    server = RedisServer(directory, *(lines or SAFE))
    server.start()
    try:
        yield server
    finally:
        server.kill()
