"""The values that everything speaks: an id as it was read, and what became of it."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import msgspec

MAX_ID_LENGTH: Final = 128
MAX_INVALID_ID_LENGTH: Final = 200
MAX_MESSAGE_LENGTH: Final = 500

is_valid_id: Final = re.compile(r"(?=[_-]*[A-Za-z0-9])[A-Za-z0-9_-]{1,128}", re.ASCII).fullmatch
"""Truthy for text that may be put into a URL's path as it is: no id can reach another endpoint.

Signs alone are no id: they are a ruler above or below a table."""


class Outcome(StrEnum):
    """What a results log says of an id."""

    PROCESSING = "processing"
    NOT_FOUND = "not_found"
    FAILED = "failed"


class Via(StrEnum):
    """The request whose answer settled an id: the POST that completes, or the GET that reads."""

    COMPLETE = "complete"
    CHECK = "check"


class ErrorType(StrEnum):
    """Error types of our own; the API's own types and `http_<status>` stand beside them."""

    TIMEOUT = "timeout"
    CONNECTION_RESET = "connection_reset"
    CONNECT_FAILED = "connect_failed"
    UNEXPECTED_RESPONSE = "unexpected_response"
    INVALID_ID = "invalid_id"
    SESSION_CANCELLED = "session_cancelled"
    SESSION_ABANDONED = "session_abandoned"
    AMBIGUOUS = "ambiguous"
    CERTIFICATE = "certificate_invalid"
    PROXY_REFUSED = "proxy_refused"


class Error(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an id failed. `type`: the API's or an `ErrorType`; `message` is cut at 500 characters."""

    type: str
    message: str
    param: str | None = None


class Item(msgspec.Struct, frozen=True, gc=False):
    """One id as a source gave it.

    `line` counts from 1. `problem` is None, or says why the text cannot be an id; the text is then
    cut at 200 characters. `check_first` says that the id may have been sent before: the session is
    read before it is completed, unless the run is told to resend what is ambiguous.
    """

    id: str
    line: int
    problem: str | None = None
    check_first: bool = False


class Record(msgspec.Struct, frozen=True, gc=False):
    """One line of the results log; times in milliseconds, `at` in UTC (RFC 3339).

    `target` is a `worker.core.target.Target` as text; the ledger fills it in.
    """

    id: str
    outcome: Outcome
    session_status: str | None
    http_status: int | None
    error: Error | None
    attempts: int
    via: Via
    latency_ms: float
    elapsed_ms: float
    at: str
    run: str
    line: int
    target: str | None = None
