"""What comes next for an id, decided from its history and the last verdict alone."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.defaults import policy as default_policy
from worker.api.verdict import (
    Answer,
    Foreign,
    Refused,
    Settled,
    StaleKey,
    Throttled,
    Transient,
    Unfinished,
    Verdict,
    judge_check,
)
from worker.core.outcomes import Error, Item, Outcome, Via
from worker.pacing.permits import Permit
from worker.runner.job import Job, Policy
from worker.runner.moments import Moments
from worker.runner.steps import Again, Step, give_up, next_step

RESET = Transient(Error("connection_reset", "gone"), ambiguous=True)
REFUSED_CONNECTION = Transient(Error("connect_failed", "nobody there"), ambiguous=False)
BUSY = Throttled(Error("rate_limit_exceeded", "slow"), 429, None)
PROXY_PAGE = Foreign(Error("unexpected_response", "<html>"), 404)
STARTED = Unfinished(200)
DONE = Settled(Outcome.PROCESSING, 200, "processing")


class History:
    """An id, from request to request; others are answered between them.

    `judged` is the job of the last request, as it was before what comes next was decided.
    """

    def __init__(self, **given: bool) -> None:
        self.job = self.judged = Job.of(Item("a", 1), **given)
        self.moments = Moments()


def job(**given: bool) -> History:
    return History(**given)


def step(
    of: History,
    verdict: Verdict,
    policy: Policy | None = None,
    *,
    counts: bool = True,
    now: float = 0.0,
) -> Step:
    """What comes after one more request; a failure, or a 429, `counts` unless it is everybody's."""
    begun = of.job.begun(Permit(1, now))
    of.moments.answered()
    if counts and isinstance(verdict, Transient | Foreign):
        begun = begun.failed(of.moments.current)
    if isinstance(verdict, Throttled):
        begun = begun.throttled(now, of.moments.current if counts else 0)
    of.job = of.judged = begun
    policy = policy or default_policy()
    taken = next_step(begun, verdict, policy, of.moments, now=now, random=Random(1))
    if isinstance(taken, Again):
        of.job = taken.job
    return taken


def again(
    of: History, delay_s: float, error: Error | None, *, settling: bool = False, **changes: Any
) -> Again:
    """The step that changes of the job of the last request these fields, and no other."""
    return Again(replace(of.judged, **changes), delay_s, error, settling)


def remembering(
    verdict: Transient | Foreign | Settled | Throttled, *, reached: bool
) -> dict[str, Any]:
    """What the job keeps of the verdict."""
    return {
        "last_error": verdict.error,
        "last_http_status": verdict.http_status,
        "last_reached": reached,
    }


def error_type(step: Step) -> str:
    assert isinstance(step, Settled)
    assert step.error is not None
    return step.error.type


def test_an_answer_settles() -> None:
    assert step(job(), DONE) == DONE


@pytest.mark.parametrize(
    ("verdict", "reached"), [(RESET, True), (PROXY_PAGE, False)], ids=["reset", "a proxy's page"]
)
def test_what_may_have_arrived_is_read_before_it_is_sent_again(
    verdict: Transient | Foreign, reached: bool
) -> None:
    ambiguous = job()
    failed = step(ambiguous, verdict)
    assert isinstance(failed, Again)
    assert failed == again(
        ambiguous,
        failed.delay_s,
        verdict.error,
        check_next=True,
        unresolved=True,
        was_ambiguous=True,
        settled_at=30.0,
        **remembering(verdict, reached=reached),
    )
    waiting = step(ambiguous, STARTED, now=10.0)
    assert waiting == again(ambiguous, 20.0, verdict.error, settling=True)
    assert error_type(give_up(ambiguous.job)) == "ambiguous"
    known = step(ambiguous, STARTED, now=30.0)
    assert known == again(ambiguous, 0.0, None, unresolved=False, check_next=False)
    assert ambiguous.job.via is Via.CHECK
    assert ambiguous.job.attempts == 1


def test_reads_that_failed_are_forgotten_once_one_is_answered() -> None:
    read = job()
    step(read, RESET)
    step(read, REFUSED_CONNECTION)
    assert read.job.check_failures == (2,)
    known = step(read, STARTED, now=30.0)
    assert known == again(read, 0.0, None, unresolved=False, check_next=False, check_failures=())


def test_what_never_left_is_sent_again_without_reading() -> None:
    unsent = job()
    assert isinstance(step(unsent, REFUSED_CONNECTION), Again)
    assert not unsent.job.check_next


def test_the_last_attempt_too_is_followed_by_a_read() -> None:
    last = job()
    policy = default_policy(max_attempts=1)
    assert isinstance(step(last, RESET, policy), Again)
    assert error_type(step(last, STARTED, policy, now=30.0)) == "connection_reset"
    assert last.job.via is Via.CHECK


def test_a_read_that_never_answers_leaves_the_id_ambiguous() -> None:
    unread = job()
    policy = default_policy(max_attempts=2)
    step(unread, RESET, policy)
    assert isinstance(step(unread, RESET, policy), Again)
    assert error_type(step(unread, RESET, policy)) == "ambiguous"


def test_a_read_that_is_rejected_leaves_the_id_ambiguous() -> None:
    unread = job()
    step(unread, RESET)
    assert (
        error_type(step(unread, Settled(Outcome.FAILED, 405, None, Error("x", "")))) == "ambiguous"
    )


def test_a_read_of_a_cancelled_session_settles_what_was_ambiguous() -> None:
    read = job()
    step(read, RESET)
    verdict = Settled(Outcome.FAILED, 200, "cancelled", Error("session_cancelled", ""))
    assert error_type(step(read, verdict)) == "session_cancelled"


@given(st.integers(100, 599), st.sampled_from(["cancelled", "abandoned", "in_review"]) | st.text())
def test_what_may_have_arrived_fails_by_another_name_only_where_nothing_can_have_run(
    http_status: int, session_status: str
) -> None:
    read = job()
    step(read, RESET)
    verdict = judge_check(Answer(http_status, msgspec.json.encode({"status": session_status})))
    settled = step(read, verdict, default_policy(max_attempts=1))
    if isinstance(settled, Settled) and settled.outcome is Outcome.FAILED:
        known = session_status in ("cancelled", "abandoned") and 200 <= http_status < 300
        assert error_type(settled) == (f"session_{session_status}" if known else "ambiguous")


def test_resend_does_not_read() -> None:
    resent = job()
    policy = default_policy(max_attempts=2, on_ambiguous="resend")
    assert isinstance(step(resent, RESET, policy), Again)
    assert not resent.job.check_next
    assert error_type(step(resent, RESET, policy)) == "connection_reset"


def test_what_is_rejected_after_a_resend_is_read_for_it_may_have_been_done() -> None:
    rejected = Settled(Outcome.FAILED, 409, None, Error("conflict", "already completed"))
    resent = job()
    policy = default_policy(on_ambiguous="resend")
    step(resent, RESET, policy)
    assert step(resent, rejected, policy, now=5.0) == again(
        resent,
        0.0,
        rejected.error,
        failures=(1, 2),
        unresolved=True,
        check_next=True,
        settled_at=35.0,
        **remembering(rejected, reached=True),
    )


def test_fail_neither_reads_nor_sends_again() -> None:
    assert error_type(step(job(), RESET, default_policy(on_ambiguous="fail"))) == "ambiguous"


def test_fail_still_retries_what_never_left() -> None:
    assert isinstance(step(job(), REFUSED_CONNECTION, default_policy(on_ambiguous="fail")), Again)


def test_a_session_read_first_is_completed_only_if_it_is_started() -> None:
    first = job(check_first=True)
    policy = default_policy(check_first=True, check_valid_s=60.0)
    known = step(first, STARTED, policy, now=5.0)
    assert known == again(first, 0.0, None, check_next=False, valid_until=65.0)
    assert first.job.attempts == 0
    assert step(first, DONE) == DONE
    assert first.job.attempts == 1


def test_a_first_read_that_is_rejected_fails_with_the_apis_words() -> None:
    rejected = Settled(Outcome.FAILED, 400, None, Error("invalid_request", "no"))
    assert error_type(step(job(check_first=True), rejected)) == "invalid_request"


def test_an_id_that_a_dead_run_may_have_sent_is_ambiguous_until_it_is_read() -> None:
    recovered = job(unresolved=True)
    assert recovered.job.check_next
    assert error_type(give_up(recovered.job)) == "ambiguous"


def test_failures_use_up_the_attempts() -> None:
    failing = job()
    policy = default_policy(max_attempts=3)
    assert isinstance(step(failing, REFUSED_CONNECTION, policy), Again)
    assert isinstance(step(failing, REFUSED_CONNECTION, policy), Again)
    assert error_type(step(failing, REFUSED_CONNECTION, policy)) == "connect_failed"
    assert failing.job.attempts == 3


def test_failures_during_an_outage_use_up_nothing() -> None:
    failing = job()
    for _ in range(50):
        assert isinstance(step(failing, REFUSED_CONNECTION, counts=False), Again)


def test_throttles_use_up_no_attempts_but_patience() -> None:
    throttled, policy = job(), default_policy(patience_s=600)
    steps = [step(throttled, BUSY, policy) for _ in range(20)]
    waits = [taken.delay_s for taken in steps if isinstance(taken, Again)]
    assert error_type(steps[len(waits)]) == "rate_limit_exceeded"
    assert sum(waits[:-1]) <= 600 < sum(waits)


def test_waiting_while_everything_is_throttled_uses_up_nothing() -> None:
    throttled, policy = job(), default_policy(patience_s=600)
    for _ in range(20):
        assert isinstance(step(throttled, BUSY, policy, counts=False), Again)
    assert isinstance(step(throttled, BUSY, policy), Again), "the last wait alone was its own"


def test_a_far_retry_after_makes_an_id_wait_and_not_fail() -> None:
    for verdict in (
        Throttled(Error("rate_limit_exceeded", ""), 429, 86400.0),
        Transient(Error("http_503", ""), True, 503, 86400.0),
    ):
        answer = step(job(), verdict)
        assert isinstance(answer, Again)
        assert answer.delay_s >= 86400.0


def test_a_retry_after_on_a_429_is_obeyed_as_it_is() -> None:
    answer = step(job(), Throttled(Error("rate_limit_exceeded", ""), 429, 1.0))
    assert isinstance(answer, Again)
    assert 1.0 <= answer.delay_s <= 1.25


def test_a_rejection_after_what_may_have_arrived_is_read() -> None:
    late = job()
    step(late, RESET)
    step(late, STARTED, now=30.0)
    rejected = Settled(Outcome.FAILED, 409, None, Error("conflict", "already completed"))
    assert step(late, rejected, now=31.0) == again(
        late,
        0.0,
        rejected.error,
        failures=(1, 3),
        unresolved=True,
        check_next=True,
        settled_at=61.0,
        **remembering(rejected, reached=True),
    )
    assert step(late, DONE, now=32.0) == DONE


def test_a_refusal_leaves_the_id_failed_for_the_next_run() -> None:
    verdict = Refused(Error("unauthorized", "no"), 401)
    assert step(job(), verdict) == Settled(Outcome.FAILED, 401, None, Error("unauthorized", "no"))


def test_what_was_refused_for_a_key_that_is_replaced_is_sent_again_at_once_and_for_nothing() -> (
    None
):
    stale = job()
    refused = StaleKey(Error("unauthorized", "no"), 401)
    assert step(stale, refused) == again(stale, 0.0, refused.error)
    assert stale.job.failures == ()
    assert not stale.job.check_next


VERDICTS = st.sampled_from(
    [
        DONE,
        RESET,
        REFUSED_CONNECTION,
        BUSY,
        Settled(Outcome.FAILED, 400, None, Error("invalid_request", "")),
        PROXY_PAGE,
        Refused(Error("unauthorized", ""), 401),
        StaleKey(Error("unauthorized", ""), 401),
    ]
)


@given(st.lists(st.tuples(VERDICTS, st.sampled_from([STARTED, RESET, DONE, BUSY])), max_size=60))
def test_no_completion_follows_one_that_may_have_arrived_without_a_read_between(
    rounds: list[tuple[Verdict, Verdict]],
) -> None:
    any_job = job()
    may_have_arrived = False
    for number, (on_post, on_read) in enumerate(rounds):
        verdict = on_read if any_job.job.check_next else on_post
        if not any_job.job.check_next:
            assert not may_have_arrived
            may_have_arrived = verdict in (RESET, PROXY_PAGE)
        elif isinstance(verdict, Unfinished):
            may_have_arrived = False
        if isinstance(step(any_job, verdict, default_policy(patience_s=10.0), now=number), Settled):
            break
    assert len(any_job.job.failures) <= default_policy().max_attempts
