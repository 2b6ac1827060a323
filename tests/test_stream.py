"""Streams that break under the log, and what the log makes of a line on its way there."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import pytest
from rich.console import Console
from sample_events import (
    HandClock,
    finished,
    record,
    recorded,
    retry_scheduled,
    started,
    survived_trouble,
)

from worker.observers.logs import LogObserver, configure
from worker.observers.stream import QuietStream
from worker.outcomes import Error, Outcome

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
    console = Console(file=stream, force_terminal=True) if through_console else None
    observer = LogObserver(configure("console", "info", stream, console), 30.0, HandClock())
    for event in survived_trouble():
        observer.notice(event)
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
        os.read(reader, 1 << 20)
        observer.notice(finished())
        assert json.loads(os.read(reader, 1 << 20).splitlines()[-1])["event"] == "run_finished"
    os.close(reader)


def test_stream_of_a_small_alphabet_gets_escapes() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    logger = configure("console", "info", stream)
    LogObserver(logger, None, HandClock()).notice(retry_scheduled(Error("x", "né")))
    assert rb"message=n\xe9" in raw.getvalue()


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
