"""A fork server: processes of the program that begin with every import done.

Most of the time of a short run goes into imports, and the tests start hundreds of them. One process
imports the program once and forks itself for each run, as `multiprocessing.forkserver` does. What
runs is a process like any other: `python -m worker` with arguments, environment, directory and
streams of its own, to be killed and waited for.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final

PROJECT: Final = Path(__file__).parents[2]
_MESSAGE_BYTES: Final = 1 << 17
_READ_AS_PYTHON_STARTS: Final = ("PYTHON", "LC_", "LANG", "TZ", "SSL_CERT_", "COVERAGE_", "HOME")
_SELDOM_NEEDED: Final = ("worker.report", "worker.sandbox", "worker.__main__")


def suits(env: Mapping[str, str]) -> bool:
    """Whether a process with this environment starts as one does that was forked: what Python and
    libraries read once, as they start, is the same as here."""
    if any(name.startswith("COVERAGE_") for name in env):
        return False
    given = {name for name in env | os.environ if name.startswith(_READ_AS_PYTHON_STARTS)}
    return all(env.get(name) == _environment_at_start().get(name) for name in given)


class Child:
    """A process that was forked. Its exit status comes over a pipe, as it is another's child."""

    def __init__(self, status: IO[bytes]) -> None:
        self._status = status
        self.pid = int(status.readline())
        self.returncode: int | None = None

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self) -> int:
        """Its exit code; negative codes are signals."""
        if self.returncode is None:
            with self._status:
                self.returncode = int(self._status.readline())
        return self.returncode


def fork(
    arguments: Sequence[str], env: Mapping[str, str], cwd: str | Path, streams: Sequence[int]
) -> Child:
    """Begins `python -m worker ARGUMENTS` on the three file descriptors of `streams`, which stay
    open here."""
    reading, writing = os.pipe()
    order = {"arguments": arguments, "env": dict(env), "cwd": str(cwd)}
    socket.send_fds(_server(), [json.dumps(order).encode()], [*streams, writing])
    os.close(writing)
    return Child(os.fdopen(reading, "rb", buffering=0))


def run(
    arguments: Sequence[str], env: Mapping[str, str], cwd: str | Path, text: str
) -> subprocess.CompletedProcess[str]:
    """Runs it to its end with `text` as its input, as `subprocess.run` does."""
    with TemporaryFile("w+") as given, TemporaryFile("w+") as out, TemporaryFile("w+") as err:
        given.write(text)
        files = (given, out, err)
        for file in files:
            file.seek(0)
        code = fork(arguments, env, cwd, [file.fileno() for file in files]).wait()
        for file in files:
            file.seek(0)
        return subprocess.CompletedProcess(list(arguments), code, out.read(), err.read())


class AsyncChild:
    """The same with streams for an event loop: what `asyncio.subprocess.Process` offers."""

    def __init__(self) -> None:
        self._child: Child
        self.stdin: asyncio.StreamWriter | None = None
        self.stdout: asyncio.StreamReader | None = None
        self.stderr: asyncio.StreamReader | None = None

    @classmethod
    async def start(
        cls,
        arguments: Sequence[str],
        env: Mapping[str, str],
        cwd: str | Path,
        streams: Sequence[int],
    ) -> AsyncChild:
        """Each of the three `streams` is a file descriptor, or `subprocess.PIPE`."""
        self = cls()
        pipes = [os.pipe() if stream == subprocess.PIPE else None for stream in streams]
        # The program has the end to read of its input's pipe, and the end to write of the others.
        theirs = [
            stream if pipe is None else pipe[min(number, 1)]
            for number, (stream, pipe) in enumerate(zip(streams, pipes, strict=True))
        ]
        self._child = fork(arguments, env, cwd, theirs)
        for own, pipe in zip(theirs, pipes, strict=True):
            if pipe is not None:
                os.close(own)
        if pipes[0]:
            self.stdin = await _writer(pipes[0][1])
        if pipes[1]:
            self.stdout = await _reader(pipes[1][0])
        if pipes[2]:
            self.stderr = await _reader(pipes[2][0])
        return self

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        return self._child.returncode

    def send_signal(self, number: int) -> None:
        self._child.send_signal(number)

    def kill(self) -> None:
        self._child.kill()

    async def wait(self) -> int:
        return await asyncio.to_thread(self._child.wait)


async def _reader(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    pipe = os.fdopen(descriptor, "rb", buffering=0)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
    return reader


async def _writer(descriptor: int) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    protocol = asyncio.StreamReaderProtocol(asyncio.StreamReader())
    pipe = os.fdopen(descriptor, "wb", buffering=0)
    transport, _ = await loop.connect_write_pipe(lambda: protocol, pipe)
    return asyncio.StreamWriter(transport, protocol, None, loop)


# --- the server ---------------------------------------------------------------------------------


@cache
def _server() -> socket.socket:
    asking, answering = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "tests.support.fork_server", str(answering.fileno())]
    process = subprocess.Popen(
        command,
        cwd=PROJECT,
        env=_environment_at_start(),
        stdin=subprocess.DEVNULL,
        pass_fds=[answering.fileno()],
    )
    answering.close()
    atexit.register(_end, asking, process)
    return asking


def _end(asking: socket.socket, process: subprocess.Popen[bytes]) -> None:
    asking.close()
    process.wait()


@cache
def _environment_at_start() -> dict[str, str]:
    return dict(os.environ)


def _serve(requests: socket.socket) -> None:
    """Forks a process for each request. Returns in that process, where the program is to run."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.freeze()
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, _MESSAGE_BYTES, 4)
        if not message:
            sys.exit()
        if os.fork() == 0:
            requests.close()
            return _run_and_tell(json.loads(message), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _run_and_tell(order: dict[str, Any], descriptors: list[int]) -> None:
    """Forks the program and waits for it. Returns in the program's process."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *streams, status = descriptors
    pid = os.fork()
    if pid == 0:
        os.close(status)
        return _become(order, streams)
    for descriptor in streams:
        os.close(descriptor)
    os.write(status, f"{pid}\n".encode())
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.write(status, f"{code}\n".encode())
    os._exit(0)


def _become(order: dict[str, Any], streams: list[int]) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    time.tzset()
    sys.argv[1:] = order["arguments"]


def _import_the_program() -> None:
    import worker

    for module in pkgutil.walk_packages(worker.__path__, "worker."):
        if not module.name.startswith(_SELDOM_NEEDED):
            import_module(module.name)
    for name in ("uvloop", "redis.asyncio", "prometheus_client"):
        if find_spec(name.partition(".")[0]) is not None:
            import_module(name)


if __name__ == "__main__":
    _import_the_program()
    _serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module("worker", run_name="__main__", alter_sys=True)
