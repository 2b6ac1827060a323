"""Whom a failure counts against: the id, or nobody where the API was away."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec.structs import replace

from tests.support.defaults import pacing
from tests.support.virtual_time import VirtualClock, in_virtual_time
from worker.api.verdict import Settled, Throttled, Transient, Verdict
from worker.core.errors import WorkerError
from worker.core.outcomes import Error, Item, Outcome
from worker.core.tally import Tally
from worker.core.timetable import Timetable
from worker.pacing.pacer import Pacer
from worker.runner.failure_attribution import FailureAttribution
from worker.runner.job import Job

DOWN = Transient(Error("http_503", "down"), ambiguous=False, http_status=503)
BUSY = Throttled(Error("rate_limit_exceeded", "slow down"), 429, None)
DONE = Settled(Outcome.PROCESSING, 200, "processing")


class Harness:
    """Attributes failures on the clock of the running virtual loop."""

    def __init__(self, *, max_attempts: int = 5, **given: Any) -> None:
        self.clock = VirtualClock()
        self.pacer = Pacer(
            Timetable.constant(10.0), pacing(**given), clock=self.clock, notify=lambda _: None
        )
        self._attribution = FailureAttribution(
            self.pacer, Tally(), lambda _: None, max_attempts=max_attempts
        )

    def learn(self, job: Job, verdict: Verdict) -> tuple[Job, WorkerError | None]:
        return self._attribution.learn(job, verdict, self.clock.now())

    def fail(self, job: Job) -> Job:
        failed, cause = self.learn(job, DOWN)
        assert cause is None
        return failed

    def own(self, job: Job) -> int:
        """How many of its failures are the id's own."""
        return self._attribution.moments.own(job.failures)

    def is_answered_since(self, job: Job) -> bool:
        """Whether anything was answered since the id's first failure."""
        return self._attribution.moments.are_earlier(job.failures)


def jobs(count: int) -> list[Job]:
    return [Job.of(Item(f"id{number}", number)) for number in range(1, count + 1)]


@in_virtual_time
async def test_a_failure_between_answers_is_its_ids_own() -> None:
    here = Harness(outage_after=3)
    for job in jobs(2):
        failed = here.fail(job)
        here.learn(failed, DONE)
        assert here.own(failed) == 1


@in_virtual_time
async def test_while_nothing_is_answered_an_id_pays_no_more_than_once() -> None:
    here, [job] = Harness(outage_after=3), jobs(1)
    failed = here.fail(here.fail(job))
    assert here.own(failed) == 1
    assert not here.is_answered_since(failed)


@in_virtual_time
async def test_the_row_that_an_outage_begins_with_is_nobodys() -> None:
    here = Harness(outage_after=3)
    row = [here.fail(job) for job in jobs(3)]
    assert [here.own(job) for job in row] == [0, 0, 0]


@in_virtual_time
async def test_the_beginnings_of_many_outages_are_an_ids_own_in_the_end() -> None:
    here, [job] = Harness(outage_after=3, max_attempts=1), jobs(1)
    for _ in range(6):
        job = here.fail(job)
        for other in jobs(2):
            here.fail(other)
        here.learn(job, DONE)
    assert here.own(job) == 2


@in_virtual_time
async def test_nobody_pays_while_an_outage_lasts() -> None:
    here = Harness(outage_after=3)
    failed = [here.fail(job) for job in jobs(4)]
    assert here.own(failed[-1]) == 0


@in_virtual_time
async def test_an_id_pays_for_no_wait_in_which_nobody_was_let_through() -> None:
    here, [job, other] = Harness(), jobs(2)
    waits = []
    for is_anybody_let_through in (False, True):
        job = replace(here.learn(job, BUSY)[0], throttle_delay_s=30.0)
        if is_anybody_let_through:
            here.learn(other, DONE)
        await asyncio.sleep(30.0)
        waits.append(here.learn(job, BUSY)[0].throttled_s)
    assert waits == [0.0, 30.0]


@in_virtual_time
async def test_quiet_hours_cost_no_patience_with_429() -> None:
    here, [job] = Harness(), jobs(1)
    await here.pacer.permit()
    job, _ = here.learn(job, BUSY)
    here.pacer.hold(is_held=True)
    await asyncio.sleep(10_000.0)
    here.pacer.hold(is_held=False)
    job, cause = here.learn(job, BUSY)
    assert cause is None
    await asyncio.sleep(here.pacer.patience_s)
    _, cause = here.learn(job, BUSY)
    assert cause is not None


@in_virtual_time
async def test_who_was_not_throttled_before_does_not_end_the_run_for_what_others_waited() -> None:
    here, [gone, fresh] = Harness(), jobs(2)
    here.learn(gone, BUSY)
    await asyncio.sleep(5000.0)
    fresh, cause = here.learn(fresh, BUSY)
    assert cause is None
    await asyncio.sleep(30.0)
    _, cause = here.learn(fresh, BUSY)
    assert cause is None


@in_virtual_time
async def test_the_first_429_since_another_id_was_let_through_ends_nothing() -> None:
    here, [job, other] = Harness(), jobs(2)
    job, _ = here.learn(job, BUSY)
    here.learn(other, DONE)
    await asyncio.sleep(here.pacer.patience_s)
    _, cause = here.learn(job, BUSY)
    assert cause is None


@in_virtual_time
async def test_patience_with_429_begins_anew_when_another_id_was_let_through() -> None:
    here, [job, other] = Harness(), jobs(2)
    job, _ = here.learn(job, BUSY)
    await asyncio.sleep(800.0)
    here.learn(other, DONE)
    for wait_s in (1.0, 149.0):
        await asyncio.sleep(wait_s)
        job, cause = here.learn(job, BUSY)
        assert cause is None
    await asyncio.sleep(800.0)
    job, cause = here.learn(job, BUSY)
    assert cause is not None
    assert "throttled everything" in cause.message
