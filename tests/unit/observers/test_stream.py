"""Streams that break or get stuck under the log, and what becomes of its lines on their way."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import signal
import subprocess
import sys
import termios
import textwrap
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, Any, cast

import pytest
from rich.console import Console

from tests.support.program import environment
from tests.support.program import started as started_program
from tests.support.run_harness import backlog, ids, records_in, results, sessions
from tests.support.sample_events import (
    HandClock,
    finished,
    record,
    recorded,
    retry_scheduled,
    started,
    survived_trouble,
)
from tests.support.sandbox_caller import until
from worker.core.outcomes import Error, Outcome
from worker.observers import background
from worker.observers.logs import LogObserver, configure
from worker.observers.stream import QuietStream
from worker.sandbox.server import Sandbox

FAILED = record(Outcome.FAILED, Error("http_503", "Service unavailable"))


@pytest.fixture(autouse=True)
def _own_root_handlers() -> Iterator[None]:
    root = logging.getLogger()
    before = list(root.handlers)
    yield
    root.handlers[:] = before


class CountingFile(io.RawIOBase):
    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.writes.append(bytes(data))
        return len(data)


@pytest.mark.parametrize("line_buffering", [True, False])
@pytest.mark.parametrize("through_console", [True, False])
def test_each_line_is_written_at_once(line_buffering: bool, through_console: bool) -> None:
    raw = CountingFile()
    stream = io.TextIOWrapper(
        io.BufferedWriter(raw), encoding="utf-8", line_buffering=line_buffering
    )
    console = Console(file=stream) if through_console else None
    logger = configure("json", "info", stream, console)
    observer = LogObserver(logger, None, HandClock())
    observer.notice(recorded(FAILED, FAILED, record(Outcome.FAILED, Error("x", "y" * 20_000))))
    assert len(raw.writes) == 3
    assert all(data.endswith(b"\n") for data in raw.writes)


def broken_stream(kind: str) -> IO[str]:
    if kind == "full disk":
        return Path("/dev/full").open("w", encoding="utf-8")
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w", encoding="utf-8")
    if kind == "closed":
        stream.close()
    return stream


@pytest.mark.parametrize("through_console", [True, False])
@pytest.mark.parametrize("kind", ["broken pipe", "full disk", "closed"])
def test_broken_stream_silences_the_log_and_raises_nothing(
    kind: str, through_console: bool
) -> None:
    stream = broken_stream(kind)
    quiet = QuietStream(stream)
    file = cast("IO[str]", quiet)
    console = Console(file=file, force_terminal=True) if through_console else None
    observer = LogObserver(configure("console", "info", quiet, console), 30.0, HandClock())
    for event in survived_trouble():
        observer.notice(event)
    quiet.drain()
    # Nothing is stuck in its buffer, to fail once more when it is closed.
    stream.close()


def test_stream_that_is_not_there_is_silent_and_no_terminal() -> None:
    observer = LogObserver(configure("json", "info", None), 30.0, HandClock())
    observer.notice(started())
    assert not QuietStream(None).isatty()
    with pytest.raises(OSError, match="closed"):
        QuietStream(None).fileno()


def test_closed_stream_is_no_terminal() -> None:
    assert not QuietStream(broken_stream("closed")).isatty()


def test_terminal_that_is_full_for_a_moment_does_not_silence_the_log() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        observer = LogObserver(configure("json", "info", stream), None, HandClock())
        with suppress(BlockingIOError):
            while os.write(writer, b"x" * 65536):
                pass
        observer.notice(started())
        observer.notice(finished())
        with os.fdopen(reader, encoding="utf-8") as lines:
            assert json.loads(lines.readline().lstrip("x"))["event"] == "run_started"
            assert json.loads(lines.readline())["event"] == "run_finished"


def test_stream_of_a_small_alphabet_gets_escapes() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    logger = configure("console", "info", stream)
    LogObserver(logger, None, HandClock()).notice(retry_scheduled(Error("x", "né")))
    assert rb"after x: n\xe9" in raw.getvalue()


# --- a stream that is stuck -----------------------------------------------------------------------


class Unread:
    """A pipe that is full before anything is written to it, with a stream to write to it."""

    def __init__(self, directory: Path) -> None:
        path = directory / "pipe"
        os.mkfifo(path)
        self.reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        full = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        self.writer = os.open(path, os.O_WRONLY)
        self.stream = os.fdopen(self.writer, "w", encoding="utf-8", closefd=False)
        for size in (65536, 1):
            with suppress(BlockingIOError):
                while os.write(full, b"x" * size):
                    pass
        os.close(full)

    def lines(self, count: int) -> list[str]:
        """The next lines, once they have come."""
        os.set_blocking(self.reader, True)
        with os.fdopen(self.reader, encoding="utf-8", closefd=False) as lines:
            return [lines.readline().lstrip("x").rstrip("\n") for _ in range(count)]

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


@pytest.fixture
def unread(tmp_path: Path) -> Iterator[Unread]:
    with closing(Unread(tmp_path)) as pipe:
        yield pipe


@pytest.fixture
def held_terminal() -> Iterator[int]:
    """A terminal on which Ctrl-S was pressed."""
    keyboard, terminal = pty.openpty()
    termios.tcflow(terminal, termios.TCOOFF)
    yield terminal
    os.close(terminal)
    os.close(keyboard)


async def run_and_terminate(directory: Path, stderr: int, *options: str) -> None:
    """It settles ids, and ends by the signal, with its own code and nothing unrecorded."""
    some = ids(5000)
    source = backlog(directory, *some)
    env = environment(PACE_RATE="300")
    async with Sandbox(sessions(some)) as sandbox:
        command: list[str | Path] = ["run", source, "--base-url", sandbox.url, *options]
        async with started_program(*command, env=env, stderr=stderr) as it:
            await until(lambda: sandbox.sessions.triggered > 100)
            it.signal(signal.SIGTERM)
            assert (await it.ends()).code == 143
        assert len(records_in(results(directory))) == sandbox.sessions.triggered


@pytest.mark.parametrize("options", [(), ("-v", "--no-progress")])
async def test_held_terminal_holds_up_neither_the_run_nor_its_end(
    tmp_path: Path, held_terminal: int, options: tuple[str, ...]
) -> None:
    await run_and_terminate(tmp_path, held_terminal, *options)


async def test_unread_pipe_holds_up_neither_the_run_nor_its_end(
    tmp_path: Path, unread: Unread
) -> None:
    await run_and_terminate(tmp_path, unread.writer, "-v")


async def test_error_that_nobody_reads_does_not_hold_up_the_exit(unread: Unread) -> None:
    async with started_program("report", "missing", stderr=unread.writer) as it:
        assert (await it.ends()).code == 2


def test_what_is_written_while_nobody_reads_comes_whole_and_in_order(unread: Unread) -> None:
    quiet = QuietStream(unread.stream)
    for number in range(5000):
        quiet.write(f"line {number}\n")
    assert quiet.is_behind
    assert unread.lines(5000) == [f"line {number}" for number in range(5000)]


def test_lines_left_out_while_nobody_reads_are_counted_in_the_log(
    unread: Unread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "_MOST_WAITING", 3)
    quiet = QuietStream(unread.stream)
    log = configure("json", "info", quiet)
    for number in range(8):
        log.info("line", number=number)
    kept = unread.lines(3)
    quiet.drain()
    log.info("line", number=8)
    events = [json.loads(line) for line in (*kept, *unread.lines(2))]
    assert [event.get("number") for event in events] == [0, 1, 2, None, 8]
    assert events[3]["message"] == "nobody read this log: 5 lines were left out"


def test_waiting_for_a_stuck_stream_has_an_end(
    unread: Unread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "_PATIENCE_S", 0.05)
    quiet = QuietStream(unread.stream)
    quiet.write("line\n")
    quiet.drain()
    assert quiet.is_behind


def in_a_process(code: str, stderr: str = os.devnull) -> int:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with Path(stderr).open("w", encoding="utf-8") as file:
        command = [sys.executable, "-c", textwrap.dedent(code)]
        return subprocess.run(command, env=environment, stderr=file, check=False).returncode


def test_exit_code_survives_a_full_disk_under_stderr() -> None:
    code = """
        import sys
        from worker.observers.logs import configure
        configure("json", "info", sys.stderr).info("run_started")
        sys.exit(4)
    """
    assert in_a_process(code, "/dev/full") == 4
