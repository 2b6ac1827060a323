"""The socket of a run: for its owner alone, at any length of path, and gone with the run."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.log_samples import at, record
from tests.support.sample_events import finished, tally
from worker.app.control.address import bound, connected, socket_path
from worker.app.control.client import ask
from worker.app.control.last import keep_account, last_status, read_account
from worker.app.control.protocol import PauseStatus, Reply, Request, RunStatus
from worker.app.control.server import Peer, RunControl, serving
from worker.app.control.wording import describe
from worker.core.errors import ExitCode, UsageError
from worker.core.identity import RunIdentity
from worker.observers.account import account_of
from worker.report.aggregation import Aggregator
from worker.report.model import Report, summarise

NOW = datetime(2026, 11, 26, 7, tzinfo=UTC)


def status(**given: Any) -> RunStatus:
    values: dict[str, Any] = {
        "running": True,
        "results": "log",
        "run": "r1",
        "pid": 7,
        "host": "host",
        "since": "2026-11-26T06:00:00Z",
        "outcomes": {"processing": 3, "not_found": 2, "failed": 1},
        "done": 6,
        "total": 10,
        "left": 4,
        "rate_asked": "5",
        "rate_allowed": 4.0,
        "rate_now": 3.9,
        "pause": None,
        "eta_s": 90.0,
        "stopping": False,
        "ended": None,
        "exit_code": None,
        "reason": None,
    }
    return RunStatus(**values | given)


def test_status_says_where_the_requests_in_flight_bound_the_rate() -> None:
    [_, _, plain, *_] = describe(status(), NOW)
    [_, _, bound, *_] = describe(status(concurrency_bound=32), NOW)
    assert plain == "rate     3.9 of 4 requests a second; asked for: 5"
    assert bound == "rate     3.9 of 4 requests a second, bound by 32 in flight; asked for: 5"


@pytest.mark.parametrize("length", [10, 90, 240])
def test_socket_is_reached_at_any_length_of_path_and_by_its_owner_alone(
    tmp_path: Path, length: int
) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    path = socket_path(deep / ("n" * length))
    before = os.umask(0)
    try:
        with bound(path) as listener:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            with connected(path, 5.0):
                listener.accept()[0].close()
    finally:
        os.umask(before)
    assert not path.exists()


def test_socket_that_a_dead_run_has_left_is_no_run_and_is_replaced(tmp_path: Path) -> None:
    path = socket_path(tmp_path / "log")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert ask(tmp_path / "log", Request()) is None
    with bound(path), connected(path, 5.0):
        pass


def test_a_run_that_stands_still_may_do_later_what_it_was_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.app.control.client._PATIENCE_S", 0.05)
    told = "has not answered within 0.05 s.*kill -CONT.*it may do still"
    with bound(socket_path(tmp_path / "log")), pytest.raises(UsageError, match=told) as caught:
        ask(tmp_path / "log", Request())
    assert "run on" in caught.value.message


def test_a_file_that_is_no_socket_stays_as_it_is(tmp_path: Path) -> None:
    path = socket_path(tmp_path / "log")
    path.write_text("somebody's own\n")
    with pytest.raises(FileExistsError), bound(path):
        pass
    assert path.read_text() == "somebody's own\n"


async def test_a_run_goes_on_where_something_else_stands_at_its_socket(tmp_path: Path) -> None:
    path = socket_path(tmp_path / "log")
    told: list[str] = []
    path.mkdir()
    async with serving(Answering(), tmp_path / "log", told.append):
        pass
    assert told == ["`status` and `control` will not reach this run: File exists"]
    assert path.is_dir()


def test_no_socket_is_no_run(tmp_path: Path) -> None:
    assert ask(tmp_path / "log", Request()) is None


class Answering(RunControl):
    """One that keeps what it is asked, and always gives the same reply."""

    def __init__(self, reply: Reply | None = None) -> None:
        self.asked: list[tuple[bytes, Peer]] = []
        self._reply = reply or Reply(status=status())

    def answer(self, line: bytes, peer: Peer) -> Reply:
        self.asked.append((line, peer))
        return self._reply


async def test_desk_is_asked_by_way_of_the_log_and_told_by_whom(tmp_path: Path) -> None:
    log, control = tmp_path / "log", Answering()
    async with serving(control, log, pytest.fail):
        answer = await asyncio.to_thread(ask, log, Request(rate="4"))
    assert answer == status()
    [(line, peer)] = control.asked
    assert line == b'{"rate":"4"}\n'
    assert peer == Peer(os.getpid(), os.geteuid())
    assert not socket_path(log).exists()


@pytest.mark.parametrize(("uid", "is_answered"), [(12345, False), (0, True)])
async def test_other_users_are_not_answered_but_root_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, is_answered: bool
) -> None:
    def credentials(_socket: socket.socket, _level: int, name: int, _size: int) -> bytes:
        assert name == socket.SO_PEERCRED
        return struct.pack("3i", 1, uid, uid)

    monkeypatch.setattr(socket.socket, "getsockopt", credentials)
    control = Answering()
    async with serving(control, tmp_path / "log", pytest.fail):
        answer = await asyncio.to_thread(ask, tmp_path / "log", Request())
    assert answer == (status() if is_answered else None)
    assert len(control.asked) == is_answered


async def test_run_goes_on_where_there_can_be_no_socket(tmp_path: Path) -> None:
    warned: list[str] = []
    async with serving(Answering(), tmp_path / "missing" / "log", warned.append):
        pass
    assert "`status` and `control` will not reach this run: No such file" in warned[0]


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"{", b'{"rate": 4}', b'{"other": 1}', b"\xff\xfe", b"[" * 9_000]
)
def test_what_is_no_request_changes_nothing(line: bytes) -> None:
    nothing: Any = object()
    control = RunControl(*[nothing] * 6, parse_rate=nothing, tell=nothing)
    reply = control.answer(line, Peer(1, 1))
    assert reply.status is None
    assert reply.error


async def test_run_that_will_not_is_wrong_usage(tmp_path: Path) -> None:
    log, unwilling = tmp_path / "log", Answering(Reply(error="no such rate"))
    async with serving(unwilling, log, pytest.fail):
        with pytest.raises(UsageError, match="does not take that: no such rate"):
            await asyncio.to_thread(ask, log, Request(rate="x"))


# For people


def told(**given: Any) -> str:
    return "\n".join(describe(status(**given), NOW))


def test_status_says_where_a_run_stands() -> None:
    text = told()
    assert "run r1 is on: process 7 on host, since 2026-11-26" in text
    assert "done     6 of 10: 3 processing, 2 not found, 1 failed" in text
    assert "rate     3.9 of 4 requests a second; asked for: 5" in text
    assert "left     1m 30s, done about" in text


def test_status_says_why_it_waits() -> None:
    pause = PauseStatus(reason="outage", until="2026-11-26T07:01:00Z")
    assert "paused   the API is away, until 2026-11-26" in told(pause=pause)
    held = PauseStatus(reason="held", until=None)
    assert "paused   by `control`, until `control --resume`" in told(pause=held)
    assert "in flight is finished" in told(stopping=True)


def test_long_runs_are_done_on_a_day() -> None:
    assert "done on Saturday about" in told(eta_s=2 * 86_400.0)


def test_no_text_of_a_run_steers_the_terminal() -> None:
    assert told(host="h\x1b[2J", run="r\n").replace("\n", "").isprintable()


# The last run


def report(*runs: str) -> Report:
    aggregator = Aggregator()
    lines = [record(run, run=run, at=at(3600.0 * n)) for n, run in enumerate(runs)]
    aggregator.read("log", lines)
    return summarise(aggregator)


def account(run: str, code: ExitCode = ExitCode.STOPPED) -> Any:
    identity = RunIdentity(run, "1", "host", 7, "", datetime(2026, 11, 22, tzinfo=UTC))
    return account_of(finished(code, tally(5, 3, 2), reason="time is over"), identity, "it")


def test_account_of_the_last_run_is_kept_and_told(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    keep_account(tmp_path / "log", account("b"))
    found = last_status(tmp_path / "log", report("a", "b"))
    assert (found.running, found.run, found.exit_code) == (False, "b", 5)
    assert found.reason == "time is over"
    assert found.outcomes == {"processing": 2, "not_found": 0, "failed": 0}
    text = "\n".join(describe(found))
    assert text.startswith("no run is on\nlast     b, ended ")
    assert "code     5: Stopped at" in text


def test_account_of_a_run_before_the_last_is_not_taken_for_its(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    keep_account(tmp_path / "log", account("a"))
    older = read_account(tmp_path / "log")
    assert older is not None
    newest = Aggregator()
    newest.read("log", [record("x", run="b", at="2036-01-01T00:00:00Z")])
    found = last_status(tmp_path / "log", summarise(newest))
    assert (found.run, found.exit_code) == ("b", None)


def test_log_without_an_account_and_empty_log() -> None:
    found = last_status(Path("log"), report("a"))
    assert (found.run, found.exit_code, found.ended) == ("a", None, "2026-11-22T01:00:00Z")
    assert "nothing has been recorded yet" in "\n".join(
        describe(last_status(Path("log"), report()))
    )


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("exit_code", 64, "code     64: this version knows no such code"),
        ("exit_code", 137, "code     137: The process was killed by SIGKILL"),
        ("ended", "yesterday", "no run is on"),
        ("began", "", "no run is on"),
    ],
)
def test_account_of_another_version_is_shown_as_far_as_it_is_understood(
    tmp_path: Path, field: str, value: object, told: str
) -> None:
    log = tmp_path / "log"
    log.touch()
    keep_account(log, account("b"))
    kept = json.loads((tmp_path / "log.account").read_bytes()) | {field: value}
    (tmp_path / "log.account").write_text(json.dumps(kept))
    said = "\n".join(describe(last_status(log, report("b"))))
    assert told in said


def test_account_never_takes_the_place_of_another_file(tmp_path: Path) -> None:
    other = tmp_path / "log.account"
    other.write_text("kept")
    (tmp_path / "log").touch()
    keep_account(tmp_path / "log", account("a"))
    assert other.read_text() == "kept"
    assert read_account(tmp_path / "log") is None
