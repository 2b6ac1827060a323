"""What the tests of the command share: the program as a process of its own, with quick settings."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support import fork_server
from tests.support.run_harness import FAST, KEY, events_in
from worker.cli import main

PROGRAM = (sys.executable, "-m", "worker")
PROJECT = fork_server.PROJECT
_STREAMS = ("stdin", "stdout", "stderr")
_HOOKS = (
    (sys, "excepthook"),
    (sys, "unraisablehook"),
    (threading, "excepthook"),
    (logging, "lastResort"),
)


def environment(**given: str) -> dict[str, str]:
    """This process's, with a key and the fast settings: `PACE_RATE="5"` for WORKER_PACE_RATE."""
    fast = {f"WORKER_{path.replace('.', '_').upper()}": text for path, text in FAST.items()}
    own = {f"WORKER_{name}": text for name, text in given.items()}
    return dict(os.environ) | {"COMPLYCUBE_API_KEY": KEY} | fast | own


class Finished(NamedTuple):
    """How a process ended; negative codes are signals."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return events_in(self.err)

    @property
    def last(self) -> dict[str, Any]:
        """The `run_finished` event, whose sum must add up."""
        event = self.events[-1]
        assert event["event"] == "run_finished"
        parts = ("processing", "not_found", "failed", "settled", "duplicates", "not_attempted")
        assert event["input"] == sum(event[part] for part in parts)
        assert event["balanced"]
        return event


class Process:
    """A process at work; its error output is read line by line or at the end."""

    def __init__(self, process: asyncio.subprocess.Process | fork_server.AsyncChild) -> None:
        self._process = process
        self._errors: list[str] = []

    @property
    def pid(self) -> int:
        return self._process.pid

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    async def write(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())
        await self._process.stdin.drain()

    def close_input(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def says(self, word: str) -> str:
        """The next line of the error output that holds `word`."""
        assert self._process.stderr is not None
        while line := (await self._process.stderr.readline()).decode():
            self._errors.append(line)
            if word in line:
                return line
        raise AssertionError(f"it never said {word!r}, but {''.join(self._errors)}")

    async def ends(self) -> Finished:
        """Waits for the end. Does not close the standard input."""
        out, err = await asyncio.gather(*(_rest(s) for s in _outputs(self._process)))
        code = await self._process.wait()
        return Finished(code, out, "".join(self._errors) + err)


@asynccontextmanager
async def started(
    *args: str | Path,
    env: Mapping[str, str] | None = None,
    program: Sequence[str] = PROGRAM,
    **given: Any,
) -> AsyncIterator[Process]:
    """The program at work; killed if it still is when the context is left.

    It is forked off one that has imported it already, unless `program` or anything else that is
    given asks for a start of its own.
    """
    env = environment() if env is None else env
    streams = dict.fromkeys(_STREAMS, subprocess.PIPE) | given
    arguments = [str(argument) for argument in args]
    process: asyncio.subprocess.Process | fork_server.AsyncChild
    if program is PROGRAM and streams.keys() <= {*_STREAMS, "cwd"} and fork_server.suits(env):
        descriptors = [streams[name] for name in _STREAMS]
        cwd = given.get("cwd", PROJECT)
        process = await fork_server.AsyncChild.start(arguments, env, cwd, descriptors)
    else:
        everything = {"cwd": PROJECT, **streams}
        process = await asyncio.create_subprocess_exec(*program, *arguments, env=env, **everything)
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def run(*args: str | Path, input: str = "", **given: Any) -> Finished:
    """The program from its start to its end, on `input`."""
    async with started(*args, **given) as process:
        if "stdin" not in given:
            if input:
                await process.write(input)
            process.close_input()
        return await process.ends()


def in_this_process(
    *args: str | Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Finished:
    """The program's `main`, called: for what ends before a run begins."""
    monkeypatch.setattr("sys.argv", ["complete-sessions", *map(str, args)])
    # They are the process's: what comes after in it is not to be told of by the program.
    for held, name in _HOOKS:
        monkeypatch.setattr(held, name, getattr(held, name))
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with pytest.raises(SystemExit) as caught:
            main()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    code = caught.value.code
    assert isinstance(code, int)
    return Finished(code, *capfd.readouterr())


def shell(redirections: str) -> Sequence[str]:
    """The program started by a shell with redirections, or whatever else follows a command."""
    return ("sh", "-c", f'exec "$@" {redirections}', "sh", *PROGRAM)


def _outputs(
    process: asyncio.subprocess.Process | fork_server.AsyncChild,
) -> list[asyncio.StreamReader | None]:
    return [process.stdout, process.stderr]


async def _rest(stream: asyncio.StreamReader | None) -> str:
    return "" if stream is None else (await stream.read()).decode()
