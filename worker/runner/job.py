"""An id on its way to its outcome, and the decision what comes next for it: no clock, no loop."""

from __future__ import annotations

from random import Random
from typing import assert_never

import msgspec

from worker.api.verdict import (
    Misdirected,
    Refused,
    Settled,
    Throttled,
    Transient,
    Unfinished,
    Verdict,
)
from worker.core.outcomes import MAX_MESSAGE_LENGTH, Error, ErrorType, Item, Outcome, Record, Via
from worker.pacing.backoff import throttle_delay, transient_delay


class Policy(msgspec.Struct, frozen=True):
    """How often and how late an id is tried again; times in seconds."""

    max_attempts: int = 5
    backoff_initial_s: float = 1.0
    backoff_max_s: float = 60.0
    throttle_initial_s: float = 30.0
    throttle_max_s: float = 300.0
    patience_s: float = 900.0
    on_ambiguous: str = "check"
    check_first: bool = False


class Job:
    """What a run remembers of an id until its outcome is known.

    `attempts` counts the POSTs sent, `charged` those that count against `max_attempts`;
    `unresolved` says that a POST may have arrived and that no GET has told yet.
    """

    __slots__ = (
        "attempts",
        "charged",
        "check_failures",
        "check_next",
        "first_sent_at",
        "id",
        "last_error",
        "last_http_status",
        "latency_ms",
        "line",
        "pardons",
        "sent_at",
        "throttled_since",
        "throttles",
        "unresolved",
        "via",
    )

    def __init__(self, item: Item, *, check_first: bool = False, unresolved: bool = False) -> None:
        self.id = item.id
        self.line = item.line
        self.check_next = check_first or unresolved
        self.unresolved = unresolved
        self.via = Via.COMPLETE
        self.attempts = 0
        self.charged = 0
        self.check_failures = 0
        self.pardons = 0
        self.throttles = 0
        self.throttled_since: float | None = None
        self.first_sent_at: float | None = None
        self.sent_at = 0.0
        self.latency_ms = 0.0
        self.last_error: Error | None = None
        self.last_http_status: int | None = None

    def charge(self) -> None:
        """Count a failure of the request at hand against the id."""
        if self.check_next:
            self.check_failures += 1
        else:
            self.charged += 1

    def pardon(self, *, check: bool, most: int) -> None:
        """Take one such failure back, as it was nobody's own; no more than `most` times."""
        if self.pardons == most:
            return
        self.pardons += 1
        if check:
            self.check_failures -= 1
        else:
            self.charged -= 1

    def begin(self, now: float) -> None:
        """Count the request that leaves now."""
        self.sent_at = now
        if self.first_sent_at is None:
            self.first_sent_at = now
        if self.check_next:
            self.via = Via.CHECK
        else:
            self.via = Via.COMPLETE
            self.attempts += 1


class Again(msgspec.Struct, frozen=True, gc=False):
    """The id is tried again, no sooner than `delay_s` from now."""

    delay_s: float
    error: Error | None


Step = Settled | Again


def next_step(job: Job, verdict: Verdict, policy: Policy, *, now: float, random: Random) -> Step:
    """What comes after `verdict` on the job's last request, a failure being charged already."""
    match verdict:
        case Settled():
            return _settle(job, verdict)
        case Unfinished():
            return _complete_or_give_up(job, policy)
        case Transient():
            return _after_failure(job, verdict, policy, random)
        case Throttled():
            return _after_throttle(job, verdict, policy, now, random)
        case Refused() | Misdirected():
            job.last_error, job.last_http_status = verdict.error, verdict.http_status
            return give_up(job)
        case _:
            assert_never(verdict)


def give_up(job: Job) -> Settled:
    """The outcome of an id that is not tried again: failed with its last error, or `ambiguous`."""
    error = job.last_error or Error(
        ErrorType.AMBIGUOUS.value, "not asked again before the run ended"
    )
    if job.unresolved:
        error = _ambiguous(error)
    return Settled(Outcome.FAILED, job.last_http_status, None, error)


def record_of(job: Job, settled: Settled, *, now: float, at: str, run: str) -> Record:
    """The line of the results log for a job that is settled at `now`."""
    first_sent_at = now if job.first_sent_at is None else job.first_sent_at
    return Record(
        id=job.id,
        outcome=settled.outcome,
        session_status=settled.session_status,
        http_status=settled.http_status,
        error=settled.error,
        attempts=job.attempts,
        via=job.via,
        latency_ms=round(job.latency_ms, 1),
        elapsed_ms=round((now - first_sent_at) * 1000, 1),
        at=at,
        run=run,
        line=job.line,
    )


def _settle(job: Job, verdict: Settled) -> Settled:
    if job.unresolved and verdict.session_status is None and verdict.outcome is Outcome.FAILED:
        job.last_error, job.last_http_status = verdict.error, verdict.http_status
        return give_up(job)
    return verdict


def _complete_or_give_up(job: Job, policy: Policy) -> Step:
    job.unresolved = job.check_next = False
    job.check_failures = 0
    if job.charged >= policy.max_attempts:
        return give_up(job)
    return Again(0.0, None)


def _after_failure(job: Job, verdict: Transient, policy: Policy, random: Random) -> Step:
    job.last_error, job.last_http_status = verdict.error, verdict.http_status
    if job.check_next:
        failures, exhausted = job.check_failures, job.check_failures >= policy.max_attempts
    else:
        failures, exhausted = job.charged, job.charged >= policy.max_attempts
        if verdict.ambiguous and policy.on_ambiguous != "resend":
            job.unresolved = job.check_next = True
            exhausted = policy.on_ambiguous == "fail"
    at_least_s = verdict.retry_after_s or 0.0
    if exhausted or at_least_s > policy.patience_s:
        return give_up(job)
    delay = transient_delay(
        max(failures, 1),
        initial=policy.backoff_initial_s,
        maximum=policy.backoff_max_s,
        random=random,
    )
    return Again(max(delay, at_least_s), verdict.error)


def _after_throttle(
    job: Job, verdict: Throttled, policy: Policy, now: float, random: Random
) -> Step:
    job.last_error, job.last_http_status = verdict.error, verdict.http_status
    job.throttles += 1
    if job.throttled_since is None:
        job.throttled_since = now
    waited_s = now - job.throttled_since
    if max(waited_s, verdict.retry_after_s or 0.0) > policy.patience_s:
        return give_up(job)
    delay = throttle_delay(
        job.throttles,
        initial=policy.throttle_initial_s,
        maximum=policy.throttle_max_s,
        retry_after=verdict.retry_after_s,
        random=random,
    )
    return Again(delay, verdict.error)


def _ambiguous(error: Error) -> Error:
    message = f"the request may have arrived, and no answer tells: {error.type}: {error.message}"
    return Error(ErrorType.AMBIGUOUS.value, message[:MAX_MESSAGE_LENGTH])
