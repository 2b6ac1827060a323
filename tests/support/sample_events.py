"""Events as a run would tell them, and a clock that moves when it is told to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from worker.core.clock import Clock
from worker.core.errors import ExitCode
from worker.core.events import (
    Event,
    OutageBegan,
    OutageEnded,
    OutcomesRecorded,
    Pause,
    PauseReason,
    ProbeFailed,
    RequestThrottled,
    RetryScheduled,
    RunFinished,
    RunStarted,
    Snapshot,
    StopRequested,
    Ticked,
)
from worker.core.outcomes import Error, Outcome, Record, Via
from worker.core.tally import Tally
from worker.core.timetable import Timetable

START = datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC)
EIGHT = Timetable.constant(8.0)
UNAVAILABLE = Error("http_503", "Service unavailable")


class HandClock(Clock):
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def utc(self) -> datetime:
        return START + timedelta(seconds=self.seconds)


def record(
    outcome: Outcome = Outcome.PROCESSING, error: Error | None = None, *, line: int = 1
) -> Record:
    return Record(
        id=f"5eb2b61e02df0a0008f1cf{line:02x}",
        outcome=outcome,
        session_status="processing" if outcome is Outcome.PROCESSING else None,
        http_status=200 if error is None else 503,
        error=error,
        attempts=1,
        via=Via.COMPLETE,
        latency_ms=87.4,
        elapsed_ms=87.9,
        at="2026-11-23T01:02:03.456Z",
        run="20261123T010000Z-7f3a",
        line=line,
    )


def tally(processing: int = 0, not_found: int = 0, failed: int = 0) -> Tally:
    """A tally that balances, with an answer in 80 ms for each outcome."""
    counted = Tally()
    counted.outcomes.update(
        {Outcome.PROCESSING: processing, Outcome.NOT_FOUND: not_found, Outcome.FAILED: failed}
    )
    counted.input = counted.recorded
    for status, count in (("200", processing), ("404", not_found), ("503", failed)):
        if count:
            counted.requests[status] = count
    if failed:
        counted.errors["http_503"] = failed
    for _ in range(counted.recorded):
        counted.latency_ms.add(80.0)
    return counted


def started(total: int | None = 1000) -> RunStarted:
    return RunStarted(
        run="20261123T010000Z-7f3a",
        source="backlog.txt",
        results="backlog.results.jsonl",
        total=total,
        rate=8.0,
        concurrency=32,
        recovered=0,
    )


def ticked(
    counted: Tally | None = None,
    *,
    elapsed_s: float = 10.0,
    total: int | None = 1000,
    pause: Pause | None = None,
    draining: bool = False,
    waiting: int = 0,
    rates: Timetable = EIGHT,
    utc_s: float = 0.0,
    concurrency_bound: int | None = None,
) -> Ticked:
    return Ticked(
        Snapshot(
            tally=counted or tally(),
            elapsed_s=elapsed_s,
            total=total,
            in_flight=12,
            waiting=waiting,
            rate_allowed=8.0,
            rate_now=7.83,
            pause=pause,
            draining=draining,
            rates=rates,
            utc_s=utc_s,
            concurrency_bound=concurrency_bound,
        )
    )


def retry_scheduled(error: Error = UNAVAILABLE) -> RetryScheduled:
    return RetryScheduled("5eb2", 4, 1, "check", 4.2, error)


def throttled() -> RequestThrottled:
    return RequestThrottled("5eb2", 30.0, 5.6)


def outage_began(error: Error = UNAVAILABLE) -> OutageBegan:
    return OutageBegan(PauseReason.OUTAGE, 10, error, 1.0, 900.0)


def probe_failed(error: Error = UNAVAILABLE) -> ProbeFailed:
    return ProbeFailed(PauseReason.OUTAGE, error, 16.0, 600.0)


def outage_ended() -> OutageEnded:
    return OutageEnded(PauseReason.OUTAGE, 42.0)


def recorded(*records: Record) -> OutcomesRecorded:
    return OutcomesRecorded(records)


def stop_requested(exit_code: ExitCode = ExitCode.INTERRUPTED) -> StopRequested:
    return StopRequested(exit_code, "interrupted by SIGINT", 12)


def finished(
    exit_code: ExitCode = ExitCode.OK,
    counted: Tally | None = None,
    *,
    reason: str = "",
    advice: str = "",
    elapsed_s: float = 100.0,
    complete_input: bool = True,
) -> RunFinished:
    return RunFinished(
        run="20261123T010000Z-7f3a",
        exit_code=exit_code,
        reason=reason,
        advice=advice,
        tally=counted or tally(),
        elapsed_s=elapsed_s,
        rate=8.0,
        complete_input=complete_input,
    )


def survived_trouble() -> list[Event]:
    """A run that needed nobody: a 429, a retry and an outage, and all ids settled."""
    return [
        started(),
        throttled(),
        retry_scheduled(),
        outage_began(),
        probe_failed(),
        outage_ended(),
        recorded(record(), record(Outcome.NOT_FOUND)),
        finished(),
    ]
