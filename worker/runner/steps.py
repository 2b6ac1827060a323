"""What comes next for an id, decided from its history and the last verdict: no clock, no loop."""

from __future__ import annotations

import math
from random import Random
from typing import assert_never

import msgspec
from msgspec.structs import replace

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
from worker.core.outcomes import MAX_MESSAGE_LENGTH, Error, ErrorType, Outcome
from worker.pacing.backoff import throttle_delay, transient_delay, with_jitter
from worker.runner.job import Job, Policy
from worker.runner.moments import Moments


class Again(msgspec.Struct, frozen=True, gc=False):
    """The `job` is tried again, no sooner than `delay_s` from now. `settling`: the API may still be
    at work on its last completion, and is left to it."""

    job: Job
    delay_s: float
    error: Error | None
    settling: bool = False


Step = Settled | Again


def next_step(
    job: Job, verdict: Verdict, policy: Policy, moments: Moments, *, now: float, random: Random
) -> Step:
    """What comes after `verdict` on the job's last request, which the job counts already."""
    match verdict:
        case Settled():
            return _settle(job, verdict, policy, moments)
        case Unfinished():
            return _complete_or_give_up(job, policy, moments, now)
        case Foreign() | Transient():
            return _after_failure(job, verdict, policy, moments, random)
        case Throttled():
            return _after_throttle(job, verdict, policy, random)
        case StaleKey():
            return Again(job, 0.0, verdict.error)
        case Refused():
            return give_up(_remembering(job, verdict, reached=True))
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


def _remembering(
    job: Job, verdict: Settled | Transient | Throttled | Refused | Foreign, *, reached: bool
) -> Job:
    return replace(
        job,
        last_error=verdict.error,
        last_http_status=verdict.http_status,
        last_reached=reached,
    )


def _settle(job: Job, verdict: Settled, policy: Policy, moments: Moments) -> Step:
    if verdict.outcome is Outcome.PROCESSING:
        return verdict
    if not job.check_next and job.was_ambiguous:
        return _read_what_was_rejected(job, verdict, policy, moments)
    if not job.check_next and job.by_list:
        # It may have been completed before, and the list may not have known yet.
        read = replace(_remembering(job, verdict, reached=True), check_next=True, rejected=True)
        return Again(read, 0.0, verdict.error)
    if job.unresolved and verdict.session_status is None and verdict.outcome is Outcome.FAILED:
        return give_up(_remembering(job, verdict, reached=True))
    return verdict


def _read_what_was_rejected(job: Job, verdict: Settled, policy: Policy, moments: Moments) -> Again:
    """An earlier completion may be what this one was rejected for: "already completed"."""
    read = replace(
        _remembering(job, verdict, reached=True),
        failures=(*job.failures, moments.current),
        unresolved=True,
        check_next=True,
        settled_at=max(job.settled_at, job.posted_at + policy.settle_s),
    )
    return Again(read, 0.0, verdict.error)


def _complete_or_give_up(job: Job, policy: Policy, moments: Moments, now: float) -> Step:
    read = replace(job, check_failures=())
    if read.rejected:
        return give_up(read)
    if read.permit.at < read.settled_at:
        # It is read once more when that time has come, and so right before it is sent.
        return Again(read, max(read.settled_at - now, 0.0), read.last_error, settling=True)
    valid_until = now + policy.check_valid_s if policy.check_first else math.inf
    known = replace(read, unresolved=False).known_started(valid_until)
    if moments.own(known.failures) >= policy.max_attempts:
        return give_up(known)
    return Again(known, 0.0, None)


def _after_failure(
    job: Job, verdict: Transient | Foreign, policy: Policy, moments: Moments, random: Random
) -> Step:
    # Where something else answered in the API's place, it may have passed the request on before.
    is_ambiguous = isinstance(verdict, Foreign) or verdict.ambiguous
    after = _remembering(job, verdict, reached=isinstance(verdict, Transient) and is_ambiguous)
    failures = moments.own(job.check_failures if job.check_next else job.failures)
    is_last = failures >= policy.max_attempts and moments.are_earlier(
        job.failures + job.check_failures
    )
    if is_ambiguous and not job.check_next:
        after = _in_doubt(after, verdict, policy)
        is_last = policy.on_ambiguous == "fail" or (is_last and not after.check_next)
    if is_last:
        return give_up(after)
    asked_s = verdict.retry_after_s if isinstance(verdict, Transient) else None
    delay_s = max(_backoff(max(failures, 1), policy, random), asked_s or 0.0)
    return Again(after, delay_s, verdict.error)


def _in_doubt(job: Job, verdict: Transient | Foreign, policy: Policy) -> Job:
    """The job whose completion may have reached the API."""
    if policy.on_ambiguous == "resend":
        return replace(job, was_ambiguous=True)
    is_final = isinstance(verdict, Transient) and verdict.is_final
    return replace(
        job,
        was_ambiguous=True,
        unresolved=True,
        check_next=True,
        settled_at=job.settled_at if is_final else job.posted_at + policy.settle_s,
    )


def _after_throttle(job: Job, verdict: Throttled, policy: Policy, random: Random) -> Step:
    after = _remembering(job, verdict, reached=True)
    if job.throttled_s > policy.patience_s:
        return give_up(after)
    delay_s = _throttle_delay(job.throttles, verdict.retry_after_s, policy, random)
    return Again(replace(after, throttle_delay_s=delay_s), delay_s, verdict.error)


def _throttle_delay(
    throttles: int, retry_after_s: float | None, policy: Policy, random: Random
) -> float:
    if retry_after_s is not None:
        return with_jitter(max(retry_after_s, _backoff(throttles, policy, random)), random)
    return throttle_delay(
        throttles,
        initial=policy.throttle_initial_s,
        maximum=policy.throttle_max_s,
        random=random,
    )


def _backoff(failures: int, policy: Policy, random: Random) -> float:
    return transient_delay(
        failures, initial=policy.backoff_initial_s, maximum=policy.backoff_max_s, random=random
    )


def _ambiguous(error: Error) -> Error:
    message = f"the request may have arrived, and no answer tells: {error.type}: {error.message}"
    return Error(ErrorType.AMBIGUOUS.value, message[:MAX_MESSAGE_LENGTH])
