"""Every answer of the API, of proxies and of strangers, and the record that comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.raw_server import (
    PROCESSING,
    STARTED,
    RawServer,
    Request,
    Sent,
    Then,
    always,
    response,
)
from tests.support.run_harness import KEY, Ended, RunHarness, ids
from worker.core.errors import ExitCode
from worker.core.outcomes import Outcome, Record

ID = ids(1)[0]
NOT_FOUND = b'{"type": "resource_not_found", "message": "Invalid workflow session id"}'
DONE = response(PROCESSING)


class Run(NamedTuple):
    ended: Ended
    methods: list[str]

    @property
    def record(self) -> Record:
        return self.ended[ID]

    @property
    def error(self) -> tuple[str, str]:
        assert self.record.error is not None
        return self.record.error.type, self.record.error.message


async def run_against(
    directory: Path, *posts: bytes | Sent, get: bytes | Sent = STARTED, **given: object
) -> Run:
    """A run over one id; the last answer to its POSTs is given again and again."""

    def answer(request: Request) -> Sent:
        if request.method == "GET":
            return get if isinstance(get, Sent) else Sent(response(get))
        sent = posts[min(server.methods.count("POST"), len(posts)) - 1]
        return sent if isinstance(sent, Sent) else Sent(sent)

    async with RawServer(answer) as server:
        ended = await RunHarness(directory, server.url, **given).run([ID])
    assert {request.headers["authorization"] for request in server.requests} == {KEY}
    return Run(ended, server.methods)


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "202 Accepted"])
@pytest.mark.parametrize("session", ["processing", "complete"])
async def test_a_success_settles(tmp_path: Path, status: str, session: str) -> None:
    body = f'{{"status": "{session}", "more": [1]}}'.encode()
    run = await run_against(tmp_path, response(body, status=status))
    assert (run.record.outcome, run.record.session_status) == (Outcome.PROCESSING, session)
    assert (run.record.http_status, run.methods) == (int(status[:3]), ["POST"])
    assert (run.record.error, run.ended.code) == (None, ExitCode.OK)


@pytest.mark.parametrize(
    "data",
    [
        response(b"{}"),
        response(b'{"status": "started"}'),
        response(b'[{"status": "processing"}]'),
        response(b"\xff\xfe\x00"),
        response(b'{"a":' * 10_000),
        response(b"", status="204 No Content", length=-1),
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ],
)
async def test_a_success_that_is_not_the_apis_is_read_and_then_sent_again(
    tmp_path: Path, data: bytes
) -> None:
    run = await run_against(tmp_path, data, DONE)
    assert run.methods == ["POST", "GET", "POST"]
    assert (run.record.outcome, run.record.attempts) == (Outcome.PROCESSING, 2)


async def test_the_apis_own_404_is_not_found(tmp_path: Path) -> None:
    run = await run_against(tmp_path, response(NOT_FOUND, status="404 Not Found"))
    assert (run.record.outcome, run.record.http_status) == (Outcome.NOT_FOUND, 404)
    assert run.error == ("resource_not_found", "Invalid workflow session id")
    assert (run.methods, run.ended.code) == (["POST"], ExitCode.OK)


@pytest.mark.parametrize("body", [b"", b"<html>404</html>", b'{"type": "other"}', b"[]", b"null"])
async def test_any_other_404_is_not(tmp_path: Path, body: bytes) -> None:
    page = Sent(response(body, status="404 Not Found"))
    run = await run_against(tmp_path, page, get=page)
    assert (run.ended.code, run.ended.outcomes) == (ExitCode.REFUSED, {"ambiguous": 1})
    assert run.methods == ["POST", *["GET"] * 4]


@pytest.mark.parametrize("status", [400, 405, 409, 413, 418, 422, 451])
async def test_a_rejection_fails_with_the_apis_words_and_is_not_retried(
    tmp_path: Path, status: int
) -> None:
    body = b'{"type": "invalid_request", "message": "no such thing", "param": "id"}'
    run = await run_against(tmp_path, response(body, status=f"{status} No"))
    assert run.error == ("invalid_request", "no such thing")
    assert run.record.error is not None
    assert run.record.error.param == "id"
    assert (run.methods, run.record.http_status) == (["POST"], status)
    assert run.ended.code is ExitCode.SOME_FAILED


@pytest.mark.parametrize("status", ["400 Bad", "401 No", "403 Forbidden", "413 Big"])
@pytest.mark.parametrize("body", [b"<h1>\n Too  large </h1>", b'{"a":' * 10_000, b"{}"])
async def test_a_rejection_that_is_not_the_apis_own_is_nobodys_outcome(
    tmp_path: Path, body: bytes, status: str
) -> None:
    page = Sent(response(body, status=status))
    run = await run_against(tmp_path, page, get=page)
    assert (run.ended.code, run.ended.outcomes) == (ExitCode.REFUSED, {"ambiguous": 1})
    assert "not the API's own" in run.ended.finished.reason
    assert run.methods == ["POST", *["GET"] * 4]


PAGE = response(b"<html>Sorry</html>", status="404 Not Found")


async def test_an_answer_in_the_apis_place_is_read_and_what_was_done_is_not_sent_again(
    tmp_path: Path,
) -> None:
    run = await run_against(tmp_path, PAGE, get=PROCESSING)
    assert run.methods == ["POST", "GET"]
    assert (run.record.outcome, run.record.via) == (Outcome.PROCESSING, "check")


async def test_an_answer_in_the_apis_place_is_read_and_what_was_not_done_is_sent_again(
    tmp_path: Path,
) -> None:
    run = await run_against(tmp_path, PAGE, DONE)
    assert run.methods == ["POST", "GET", "POST"]
    assert run.record.outcome is Outcome.PROCESSING


async def test_a_session_whose_completion_alone_is_answered_in_the_apis_place_fails(
    tmp_path: Path,
) -> None:
    run = await run_against(tmp_path, PAGE, retry_max_attempts=3)
    assert run.methods == ["POST", "GET"] * 3
    assert (run.error[0], run.ended.code) == ("unexpected_response", ExitCode.SOME_FAILED)


@pytest.mark.parametrize(("policy", "posts"), [("resend", 5), ("fail", 1)])
async def test_an_answer_in_the_apis_place_obeys_on_ambiguous(
    tmp_path: Path, policy: str, posts: int
) -> None:
    run = await run_against(tmp_path, PAGE, get=Sent(PAGE), retry_on_ambiguous=policy)
    assert run.methods == ["POST"] * posts
    assert run.ended.outcomes == ({"ambiguous": 1} if policy == "fail" else {})


async def test_a_message_of_any_length_is_cut(tmp_path: Path) -> None:
    body = b'{"type": "%s", "message": "%s", "param": "%s"}' % (b"t" * 900, b"m" * 900, b"p" * 900)
    run = await run_against(tmp_path, response(body, status="400 Bad"))
    error = run.record.error
    assert error is not None
    assert (error.type, error.message, error.param) == ("t" * 500, "m" * 500, "p" * 500)


@pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504, 599])
async def test_a_failure_of_the_server_is_read_and_then_sent_again(
    tmp_path: Path, status: int
) -> None:
    run = await run_against(tmp_path, response(b"<html>", status=f"{status} Sorry"), DONE)
    assert run.methods == ["POST", "GET", "POST"]
    assert (run.record.outcome, run.record.attempts) == (Outcome.PROCESSING, 2)


@pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504, 599])
async def test_a_failure_of_the_server_that_acted_all_the_same_is_not_sent_again(
    tmp_path: Path, status: int
) -> None:
    data = response(b"<html>", status=f"{status} Sorry")
    run = await run_against(tmp_path, data, get=PROCESSING)
    assert run.methods == ["POST", "GET"]
    assert (run.record.via, run.record.attempts) == ("check", 1)


@pytest.mark.parametrize(
    ("get", "error"),
    [
        (b'{"status": "cancelled"}', "session_cancelled"),
        (b'{"status": "abandoned"}', "session_abandoned"),
        (b'{"status": "paused"}', "ambiguous"),
    ],
)
async def test_a_reading_fails_an_id_by_the_sessions_status(
    tmp_path: Path, get: bytes, error: str
) -> None:
    run = await run_against(tmp_path, response(b"", status="503 Sorry"), get=get)
    assert run.methods == ["POST", "GET"]
    assert (run.record.outcome, run.record.via) == (Outcome.FAILED, "check")
    assert run.error[0] == error


async def test_a_reading_settles_an_id_whose_session_is_complete(tmp_path: Path) -> None:
    answer = response(b"", status="503 Sorry")
    run = await run_against(tmp_path, answer, get=b'{"status": "complete"}')
    assert run.methods == ["POST", "GET"]
    assert (run.record.outcome, run.record.via) == (Outcome.PROCESSING, "check")
    assert run.record.error is None


async def test_the_last_failure_is_named_when_the_attempts_are_used_up(tmp_path: Path) -> None:
    data = response(b'{"type": "internal_server_error", "message": "oh"}', status="500 Oh")
    run = await run_against(tmp_path, data, retry_max_attempts=3)
    assert run.methods == ["POST", "GET"] * 3
    assert (run.error, run.record.attempts) == (("internal_server_error", "oh"), 3)


@pytest.mark.parametrize("header", [(), ("Retry-After: 0",), ("Retry-After: soon",)])
async def test_a_429_is_sent_again_without_reading(tmp_path: Path, header: tuple[str, ...]) -> None:
    busy = response(b"", *header, status="429 Slow")
    run = await run_against(tmp_path, busy, busy, DONE, retry_max_attempts=1)
    assert run.methods == ["POST", "POST", "POST"]
    assert run.record.outcome is Outcome.PROCESSING


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
async def test_a_redirect_fails_and_carries_the_key_nowhere(tmp_path: Path, status: int) -> None:
    async with RawServer(always(DONE)) as elsewhere:
        moved = response(b"", f"Location: {elsewhere.url}/x", status=f"{status} Moved", length=-1)
        page = Sent(moved, Then.CLOSE)
        run = await run_against(tmp_path, page, get=page)
        assert (run.ended.code, run.ended.outcomes) == (ExitCode.REFUSED, {"ambiguous": 1})
        assert (run.methods, elsewhere.accepted) == (["POST", *["GET"] * 4], 0)


@pytest.mark.parametrize("then", [Then.CLOSE, Then.RESET])
@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\nCont", response(b"{", length=9)])
async def test_an_answer_that_breaks_off_is_read_and_then_sent_again(
    tmp_path: Path, data: bytes, then: Then
) -> None:
    run = await run_against(tmp_path, Sent(data, then), DONE)
    assert run.methods == ["POST", "GET", "POST"]


async def test_an_answer_that_stays_away_is_read_and_then_sent_again(tmp_path: Path) -> None:
    run = await run_against(tmp_path, Sent(b"", Then.HANG), DONE, api_timeout="2s")
    assert run.methods == ["POST", "GET", "POST"]


async def test_who_is_not_there_is_asked_again_without_reading(tmp_path: Path) -> None:
    ended = await RunHarness(tmp_path, retry_max_attempts=3, stop_patience="1s").run([ID])
    assert (ended.code, ended.outcomes) == (ExitCode.UNAVAILABLE, {})
    assert ended.finished.tally.requests["connect_failed"] > 3
    assert ended.finished.tally.checks == 0


async def test_nobody_waits_longer_than_patience_because_a_server_says_so(tmp_path: Path) -> None:
    busy = response(b"", "Retry-After: 86400", status="503 Later")
    run = await run_against(tmp_path, busy, stop_patience="500ms", retry_max_attempts=2)
    assert (run.error[0], run.methods) == ("http_503", ["POST", "GET"] * 2)


async def test_a_firewall_that_lets_only_reading_through_stops_the_run(tmp_path: Path) -> None:
    page = b"<html><title>Blocked</title></html>"
    blocked = response(page, "Content-Type: text/html", status="403 Forbidden")

    def answer(request: Request) -> Sent:
        return Sent(response(STARTED) if request.method == "GET" else blocked)

    given = {"stop_suspicious_after": 20, "pace_concurrency": 1, "retry_max_attempts": 2}
    async with RawServer(answer) as server:
        here = RunHarness(tmp_path, server.url, **given)
        first = await here.run(ids(40))
    assert first.code is ExitCode.REFUSED
    assert "Look at the proxy, the firewall" in first.finished.advice
    assert first.outcomes["unexpected_response"] >= 20
    assert first.finished.tally.not_attempted > 0
