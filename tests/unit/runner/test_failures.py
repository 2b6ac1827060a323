"""Who is charged for a failure: the id, or nobody where the API was away."""

from __future__ import annotations

import pytest

from worker.api.verdict import Settled, Transient
from worker.core.clock import Clock
from worker.core.outcomes import Error, Item, Outcome
from worker.core.tally import Tally
from worker.pacing.pacer import Pacer
from worker.runner.failures import FailureAttribution
from worker.runner.job import Job

DOWN = Transient(Error("http_503", "down"), ambiguous=False, http_status=503)
DONE = Settled(Outcome.PROCESSING, 200, "processing")


def health(*, pardons: int) -> FailureAttribution:
    pacer = Pacer(10.0, clock=Clock(), outage_after=3, notify=lambda _: None)
    return FailureAttribution(pacer, Tally(), lambda _: None, pardons=pardons)


def jobs(count: int) -> list[Job]:
    return [Job(Item(f"id{number}", number)) for number in range(1, count + 1)]


def test_a_failure_between_answers_is_charged_to_its_id() -> None:
    here, (first, second) = health(pardons=5), jobs(2)
    for job in (first, second):
        here.heed(job, DOWN, 0.0)
        here.heed(job, DONE, 0.0)
    assert (first.charged, second.charged) == (1, 1)


@pytest.mark.parametrize(("pardons", "charged"), [(5, 0), (0, 1)])
def test_the_row_that_an_outage_begins_with_is_taken_back(pardons: int, charged: int) -> None:
    here, row = health(pardons=pardons), jobs(3)
    for job in row:
        here.heed(job, DOWN, 0.0)
    assert [job.charged for job in row] == [charged] * 3


def test_nobody_is_charged_while_an_outage_lasts() -> None:
    here = health(pardons=0)
    *row, later = jobs(4)
    for job in (*row, later):
        here.heed(job, DOWN, 0.0)
    assert later.charged == 0
