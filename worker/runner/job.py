"""An id on its way to its outcome, and the decision what comes next for it: no clock, no loop."""

from __future__ import annotations

import math
from random import Random
from typing import assert_never

import msgspec

from worker.api.verdict import (
    Foreign,
    Refused,
    Settled,
    StaleKey,
    Throttled,
    Transient,
    Unfinished,
    Verdict,
)
from worker.core.outcomes import MAX_MESSAGE_LENGTH, Error, ErrorType, Item, Outcome, Record, Via
from worker.pacing.backoff import throttle_delay, transient_delay, with_jitter
from worker.pacing.permits import Permit


class Policy(msgspec.Struct, frozen=True):
    """How often and how late an id is tried again; times in seconds."""

    max_attempts: int = 5
    backoff_initial_s: float = 1.0
    backoff_max_s: float = 60.0
    throttle_initial_s: float = 30.0
    throttle_max_s: float = 300.0
    patience_s: float = 900.0
    settle_s: float = 30.0
    on_ambiguous: str = "check"
    check_first: bool = False
    check_valid_s: float = 300.0
    check_ahead: int = 100_000


class Job:
    """What a run remembers of an id until its outcome is known.

    `attempts` counts the POSTs sent, `charged` those that count against `max_attempts`;
    `unresolved` says that a POST may have arrived and that no GET has told yet. The backend may be
    at work on it until `settled_at`; `was_ambiguous` says that there was such a POST at all.
    A session that was read as started is sent as such till `valid_until`, and then read again.
    `last_reached`: the API itself gave the last error; `is_silent`: nothing at all was answered
    since the id's first failure.
    """

    __slots__ = (
        "attempts",
        "charged",
        "charged_after",
        "check_failures",
        "check_next",
        "first_sent_at",
        "id",
        "is_silent",
        "last_error",
        "last_http_status",
        "last_reached",
        "latency_ms",
        "line",
        "pardons",
        "permit",
        "posted_at",
        "sent_at",
        "settled_at",
        "silent_since",
        "throttled_after",
        "throttled_since",
        "throttles",
        "unresolved",
        "valid_until",
        "via",
        "was_ambiguous",
    )

    def __init__(
        self,
        item: Item,
        *,
        check_first: bool = False,
        unresolved: bool = False,
        was_ambiguous: bool = False,
    ) -> None:
        self.id = item.id
        self.line = item.line
        self.check_next = check_first or unresolved
        self.unresolved = unresolved
        self.was_ambiguous = unresolved or was_ambiguous
        self.via = Via.COMPLETE
        self.attempts = 0
        self.charged = 0
        self.valid_until = math.inf
        self.charged_after = -1
        self.silent_since = 0
        self.is_silent = False
        self.throttled_after = 0
        self.posted_at = -math.inf
        self.settled_at = -math.inf
        self.last_reached = False
        self.check_failures = 0
        self.pardons = 0
        self.throttles = 0
        self.throttled_since: float | None = None
        self.first_sent_at: float | None = None
        self.sent_at = 0.0
        self.permit = Permit(0, 0.0)
        self.latency_ms = 0.0
        self.last_error: Error | None = None
        self.last_http_status: int | None = None

    def know_started(self, valid_until: float) -> None:
        """The session was read, and is to be completed; it is read again after `valid_until`."""
        self.check_next = False
        self.valid_until = valid_until

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

    def begin(self, permit: Permit) -> None:
        """Count the request that leaves with this permit; what is known of the session may be too
        old for it."""
        now = permit.at
        self.permit = permit
        if now > self.valid_until:
            self.check_next = True
        self.sent_at = now
        if self.first_sent_at is None:
            self.first_sent_at = now
        if self.check_next:
            self.via = Via.CHECK
        else:
            self.via = Via.COMPLETE
            self.attempts += 1
            self.posted_at = now


class Again(msgspec.Struct, frozen=True, gc=False):
    """The id is tried again, no sooner than `delay_s` from now. `settling`: the API may still be
    at work on its last completion, and is left to it."""

    delay_s: float
    error: Error | None
    settling: bool = False


Step = Settled | Again


def next_step(job: Job, verdict: Verdict, policy: Policy, *, now: float, random: Random) -> Step:
    """What comes after `verdict` on the job's last request, a failure being charged already."""
    match verdict:
        case Settled():
            return _settle(job, verdict, policy)
        case Unfinished():
            return _complete_or_give_up(job, policy, now)
        case Foreign() | Transient():
            return _after_failure(job, verdict, policy, random)
        case Throttled():
            return _after_throttle(job, verdict, policy, now, random)
        case StaleKey():
            return Again(0.0, verdict.error)
        case Refused():
            _remember(job, verdict, reached=True)
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


def _remember(
    job: Job, verdict: Settled | Transient | Throttled | Refused, *, reached: bool
) -> None:
    job.last_error, job.last_http_status = verdict.error, verdict.http_status
    job.last_reached = reached


def _settle(job: Job, verdict: Settled, policy: Policy) -> Step:
    if verdict.outcome is Outcome.PROCESSING:
        return verdict
    if not job.check_next and job.was_ambiguous:
        return _read_what_was_rejected(job, verdict, policy)
    if job.unresolved and verdict.session_status is None and verdict.outcome is Outcome.FAILED:
        _remember(job, verdict, reached=True)
        return give_up(job)
    return verdict


def _read_what_was_rejected(job: Job, verdict: Settled, policy: Policy) -> Step:
    """An earlier completion may be what this one was rejected for: "already completed"."""
    _remember(job, verdict, reached=True)
    job.charged += 1
    job.unresolved = job.check_next = True
    job.settled_at = max(job.settled_at, job.posted_at + policy.settle_s)
    return Again(0.0, verdict.error)


def _complete_or_give_up(job: Job, policy: Policy, now: float) -> Step:
    job.check_failures = 0
    if job.sent_at < job.settled_at:
        # It is read once more when that time has come, and so right before it is sent.
        return Again(max(job.settled_at - now, 0.0), job.last_error, settling=True)
    job.unresolved = False
    job.know_started(now + policy.check_valid_s if policy.check_first else math.inf)
    if job.charged >= policy.max_attempts:
        return give_up(job)
    return Again(0.0, None)


def _after_failure(job: Job, verdict: Transient | Foreign, policy: Policy, random: Random) -> Step:
    is_own = isinstance(verdict, Transient)
    if not isinstance(verdict, Transient):
        # Whatever answered may have passed the request on before.
        verdict = Transient(verdict.error, ambiguous=True, http_status=verdict.http_status)
    _remember(job, verdict, reached=is_own and verdict.ambiguous)
    failures = job.check_failures if job.check_next else job.charged
    exhausted = failures >= policy.max_attempts and not job.is_silent
    if not job.check_next and verdict.ambiguous:
        job.was_ambiguous = True
        if policy.on_ambiguous != "resend":
            job.unresolved = job.check_next = True
            if not verdict.is_final:
                job.settled_at = job.posted_at + policy.settle_s
            exhausted = policy.on_ambiguous == "fail"
    if exhausted:
        return give_up(job)
    delay_s = _backoff(max(failures, 1), policy, random)
    return Again(max(delay_s, verdict.retry_after_s or 0.0), verdict.error)


def _after_throttle(
    job: Job, verdict: Throttled, policy: Policy, now: float, random: Random
) -> Step:
    _remember(job, verdict, reached=True)
    job.throttles += 1
    if job.throttled_since is None:
        job.throttled_since = now
    if now - job.throttled_since > policy.patience_s:
        return give_up(job)
    if verdict.retry_after_s is not None:
        delay_s = max(verdict.retry_after_s, _backoff(job.throttles, policy, random))
        return Again(with_jitter(delay_s, random), verdict.error)
    delay_s = throttle_delay(
        job.throttles,
        initial=policy.throttle_initial_s,
        maximum=policy.throttle_max_s,
        random=random,
    )
    return Again(delay_s, verdict.error)


def _backoff(failures: int, policy: Policy, random: Random) -> float:
    return transient_delay(
        failures, initial=policy.backoff_initial_s, maximum=policy.backoff_max_s, random=random
    )


def _ambiguous(error: Error) -> Error:
    message = f"the request may have arrived, and no answer tells: {error.type}: {error.message}"
    return Error(ErrorType.AMBIGUOUS.value, message[:MAX_MESSAGE_LENGTH])
