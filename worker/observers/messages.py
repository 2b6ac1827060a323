"""What happened, in a sentence for people: the `message` of each event in the log."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from worker.core.events import (
    Event,
    OutageBegan,
    OutageEnded,
    PauseReason,
    ProbeFailed,
    RateChanged,
    RequestThrottled,
    RetryScheduled,
    RunFinished,
    RunStarted,
    Snapshot,
    StopRequested,
)
from worker.core.explanations import EXIT_CODES
from worker.core.outcomes import Error, Outcome, Record
from worker.core.text import count, duration, rate, shorten

_LONGEST_TEXT = 200
_LONGEST_S = 1e9
_AWAY: Final[dict[str, str]] = {
    PauseReason.OUTAGE: "the API is away",
    PauseReason.THROTTLED: "the API throttles everything",
    PauseReason.SHARED: "Redis is away",
    PauseReason.QUIET: "quiet hours",
    PauseReason.HELD: "somebody holds it",
}


def message_of(event: Event, until: datetime | None = None) -> str:
    """One sentence without its full stop; foreign text in it is as it came.

    `until` is when a rate ends, or when the run gives up waiting for the API.
    """
    match event:
        case RunStarted():
            return _started(event)
        case RetryScheduled():
            return _retried(event)
        case RequestThrottled():
            return _throttled(event)
        case RateChanged():
            return _rate_changed(event, until)
        case OutageBegan():
            head = f"{away(event.reason)} ({describe(event.error)}): nothing new is sent"
            return f"{head}; {_next_try(event, until)}"
        case ProbeFailed():
            head = f"still {away(event.reason)} ({describe(event.error)})"
            return f"{head}; {_next_try(event, until)}"
        case OutageEnded():
            return f"it is over: {away(event.reason)} no more, after {duration(event.seconds)}"
        case StopRequested():
            finishing = f"{count(event.in_flight, 'request')} in flight"
            return f"stopping: {event.reason}; {finishing} will be finished and recorded"
        case RunFinished():
            return _finished(event)
    return event.name


def failed(record: Record) -> str:
    """Why an id failed."""
    reason = "" if record.error is None else f": {describe(record.error)}"
    return f"{record.id} failed{reason}"


def settled(record: Record) -> str:
    """How an id was settled, and what it took."""
    return f"{record.id} is {record.outcome.value}, after {count(record.attempts, 'request')}"


def progress(snapshot: Snapshot, eta_s: float | None) -> str:
    """How far the run is, and why it stands still where it does."""
    tally, total = snapshot.tally, snapshot.total
    parts = [
        f"{count(tally.done)} of {count(total)} done" if total else f"{count(tally.done)} done",
        f"{count(tally.outcomes[Outcome.FAILED])} failed",
        f"{rate(snapshot.rate_now)} of {rate(snapshot.rate_allowed)} requests a second",
    ]
    if snapshot.concurrency_bound is not None:
        parts.append(f"bound by {count(snapshot.concurrency_bound)} in flight")
    if snapshot.pause is not None:
        parts.append(f"paused: {away(snapshot.pause.reason)}")
    elif eta_s is not None:
        parts.append(f"{duration(round(eta_s))} left")
    return ", ".join(parts)


def outage(reason: str, error: Error, began: datetime, ended: datetime | None) -> str:
    """A whole outage in one sentence; it lasts still where `ended` is None."""
    until = "to the end of the run" if ended is None else f"to {_clock_time(ended)}"
    lasted = "" if ended is None else f" ({duration((ended - began).total_seconds())})"
    return f"{away(reason)} from {_clock_time(began)} {until}{lasted}: {describe(error)}"


def away(reason: str) -> str:
    """Why nothing is sent, by the name that events give it."""
    return _AWAY.get(reason, reason)


def describe(error: Error) -> str:
    """An error by its type, and by the beginning of its message."""
    return f"{error.type}: {shorten(error.message, _LONGEST_TEXT)}" if error.message else error.type


def _started(event: RunStarted) -> str:
    lines = "the lines" if event.total is None else count(event.total, "line")
    text = f"completing {lines} of {event.source} into {event.results} at {rate(event.rate)}"
    text += " requests a second"
    if event.recovered:
        text += f"; {count(event.recovered, 'id')} of a run that died will be read first"
    return text


def _retried(event: RetryScheduled) -> str:
    what = "read" if event.request == "check" else "sent again"
    return f"{event.id} will be {what} in {duration(event.delay_s)}, after {describe(event.error)}"


def _throttled(event: RequestThrottled) -> str:
    text = f"answered 429 for {event.id}: slowed down to {rate(event.rate)} requests a second"
    if event.retry_after_s is not None:
        text += f", told to wait {duration(event.retry_after_s)}"
    return text


def _rate_changed(event: RateChanged, until: datetime | None) -> str:
    what = f"{rate(event.rate)} requests a second" if event.rate else "nothing is sent"
    return what if until is None else f"{what}, until {until.astimezone():%a %H:%M}"


def _next_try(event: OutageBegan | ProbeFailed, patient_until: datetime | None) -> str:
    text = f"the next try is in {duration(min(event.next_probe_s, _LONGEST_S))}"
    return text if patient_until is None else f"{text}, the last at {_clock_time(patient_until)}"


def _finished(event: RunFinished) -> str:
    recorded = count(event.tally.recorded, "outcome")
    why = f": {event.reason}" if event.reason else ""
    meaning = EXIT_CODES[event.exit_code].meaning.rstrip(".")
    return (
        f"{recorded} in {duration(event.elapsed_s)}; exit code {event.exit_code:d} ({meaning}){why}"
    )


def _clock_time(moment: datetime) -> str:
    return f"{moment.astimezone():%H:%M:%S}"
