"""What an answer of the API, or the lack of one, means for a session. Pure: no network, no loop.

Follows the API's documentation of errors and of the workflow session's `status`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from worker.core.outcomes import MAX_MESSAGE_LENGTH, Error, ErrorType, Outcome


class Answer(msgspec.Struct, frozen=True, gc=False):
    """An HTTP response. `body` may be cut at the client's bound; `retry_after` is the header."""

    status: int
    body: bytes
    retry_after: str | None = None

    @property
    def label(self) -> str:
        return str(self.status)


class NoAnswer(msgspec.Struct, frozen=True, gc=False):
    """A request without a usable response. `may_have_arrived`: it may have left this machine."""

    error: Error
    may_have_arrived: bool

    @property
    def label(self) -> str:
        return self.error.type


Reply = Answer | NoAnswer


class Settled(msgspec.Struct, frozen=True, gc=False):
    """The id's outcome is known. `http_status` is None where no answer told it."""

    outcome: Outcome
    http_status: int | None
    session_status: str | None = None
    error: Error | None = None


class Unfinished(msgspec.Struct, frozen=True, gc=False):
    """The session is still `started`: completing it has not reached the API."""

    http_status: int


class Transient(msgspec.Struct, frozen=True, gc=False):
    """May go better later. `ambiguous`: the API may have acted all the same."""

    error: Error
    ambiguous: bool
    http_status: int | None = None
    retry_after_s: float | None = None


class Throttled(msgspec.Struct, frozen=True, gc=False):
    """Refused for its rate or the quota, and so not acted upon."""

    error: Error
    http_status: int
    retry_after_s: float | None


class Refused(msgspec.Struct, frozen=True, gc=False):
    """No request of this run can succeed: the key, the account or the certificate is at fault."""

    error: Error
    http_status: int | None = None


class Misdirected(msgspec.Struct, frozen=True, gc=False):
    """A 404 that is not the API's own: perhaps another server stands at the base URL."""

    error: Error
    http_status: int


Verdict = Settled | Unfinished | Transient | Throttled | Refused | Misdirected

_REFUSALS = frozenset({401, 402, 403})
_AMBIGUOUS_CLIENT_ERRORS = frozenset({408, 425})


class _Session(msgspec.Struct):
    status: str


class _ApiError(msgspec.Struct):
    """What should be texts, and what else a server may put there: one odd field hides no other."""

    type: Any = None
    message: Any = None
    param: Any = None


_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_decode_session = msgspec.json.Decoder(_Session).decode
_decode_error = msgspec.json.Decoder(_ApiError).decode


def judge_completion(reply: Reply, now: datetime | None = None) -> Verdict:
    """What the answer to `POST /workflowSessions/:id/complete` means."""
    if isinstance(reply, Answer) and 200 <= reply.status < 300:
        status = _session_status(reply.body)
        if status in ("processing", "complete"):
            return Settled(Outcome.PROCESSING, reply.status, status)
        return Transient(_unexpected(reply), ambiguous=True, http_status=reply.status)
    return _judge_failure(reply, now)


def judge_check(reply: Reply, now: datetime | None = None) -> Verdict:
    """What the answer to `GET /workflowSessions/:id` means."""
    if isinstance(reply, Answer) and 200 <= reply.status < 300:
        return _judge_session(reply)
    return _judge_failure(reply, now)


def _judge_session(answer: Answer) -> Verdict:
    status = _session_status(answer.body)
    match status:
        case "processing" | "complete":
            return Settled(Outcome.PROCESSING, answer.status, status)
        case "started":
            return Unfinished(answer.status)
        case "cancelled" | "abandoned":
            kind = (
                ErrorType.SESSION_CANCELLED
                if status == "cancelled"
                else ErrorType.SESSION_ABANDONED
            )
            error = Error(kind.value, f"the session is {status}: it cannot be completed")
            return Settled(Outcome.FAILED, answer.status, status, error)
        case None:
            return Transient(_unexpected(answer), ambiguous=True, http_status=answer.status)
        case _:
            # It may be one that follows a completion: to send the session blindly is never right.
            message = _clip(f"the session's status is {status!r}, which is not known")
            error = Error(ErrorType.AMBIGUOUS.value, message)
            return Settled(Outcome.FAILED, answer.status, _clip(status), error)


def _judge_failure(reply: Reply, now: datetime | None) -> Verdict:
    if isinstance(reply, NoAnswer):
        if reply.error.type in (ErrorType.CERTIFICATE, ErrorType.PROXY_REFUSED):
            return Refused(reply.error)
        return Transient(reply.error, reply.may_have_arrived)
    status = reply.status
    if 300 <= status < 400:
        message = f"the API answered {status}, a redirect, which is never followed"
        error = Error(ErrorType.UNEXPECTED_RESPONSE.value, message)
        return Settled(Outcome.FAILED, status, error=error)
    if status == 404:
        return _judge_missing(reply)
    error = _api_error(reply)
    if status == 429:
        return Throttled(error, status, parse_retry_after(reply.retry_after, now))
    if status in _REFUSALS:
        return Refused(error, status)
    if status >= 500 or status in _AMBIGUOUS_CLIENT_ERRORS or status < 200:
        retry_after_s = parse_retry_after(reply.retry_after, now)
        return Transient(error, ambiguous=True, http_status=status, retry_after_s=retry_after_s)
    return Settled(Outcome.FAILED, status, error=error)


def _judge_missing(answer: Answer) -> Settled | Misdirected:
    error = _api_error(answer)
    if error.type == "resource_not_found":
        return Settled(Outcome.NOT_FOUND, 404, error=error)
    return Misdirected(_unexpected(answer), 404)


def _session_status(body: bytes) -> str | None:
    try:
        return _decode_session(body).status
    except _UNREADABLE:
        return None


def _api_error(answer: Answer) -> Error:
    """The error as the API describes it, or `http_<status>` with what a proxy wrote instead."""
    try:
        described = _decode_error(answer.body)
    except _UNREADABLE:
        described = _ApiError()
    kind = _clipped(described.type) or f"http_{answer.status}"
    message = _clipped(described.message) or _clip(_text(answer.body))
    return Error(kind, message, _clipped(described.param))


def _unexpected(answer: Answer) -> Error:
    content = _text(answer.body) or "an empty body"
    message = f"HTTP {answer.status} with a body that is not the API's: {content}"
    return Error(ErrorType.UNEXPECTED_RESPONSE.value, _clip(message))


def _text(body: bytes) -> str:
    head = body[: 4 * MAX_MESSAGE_LENGTH].decode("utf-8", "replace")
    return " ".join(head.split())


def _clip(text: str) -> str:
    return text[:MAX_MESSAGE_LENGTH]


def _clipped(value: Any) -> str | None:
    return _clip(value) if isinstance(value, str) else None


def parse_retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds to wait by a `Retry-After` header: delay-seconds or an HTTP date (RFC 9110, 10.2.3).

    None where there is no header, or one that says nothing usable (negative, past, garbage).
    """
    if value is None:
        return None
    text = value.strip()
    if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII):
        return min(float(text[:20]), 1e9)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    seconds = (date - (now or datetime.now(UTC))).total_seconds()
    return seconds if seconds > 0 else None
