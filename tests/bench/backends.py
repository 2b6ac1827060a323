"""The servers of the scenes: limiters of many kinds, and jitter on the way to them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import Request
from tests.bench.nginx import nginx, read_log
from tests.bench.process import BenchError, Command, python, started

Open = Callable[[Path], AbstractContextManager["Backend"]]
"""Starts a server whose files lie in that directory, which it makes."""


@dataclass(frozen=True)
class Backend:
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def requests(self) -> list[Request]:
        """What has arrived so far, in order."""
        return read_log(self.log)


def limited(
    kind: str,
    *,
    jitter_ms: int = 0,
    then: tuple[tuple[float, int], ...] = (),
    latency_s: float = 0.0,
    hang: float = 0.0,
) -> Open:
    """A server of ours; what it is told is explained in `tests.bench.limited`."""
    options = ["--jitter", str(jitter_ms / 1000), "--latency", str(latency_s), "--hang", str(hang)]
    for after_s, limit in then:
        options += ["--then", str(after_s), str(limit)]

    @contextmanager
    def start(directory: Path) -> Iterator[Backend]:
        directory.mkdir()
        log = directory / "access.log"
        with _module("limited", [str(log), kind, *options], directory) as port:
            yield Backend(port, log)

    return start


def behind_nginx(rate: int, burst: int, *, jitter_ms: int = 0) -> Open:
    """nginx, and a proxy before it where there is jitter; a burst of n is a bucket of n + 1."""

    @contextmanager
    def start(directory: Path) -> Iterator[Backend]:
        allowed = f"burst={burst} nodelay" if burst else ""
        with nginx(directory, limit=f"{rate}r/s", burst=allowed) as server:
            if not jitter_ms:
                yield Backend(server.port, server.log)
                return
            arguments = [str(server.port), str(jitter_ms / 1000)]
            with _module("jittered", arguments, directory) as port:
                yield Backend(port, server.log)

    return start


@contextmanager
def _module(name: str, arguments: list[str], directory: Path) -> Iterator[int]:
    """A module of ours beside this one, which tells its port."""
    command = Command(
        python("-m", f"tests.bench.{name}", *arguments), stderr=directory / f"{name}.err"
    )
    with started(command, directory, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        if not line:
            raise BenchError(f"{name} did not start: {command.stderr.read_text()[-200:]}")
        yield int(line)
