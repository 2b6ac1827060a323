"""What an answer of the API, or the lack of one, means for a session. Pure: no network, no loop.

Follows the API's documentation of errors and of the workflow session's `status`.
"""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from worker.core.outcomes import MAX_MESSAGE_LENGTH, Error, ErrorType, Outcome


class Answer(msgspec.Struct, frozen=True, gc=False):
    """An HTTP response. `body` may be cut at the client's bound; `retry_after` and `date` are the
    headers of these names, but for a date that the server does not name: the first needs it.
    `key_replaced`: the API did not take the key, or knows no such
    session of its account, and another key has replaced it since."""

    status: int
    body: bytes
    retry_after: str | None = None
    date: str | None = None
    key_replaced: bool = False

    @property
    def label(self) -> str:
        """Under what it is counted: `200`."""
        return str(self.status)


class NoAnswer(msgspec.Struct, frozen=True, gc=False):
    """A request without a usable response. `may_have_arrived`: it may have left this machine."""

    error: Error
    may_have_arrived: bool

    @property
    def label(self) -> str:
        """Under what it is counted: `connection_reset`."""
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
    """May go better later. `ambiguous`: the API may have acted all the same; `is_final`: the API
    itself answered, so that it has done with the request, where a gateway may have given up."""

    error: Error
    ambiguous: bool
    http_status: int | None = None
    retry_after_s: float | None = None
    is_final: bool = False


class Throttled(msgspec.Struct, frozen=True, gc=False):
    """Refused for its rate or the quota, and so not acted upon."""

    error: Error
    http_status: int
    retry_after_s: float | None


class Refused(msgspec.Struct, frozen=True, gc=False):
    """No request of this run can succeed: the key, the account or the certificate is at fault."""

    error: Error
    http_status: int | None = None


class StaleKey(msgspec.Struct, frozen=True, gc=False):
    """Not acted upon for a key that another one has replaced since: refused, or no such session."""

    error: Error
    http_status: int


class Foreign(msgspec.Struct, frozen=True, gc=False):
    """An answer that is not the API's own: of another server, a proxy or a firewall."""

    error: Error
    http_status: int


Verdict = Settled | Unfinished | Transient | Throttled | Refused | StaleKey | Foreign

_REFUSALS = frozenset({401, 402, 403})
_AMBIGUOUS_CLIENT_ERRORS = frozenset({408, 425})
_NO_SUCH_SESSION = "resource_not_found"


class _SessionBody(msgspec.Struct):
    status: str
    id: Any = None


class _ApiError(msgspec.Struct):
    """What should be texts, and what else a server may put there: one odd field hides no other."""

    type: Any = None
    message: Any = None
    param: Any = None


_begins_page = re.compile(r"<(!doctype html|html|head)\b", re.IGNORECASE).match
_find_title = re.compile(r"<(?:title|h1)\b[^>]*>\s*([^<]+)", re.IGNORECASE).search

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_decode_session = msgspec.json.Decoder(_SessionBody).decode
_decode_error = msgspec.json.Decoder(_ApiError).decode


def judge_completion(reply: Reply, id: str | None = None) -> Verdict:
    """What the answer to `POST /workflowSessions/:id/complete` means for the session `id`."""
    if isinstance(reply, Answer) and 200 <= reply.status < 300:
        status = _session_status(reply.body, id)
        if status in ("processing", "complete"):
            return Settled(Outcome.PROCESSING, reply.status, status)
        return Transient(_unexpected(reply), ambiguous=True, http_status=reply.status)
    return _judge_failure(reply)


def judge_check(reply: Reply, id: str | None = None) -> Verdict:
    """What the answer to `GET /workflowSessions/:id` means for the session `id`."""
    if isinstance(reply, Answer) and 200 <= reply.status < 300:
        status = _session_status(reply.body, id)
        if status is not None:
            return judge_status(status, reply.status)
        return Transient(_unexpected(reply), ambiguous=True, http_status=reply.status)
    return _judge_failure(reply)


def judge_status(status: str, http_status: int) -> Settled | Unfinished:
    """What a session's status means, as the API names it in a session or in a list of them."""
    match status:
        case "processing" | "complete":
            return Settled(Outcome.PROCESSING, http_status, status)
        case "started":
            return Unfinished(http_status)
        case "cancelled" | "abandoned":
            kind = (
                ErrorType.SESSION_CANCELLED
                if status == "cancelled"
                else ErrorType.SESSION_ABANDONED
            )
            error = Error(kind.value, f"the session is {status}: it cannot be completed")
            return Settled(Outcome.FAILED, http_status, status, error)
        case _:
            # It may be one that follows a completion: to send the session blindly is never right.
            message = _clip(f"the session's status is {status!r}, which is not known")
            error = Error(ErrorType.AMBIGUOUS.value, message)
            return Settled(Outcome.FAILED, http_status, _clip(status), error)


def _judge_failure(reply: Reply) -> Verdict:
    if isinstance(reply, NoAnswer):
        if reply.error.type in (ErrorType.CERTIFICATE, ErrorType.PROXY_REFUSED):
            return Refused(reply.error)
        return Transient(reply.error, reply.may_have_arrived)
    return _judge_answer(reply)


def _judge_answer(answer: Answer) -> Verdict:
    """What an answer means that is no success."""
    status, is_own = answer.status, is_the_apis(answer)
    error = _api_error(answer)
    retry_after_s = parse_retry_after(answer.retry_after, parse_date(answer.date))
    if status == 429:
        return Throttled(error, status, retry_after_s)
    if status >= 500 or status in _AMBIGUOUS_CLIENT_ERRORS or status < 200:
        return Transient(error, True, status, retry_after_s, is_final=is_own)
    if status < 400 or not is_own or (status == 404 and error.type != _NO_SUCH_SESSION):
        return Foreign(_unexpected(answer), status)
    if answer.key_replaced:
        return StaleKey(error, status)
    if status == 404:
        return Settled(Outcome.NOT_FOUND, status, error=error)
    if status in _REFUSALS:
        return Refused(error, status)
    return Settled(Outcome.FAILED, status, error=error)


def _session_status(body: bytes, id: str | None) -> str | None:
    """The status of this session; None where the body is not the API's, or tells of another one."""
    try:
        session = _decode_session(body)
    except _UNREADABLE:
        return None
    is_another = id is not None and session.id not in (None, id)
    return None if is_another else session.status


def is_the_apis(answer: Answer) -> bool:
    """Whether an error has the shape that the API documents: an object with a `type`."""
    try:
        return isinstance(_decode_error(answer.body).type, str)
    except _UNREADABLE:
        return False


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
    """How the body begins, on one line; of a page of HTML, as proxies send them, its title."""
    text = " ".join(body[: 4 * MAX_MESSAGE_LENGTH].decode("utf-8", "replace").split())
    if not _begins_page(text):
        return text
    found = _find_title(text)
    return f"a page of HTML: {html.unescape(found[1]).strip()}" if found else text


def _clip(text: str) -> str:
    return text[:MAX_MESSAGE_LENGTH]


def _clipped(value: Any) -> str | None:
    return _clip(value) if isinstance(value, str) else None


def parse_retry_after(value: str | None, now: datetime | None) -> float | None:
    """Seconds to wait by a `Retry-After` header: delay-seconds or an HTTP date (RFC 9110, 10.2.3).

    None where there is no header, or one that says nothing usable (negative, past, garbage). `now`
    is of the clock by which the server reckons; where nobody knows it a date says nothing.
    """
    if value is None:
        return None
    text = value.strip()
    if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII):
        return min(float(text[:20]), 1e9)
    date = parse_date(text)
    if date is None or now is None:
        return None
    seconds = (date - now).total_seconds()
    return seconds if seconds > 0 else None


def parse_date(text: str | None) -> datetime | None:
    """An HTTP date (RFC 9110, 5.6.7), in UTC where it names no zone; None where it is none."""
    try:
        date = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):
        return None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date
