"""Answers of the API, of proxies and of nobody, and what each means for a session."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.api.verdict import (
    Answer,
    Foreign,
    NoAnswer,
    Refused,
    Settled,
    Throttled,
    Transient,
    Unfinished,
    judge_check,
    judge_completion,
    parse_retry_after,
)
from worker.core.outcomes import Error, Outcome

NOW = datetime(2026, 11, 23, 1, 0, 0, tzinfo=UTC)


def answer(status: int, body: object = None, retry_after: str | None = None) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, content, retry_after)


@pytest.mark.parametrize("status", ["processing", "complete"])
@pytest.mark.parametrize("judge", [judge_completion, judge_check])
def test_a_session_that_goes_on_by_itself_is_processing(judge: Any, status: Any) -> None:
    verdict = judge(answer(200, {"status": status, "id": "x"}))
    assert verdict == Settled(Outcome.PROCESSING, 200, status)


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"null", b'{"status":', b"<html>ok</html>", b'{"status": 7}', b"\xff\xfe"],
)
def test_a_success_without_the_apis_body_leaves_open_what_happened(body: Any) -> None:
    for judge in (judge_completion, judge_check):
        verdict = judge(answer(200, body))
        assert isinstance(verdict, Transient)
        assert verdict.ambiguous
        assert verdict.error.type == "unexpected_response"


def test_a_completion_answered_with_another_status_is_looked_at() -> None:
    verdict = judge_completion(answer(200, {"status": "cancelled"}))
    assert isinstance(verdict, Transient)
    assert verdict.ambiguous


def test_a_session_that_is_still_started_may_be_completed() -> None:
    assert judge_check(answer(200, {"status": "started"})) == Unfinished(200)


@pytest.mark.parametrize("status", ["cancelled", "abandoned"])
def test_a_session_that_has_ended_otherwise_fails_by_its_own_name(status: Any) -> None:
    verdict = judge_check(answer(200, {"status": status}))
    assert isinstance(verdict, Settled)
    assert (verdict.outcome, verdict.session_status) == (Outcome.FAILED, status)
    assert verdict.error is not None
    assert verdict.error.type == f"session_{status}"


def test_a_status_that_nobody_documented_is_not_sent_again() -> None:
    verdict = judge_check(answer(200, {"status": "paused"}))
    assert isinstance(verdict, Settled)
    assert (verdict.outcome, verdict.session_status) == (Outcome.FAILED, "paused")
    assert verdict.error is not None
    assert verdict.error.type == "ambiguous"
    assert "'paused'" in verdict.error.message


def test_only_the_apis_own_404_means_not_found() -> None:
    body = {"type": "resource_not_found", "message": "Invalid workflow session id 'x'"}
    verdict = judge_completion(answer(404, body))
    assert verdict == Settled(Outcome.NOT_FOUND, 404, None, Error(**body))


@pytest.mark.parametrize("body", [b"", b"<h1>nope</h1>", b'{"message":"Cannot POST /v2"}', b"{}"])
def test_any_other_404_raises_doubt_about_the_address(body: Any) -> None:
    verdict = judge_completion(answer(404, body))
    assert isinstance(verdict, Foreign)
    assert verdict.error.type == "unexpected_response"


@pytest.mark.parametrize("status", [400, 405, 409, 410, 413, 418, 422])
def test_a_request_that_the_api_rejects_fails_with_the_apis_words(status: Any) -> None:
    body = {"type": "invalid_request", "message": "no", "param": "id"}
    verdict = judge_completion(answer(status, body))
    assert verdict == Settled(Outcome.FAILED, status, None, Error("invalid_request", "no", "id"))


@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_refusal_of_the_key_ends_the_run(status: Any) -> None:
    verdict = judge_completion(answer(status, {"type": "unauthorized", "message": "no"}))
    assert verdict == Refused(Error("unauthorized", "no"), status)


@pytest.mark.parametrize("status", [408, 425, 500, 501, 502, 503, 504, 520, 599])
def test_a_server_in_trouble_may_have_acted_all_the_same(status: Any) -> None:
    verdict = judge_completion(answer(status, b"<html>\n  <h1>Bad   gateway</h1></html>"))
    assert isinstance(verdict, Transient)
    assert verdict.ambiguous
    assert verdict.error == Error(f"http_{status}", "a page of HTML: Bad gateway")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_nobodys_outcome(status: Any) -> None:
    assert isinstance(judge_completion(answer(status, b"")), Foreign)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 405, 409, 413, 422])
@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"message": "no"}', b'{"type": 7}'])
def test_a_rejection_in_another_shape_is_nobodys_outcome(status: int, body: bytes) -> None:
    for judge in (judge_completion, judge_check):
        assert isinstance(judge(answer(status, body)), Foreign)


@pytest.mark.parametrize("status", [500, 502, 503])
def test_the_apis_own_failure_says_that_it_has_done_with_the_request(status: int) -> None:
    own = judge_completion(answer(status, {"type": "internal_server_error", "message": "oh"}))
    gateways = judge_completion(answer(status, b"<html>"))
    assert isinstance(own, Transient)
    assert isinstance(gateways, Transient)
    assert (own.ambiguous, own.is_final) == (True, True)
    assert (gateways.ambiguous, gateways.is_final) == (True, False)


@pytest.mark.parametrize("judge", [judge_completion, judge_check])
def test_an_answer_that_names_another_session_leaves_open_what_happened(judge: Any) -> None:
    verdict = judge(answer(200, {"status": "processing", "id": "another"}), "mine")
    assert isinstance(verdict, Transient)
    assert verdict.ambiguous
    own = judge(answer(200, {"status": "processing", "id": "mine"}), "mine")
    assert own == Settled(Outcome.PROCESSING, 200, "processing")


def test_a_date_to_retry_after_is_of_the_servers_own_clock() -> None:
    busy = Answer(429, b"", "Mon, 23 Nov 2020 01:01:30 GMT", "Mon, 23 Nov 2020 01:00:00 GMT")
    verdict = judge_completion(busy)
    assert isinstance(verdict, Throttled)
    assert verdict.retry_after_s == 90.0


@pytest.mark.parametrize("date", [None, "", "yesterday", "Mon, 99 Nov 2020 01:00:00 GMT"])
def test_without_a_date_to_reckon_from_a_date_to_retry_after_says_nothing(date: str | None) -> None:
    verdict = judge_completion(Answer(429, b"", "Mon, 23 Nov 2020 01:01:30 GMT", date))
    assert isinstance(verdict, Throttled)
    assert verdict.retry_after_s is None


def test_a_throttle_is_not_a_failure() -> None:
    body = {"type": "rate_limit_exceeded", "message": "slow"}
    verdict = judge_completion(answer(429, body, "7"))
    assert verdict == Throttled(Error("rate_limit_exceeded", "slow"), 429, 7.0)


def test_an_outage_may_say_when_to_come_back() -> None:
    verdict = judge_completion(answer(503, b"", "120"))
    assert isinstance(verdict, Transient)
    assert verdict.retry_after_s == 120.0


@pytest.mark.parametrize("may_have_arrived", [True, False])
def test_no_answer_is_ambiguous_only_where_the_request_may_have_left(
    may_have_arrived: bool,
) -> None:
    verdict = judge_completion(NoAnswer(Error("timeout", ""), may_have_arrived))
    assert isinstance(verdict, Transient)
    assert verdict.ambiguous is may_have_arrived


def test_a_certificate_that_is_not_valid_ends_the_run() -> None:
    verdict = judge_completion(NoAnswer(Error("certificate_invalid", "self-signed"), False))
    assert isinstance(verdict, Refused)


@given(st.integers(100, 599), st.binary(max_size=2000), st.none() | st.text(max_size=40))
def test_every_answer_has_a_verdict_whose_words_are_bounded(
    status: Any, body: Any, retry_after: str | None
) -> None:
    for judge in (judge_completion, judge_check):
        verdict = judge(Answer(status, body, retry_after))
        error = getattr(verdict, "error", None)
        if error is not None:
            assert error.type
            assert max(len(error.type), len(error.message), len(error.param or "")) <= 500


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("30", 30.0),
        (" 2.5 ", 2.5),
        ("86400", 86400.0),
        ("9" * 400, 1e9),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("1e3", None),
        ("nan", None),
        ("٣", None),
        ("Mon, 23 Nov 2026 01:01:30 GMT", 90.0),
        ("Mon, 23 Nov 2026 00:59:00 GMT", None),
        ("Mon, 23 Nov 2026 01:00:10", 10.0),
        ("Mon, 99 Nov 2026 01:00:10 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header, NOW) == seconds


@pytest.mark.parametrize("odd", [None, 7, [], {}, ["id"], True])
@pytest.mark.parametrize("field", ["message", "param"])
def test_one_odd_field_of_an_error_hides_no_other(field: str, odd: Any) -> None:
    body = {"type": "resource_not_found", "message": "Invalid", "param": "id"} | {field: odd}
    verdict = judge_completion(answer(404, body))
    assert isinstance(verdict, Settled)
    assert verdict.outcome is Outcome.NOT_FOUND
    refusal = judge_completion(answer(400, body | {"type": "invalid_request"}))
    assert isinstance(refusal, Settled)
    assert refusal.error is not None
    assert refusal.error.type == "invalid_request"
    assert isinstance(refusal.error.message, str)


@pytest.mark.parametrize("odd", [None, 7, ["resource_not_found"], {}])
def test_a_404_whose_type_is_no_text_is_not_the_apis_own(odd: Any) -> None:
    assert isinstance(judge_completion(answer(404, {"type": odd, "message": "x"})), Foreign)
