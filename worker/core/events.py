"""What a run tells its observers. An event's name in the logs is its `name`."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar, Protocol

import msgspec

from worker.core.errors import ExitCode
from worker.core.outcomes import Error, Outcome, Record
from worker.core.tally import Tally
from worker.core.timetable import Timetable


class Event(msgspec.Struct, frozen=True):
    """Something that happened; times in seconds."""

    name: ClassVar[str] = "event"


class RunStarted(Event, frozen=True):
    """`total` is the number of lines where the source knows it; `recovered` counts ids that a run
    which died may have sent, and which are read before they are sent."""

    name: ClassVar[str] = "run_started"
    run: str
    source: str
    results: str
    total: int | None
    rate: float
    concurrency: int
    recovered: int


class RetryScheduled(Event, frozen=True):
    """`request` is "complete" or "check": what will be sent, no sooner than `delay_s` from now."""

    name: ClassVar[str] = "retry_scheduled"
    id: str
    line: int
    attempts: int
    request: str
    delay_s: float
    error: Error


class RequestThrottled(Event, frozen=True):
    """A 429; `rate` is what the pacer allows from now on, in requests a second."""

    name: ClassVar[str] = "throttled"
    id: str
    retry_after_s: float | None
    rate: float


class RateChanged(Event, frozen=True):
    """The timetable asks for `rate` requests a second from now on, for `lasts_s`; 0 are quiet
    hours."""

    name: ClassVar[str] = "rate_changed"
    rate: float
    lasts_s: float


class PauseReason(StrEnum):
    """Why nothing is sent: the API is away or throttles everything, Redis is away, the timetable
    has quiet hours, or somebody holds the run."""

    OUTAGE = "outage"
    THROTTLED = "throttled"
    SHARED = "shared"
    QUIET = "quiet"
    HELD = "held"


class OutageBegan(Event, frozen=True):
    """Nothing new is sent until a probe is answered."""

    name: ClassVar[str] = "outage_began"
    reason: PauseReason
    failures: int
    error: Error
    next_probe_s: float
    patience_s: float


class ProbeFailed(Event, frozen=True):
    """The API is still away; the run waits `next_probe_s` more, and gives up after `patience_s`."""

    name: ClassVar[str] = "probe_failed"
    reason: PauseReason
    error: Error
    next_probe_s: float
    patience_s: float


class OutageEnded(Event, frozen=True):
    """A probe was answered after `seconds`."""

    name: ClassVar[str] = "outage_ended"
    reason: PauseReason
    seconds: float


class OutcomesRecorded(Event, frozen=True):
    """These lines are on disk; they count from now on."""

    name: ClassVar[str] = "outcomes_recorded"
    records: Sequence[Record]


class StopRequested(Event, frozen=True):
    """Nothing new is sent; `in_flight` requests are finished and recorded.

    `error_type` is that of what ends the run, where it is an error.
    """

    name: ClassVar[str] = "stop_requested"
    exit_code: ExitCode
    reason: str
    in_flight: int
    error_type: str | None = None


class Pause(msgspec.Struct, frozen=True):
    """Why nothing is sent at the moment.

    `seconds_left` is for how long more; 0 where a probe is under way, inf where nobody knows.
    """

    reason: PauseReason
    seconds_left: float


class Snapshot(msgspec.Struct, frozen=True):
    """The run at this moment. `rate_now` is what was really sent over the last seconds.

    `rates` are those that are asked for, and it is `utc_s`, in seconds since 1970. `limit` is how
    many ids it attempts at most, `deadline_in_s` when it takes no more of them.
    `concurrency_bound` is how many requests in flight were what bounded `rate_now`; None where they
    were not.
    """

    tally: Tally
    elapsed_s: float
    total: int | None
    in_flight: int
    waiting: int
    rate_allowed: float
    rate_now: float
    pause: Pause | None
    draining: bool
    rates: Timetable
    utc_s: float
    limit: int | None = None
    deadline_in_s: float | None = None
    concurrency_bound: int | None = None


class Ticked(Event, frozen=True):
    """Comes at even times, for what shows the run as it goes."""

    name: ClassVar[str] = "progress"
    snapshot: Snapshot


class RunFinished(Event, frozen=True):
    """`reason` says in a sentence why the run ended, `advice` what to do next (may be empty).

    `complete_input` is False where the source was not read to its end, so that ids beyond what
    `tally.input` counts may remain. `rate` is what was asked for, in requests a second.
    `error_type` is that of what ended the run, where it was an error.
    """

    name: ClassVar[str] = "run_finished"
    run: str
    exit_code: ExitCode
    reason: str
    advice: str
    tally: Tally
    elapsed_s: float
    rate: float
    complete_input: bool
    error_type: str | None = None

    @property
    def needs_nobody(self) -> bool:
        """Whether all is well: also to stop at --until with ids left is what was asked for."""
        failed = self.tally.outcomes[Outcome.FAILED]
        return self.exit_code is ExitCode.OK or (self.exit_code is ExitCode.STOPPED and not failed)


class Observer(Protocol):
    """Is told of every event, in order, from the event loop: must be quick, and must not raise."""

    def notice(self, event: Event) -> None: ...
