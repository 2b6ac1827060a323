"""What is said between a run and the commands: one line of JSON each way."""

from __future__ import annotations

import msgspec

MAX_LINE_BYTES = 64 * 1024


class Request(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What the run is to do; nothing of it asks for its status alone. `rate` is as after --rate."""

    rate: str | None = None
    pause: bool = False
    resume: bool = False
    stop: bool = False


class PauseStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Why nothing is sent; `until` (RFC 3339, UTC) is when that is looked at again, if it is known.

    `reason` is "outage", "throttled", "shared", "quiet", or "held" where somebody has paused it.
    """

    reason: str
    until: str | None


class RunStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a run stands, or how the last one ended; times are UTC (RFC 3339).

    `outcomes` are those of the run itself while it is running, and of all ids of the log after
    that. `left` is what the run has not attempted. `concurrency_bound`: so many requests in flight
    are what bounds the rate. None is what nobody knows.
    """

    running: bool
    results: str
    run: str | None
    pid: int | None
    host: str | None
    since: str | None
    outcomes: dict[str, int]
    done: int | None
    total: int | None
    left: int | None
    rate_asked: str | None
    rate_allowed: float | None
    rate_now: float | None
    concurrency_bound: int | None = None
    pause: PauseStatus | None
    eta_s: float | None
    stopping: bool
    ended: str | None
    exit_code: int | None
    reason: str | None


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """The run's status after what it was asked for, or why it would not."""

    status: RunStatus | None = None
    error: str = ""


encode = msgspec.json.Encoder().encode
decode_request = msgspec.json.Decoder(Request).decode
decode_reply = msgspec.json.Decoder(Reply).decode
