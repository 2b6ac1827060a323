"""The fields of each event in the log: one name means one thing, and stays.

Rates are in requests a second: `rate_asked` by the settings, `rate_allowed` by the pacer at the
moment, `rate_now` really sent. `error` is an error's type, `error_message` its text.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from worker.core.errors import ExitCode
from worker.core.events import (
    Event,
    OutageEnded,
    RateChanged,
    RequestThrottled,
    RunFinished,
    RunStarted,
    Snapshot,
    StopRequested,
)
from worker.core.identity import RunIdentity
from worker.core.outcomes import Outcome, Record

Fields = dict[str, Any]

_RATES: Final = {
    RunStarted: "rate_asked",
    RateChanged: "rate_asked",
    RequestThrottled: "rate_allowed",
}


def fields_of(event: Event) -> Fields:
    """The event's own fields under their names in the log."""
    fields = _flat(event)
    # Every line of the log names its run.
    fields.pop("run", None)
    if (rate := _RATES.get(type(event))) is not None:
        fields[rate] = fields.pop("rate")
    if isinstance(event, OutageEnded):
        fields["lasted_s"] = fields.pop("seconds")
    if isinstance(event, StopRequested):
        fields["cause"] = cause(event.exit_code)
        fields["error"] = fields.pop("error_type")
    return fields


def outcome_fields(record: Record) -> Fields:
    """What the log says of one id's outcome."""
    fields = _flat(record)
    # Each line has its own time and its run, and run_started has named the target.
    del fields["at"], fields["run"], fields["target"]
    return fields


def identity_fields(identity: RunIdentity) -> Fields:
    """What `run_started` says of the process, beside the event."""
    return {name: getattr(identity, name) for name in ("version", "host", "pid", "target")}


def progress_fields(snapshot: Snapshot) -> Fields:
    """Where a run stands; times in seconds."""
    tally, pause = snapshot.tally, snapshot.pause
    return {
        "done": tally.done,
        "total": snapshot.total,
        **{outcome.value: tally.outcomes[outcome] for outcome in Outcome},
        "settled": tally.settled,
        "in_flight": snapshot.in_flight,
        "waiting": snapshot.waiting,
        "rate_now": snapshot.rate_now,
        "rate_allowed": snapshot.rate_allowed,
        "elapsed_s": snapshot.elapsed_s,
        "concurrency_bound": snapshot.concurrency_bound,
        "draining": snapshot.draining,
        "paused": pause.reason if pause else None,
        "next_probe_s": pause.seconds_left if pause else None,
    }


def finish_fields(event: RunFinished, command: str) -> Fields:
    """What came of a run, in the log's last line; `command` goes on with it."""
    tally = event.tally
    return {
        "cause": cause(event.exit_code),
        "exit_code": event.exit_code,
        "error": event.error_type,
        "reason": event.reason or None,
        "input": tally.input,
        **{outcome.value: tally.outcomes[outcome] for outcome in Outcome},
        "settled": tally.settled,
        "duplicates": tally.duplicates,
        "not_attempted": tally.not_attempted,
        "balanced": tally.balanced,
        "complete_input": event.complete_input,
        "elapsed_s": event.elapsed_s,
        "rate_asked": event.rate,
        "advice": event.advice or None,
        "go_on_with": command if command and event.exit_code is not ExitCode.OK else None,
    }


def cause(code: ExitCode) -> str:
    """An exit code's name, as events spell it."""
    return code.name.lower()


def _flat(struct: msgspec.Struct) -> Fields:
    """A struct's fields; an error as `error`, its type, and `error_message`."""
    fields = msgspec.structs.asdict(struct)
    if (error := fields.pop("error", None)) is not None:
        fields |= {"error": error.type, "error_message": error.message}
    return fields
