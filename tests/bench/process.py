"""Children and what they cost: CPU time with all their own children's, wall time, memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEY = "test_benchmark0000"


class BenchError(Exception):
    """What was to be measured did not do what it was asked."""


@dataclass(frozen=True)
class Finished:
    code: int
    wall_s: float
    cpu_s: float
    peak_bytes: int

    def must_be(self, *codes: int) -> None:
        if self.code not in codes:
            raise BenchError(f"exited with {self.code}")


@dataclass(frozen=True)
class Command:
    """What to run. `stdin` and `stderr` are files; `settings` are variables of the environment."""

    argv: Sequence[str]
    stdin: Path = Path(os.devnull)
    stderr: Path = Path(os.devnull)
    settings: tuple[tuple[str, str], ...] = ()


def environment() -> dict[str, str]:
    """Without settings of the machine that this runs on."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WORKER_")}
    return kept | {"COMPLYCUBE_API_KEY": KEY, "PYTHONPATH": str(ROOT)}


@contextmanager
def started(
    command: Command, directory: Path, *, stdout: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    """A child in a group of its own, which is ended on leaving."""
    with command.stdin.open("rb") as stdin, command.stderr.open("wb") as stderr:
        child = subprocess.Popen(
            command.argv,
            cwd=directory,
            env=environment() | dict(command.settings) | {"PARALLEL_HOME": str(directory)},
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        if child.returncode is None:
            _end(child.pid)
            child.wait()
        if child.stdout is not None:
            child.stdout.close()


def run(command: Command, directory: Path, *, timeout_s: float) -> Finished:
    """Run to the end, or until `timeout_s` is over: then the child and all of its own are killed.

    What a killed child's unfinished children cost is not known, and missing in the sum.
    """
    began = time.monotonic()
    with started(command, directory) as child:
        timer = threading.Timer(timeout_s, _end, [child.pid])
        timer.start()
        _, status, usage = os.wait4(child.pid, 0)
        timer.cancel()
        child.returncode = os.waitstatus_to_exitcode(status)
    return Finished(
        code=child.returncode,
        wall_s=time.monotonic() - began,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_bytes=usage.ru_maxrss * 1024,
    )


def _end(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def resident_bytes(pid: int) -> int:
    """What a process holds in memory now."""
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]
