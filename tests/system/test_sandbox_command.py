"""`complete-sessions sandbox`, and the file of sessions that it reads."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest

from tests.support.sandbox_caller import (
    KEY,
    ONE,
    TWO,
)
from worker.cli.sandbox import sandbox
from worker.core.errors import ExitCode, UsageError
from worker.sandbox.sessions import Status, read_sessions


def test_sessions_are_read_from_ids_csv_or_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "sessions"
    path.write_text(
        "\ufeffid,status\r\na\r\n\r\n# one that was given up\r\nb,cancelled\n c , complete \n"
        '{"id": "d", "status": "abandoned"}\n{"id": "e"}\n'
    )
    assert read_sessions(path) == {
        "a": Status.STARTED,
        "b": Status.CANCELLED,
        "c": Status.COMPLETE,
        "d": Status.ABANDONED,
        "e": Status.STARTED,
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\nb,done\n", "line 2: Invalid enum value 'done'"),
        ('{"id": 1}\n', "line 1: Expected `str`, got `int`"),
        ("{no}\n", "line 1 is not JSON"),
    ],
)
def test_a_line_that_is_no_session_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "sessions"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        read_sessions(path)


def test_sessions_that_cannot_be_read_are_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the sessions"):
        read_sessions(tmp_path / "absent")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot read the sessions"):
        read_sessions(tmp_path / "binary")


@contextmanager
def command(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The program itself, run as a process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "worker", "sandbox", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_a_signal_and_then_tells_its_counts(
    number: signal.Signals, tmp_path: Path
) -> None:
    (tmp_path / "ids").write_text(f"{ONE}\n{TWO},cancelled\n")
    options = ["--latency", "1ms-2ms", "--fault", "http_500@get=1", "--outage", "1h-2h"]
    with command("--port", "0", "--sessions", f"{tmp_path}/ids", *options) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.fullmatch(r"sandbox listening on http://(127\.0\.0\.1:[0-9]+)/v1\n", line)
        assert match is not None
        for session_id in (ONE, TWO, "absent"):
            send(match[1], "POST", f"{session_id}/complete")
        send(match[1], "GET", ONE)
        process.send_signal(number)
        rest, hint = process.communicate(timeout=10)
    assert process.returncode == 0
    assert match[1] in hint
    stats = json.loads(rest)
    assert stats["requests"]["by_status"] == {"200": 1, "400": 1, "404": 1, "500": 1}
    assert (stats["triggered"], stats["faults"]) == (1, {"http_500": 1})


def send(netloc: str, method: str, path: str) -> None:
    connection = http.client.HTTPConnection(netloc, timeout=10)
    connection.request(method, f"/v1/workflowSessions/{path}", headers={"Authorization": KEY})
    connection.getresponse().read()
    connection.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Give --sessions FILE or --any-id"),
        (["--any-id", "--fault", "nothing=1"], "there is no fault 'nothing'"),
        (["--any-id", "--latency", "soon"], "--latency is 'soon'; it must be two durations"),
        (["--any-id", "--latency", "2s-1s"], "the shorter one first"),
        (["--any-id", "--outage", "5"], "it must be two durations"),
        (["--any-id", "--processing-time", "-1"], "it must be a duration from 0s"),
        (["--any-id", "--limit", "-1"], "--limit is '-1'; it must be a number of 0 or more"),
    ],
)
def test_an_option_that_cannot_be_meant_is_a_usage_error(arguments: list[str], said: str) -> None:
    with pytest.raises((UsageError, click.UsageError)) as caught:
        sandbox.main(["--port", "0", *arguments], standalone_mode=False)
    assert said in str(caught.value)


def test_a_port_that_is_taken_ends_the_command_with_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with command("--port", str(port), "--any-id") as process:
            output, error = process.communicate(timeout=10)
    assert (process.returncode, output) == (ExitCode.USAGE, "")
    assert error == (
        f"complete-sessions: port {port} is in use. Choose another one with --port, or 0\n"
    )
