"""Whom a failure counts against: the id, or nobody where the API was away."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from tests.support.defaults import pacing
from tests.support.virtual_time import VirtualClock, in_virtual_time
from worker.api.verdict import Settled, Throttled, Transient
from worker.core.clock import Clock
from worker.core.outcomes import Error, Item, Outcome
from worker.core.tally import Tally
from worker.core.timetable import Timetable
from worker.pacing.pacer import Pacer
from worker.runner.failure_attribution import FailureAttribution
from worker.runner.job import Job

DOWN = Transient(Error("http_503", "down"), ambiguous=False, http_status=503)
BUSY = Throttled(Error("rate_limit_exceeded", "slow down"), 429, None)
DONE = Settled(Outcome.PROCESSING, 200, "processing")


def attribution(*, max_attempts: int = 5) -> FailureAttribution:
    options = pacing(outage_after=3)
    pacer = Pacer(Timetable.constant(10.0), options, clock=Clock(), notify=lambda _: None)
    return FailureAttribution(pacer, Tally(), lambda _: None, max_attempts=max_attempts)


def jobs(count: int) -> list[Job]:
    return [Job.of(Item(f"id{number}", number)) for number in range(1, count + 1)]


def fail(here: FailureAttribution, job: Job) -> Job:
    failed, cause = here.learn(job, DOWN, 0.0)
    assert cause is None
    return failed


def test_a_failure_between_answers_is_its_ids_own() -> None:
    here = attribution()
    for job in jobs(2):
        failed = fail(here, job)
        here.learn(failed, DONE, 0.0)
        assert here.moments.own(failed.failures) == 1


def test_while_nothing_is_answered_an_id_pays_no_more_than_once() -> None:
    here, [job] = attribution(), jobs(1)
    failed = fail(here, fail(here, job))
    assert here.moments.own(failed.failures) == 1
    assert not here.moments.are_earlier(failed.failures)


def test_the_row_that_an_outage_begins_with_is_nobodys() -> None:
    here = attribution()
    row = [fail(here, job) for job in jobs(3)]
    assert [here.moments.own(job.failures) for job in row] == [0, 0, 0]


def test_the_beginnings_of_many_outages_are_an_ids_own_in_the_end() -> None:
    here, [job] = attribution(max_attempts=1), jobs(1)
    for _ in range(6):
        job = fail(here, job)
        for other in jobs(2):
            fail(here, other)
        here.learn(job, DONE, 0.0)
    assert here.moments.own(job.failures) == 2


def test_nobody_pays_while_an_outage_lasts() -> None:
    here = attribution()
    failed = [fail(here, job) for job in jobs(4)]
    assert here.moments.own(failed[-1].failures) == 0


def test_an_id_pays_for_no_wait_in_which_nobody_was_let_through() -> None:
    here, [job, other] = attribution(), jobs(2)
    waits = []
    for is_anybody_let_through in (False, True):
        job = replace(here.learn(job, BUSY, 0.0)[0], throttle_delay_s=30.0)
        if is_anybody_let_through:
            here.learn(other, DONE, 0.0)
        waits.append(here.learn(job, BUSY, 30.0)[0].throttled_s)
    assert waits == [0.0, 30.0]


@in_virtual_time
async def test_quiet_hours_cost_no_patience_with_429() -> None:
    clock = VirtualClock()
    pacer = Pacer(Timetable.constant(10.0), pacing(), clock=clock, notify=lambda _: None)
    here = FailureAttribution(pacer, Tally(), lambda _: None, max_attempts=5)
    [job] = jobs(1)
    await pacer.permit()
    job, _ = here.learn(job, BUSY, clock.now())
    pacer.hold(is_held=True)
    await asyncio.sleep(10_000.0)
    pacer.hold(is_held=False)
    job, cause = here.learn(job, BUSY, clock.now())
    assert cause is None
    await asyncio.sleep(pacer.patience_s)
    _, cause = here.learn(job, BUSY, clock.now())
    assert cause is not None


def test_who_was_not_throttled_before_does_not_end_the_run_for_what_others_waited() -> None:
    here, [gone, fresh] = attribution(), jobs(2)
    here.learn(gone, BUSY, 0.0)
    fresh, cause = here.learn(fresh, BUSY, 5000.0)
    assert cause is None
    _, cause = here.learn(fresh, BUSY, 5030.0)
    assert cause is None


def test_patience_with_429_begins_anew_when_another_id_was_let_through() -> None:
    here, [job, other] = attribution(), jobs(2)
    job, _ = here.learn(job, BUSY, 0.0)
    here.learn(other, DONE, 800.0)
    job, cause = here.learn(job, BUSY, 801.0)
    assert cause is None
    job, cause = here.learn(job, BUSY, 950.0)
    assert cause is None
    job, cause = here.learn(job, BUSY, 1750.0)
    assert cause is not None
    assert "throttled everything" in cause.message
