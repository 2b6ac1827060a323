"""Which job goes next."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from worker.runner.schedule import Schedule


class Job:
    """Neither ordered nor equal to anything but itself, as any job may be."""

    __hash__ = None  # type: ignore[assignment]


def test_fresh_jobs_go_in_the_order_they_came_in() -> None:
    schedule = Schedule[int]()
    for number in range(3):
        schedule.add(number)
    assert [schedule.take(0.0) for _ in range(4)] == [0, 1, 2, None]


def test_a_due_retry_goes_before_a_fresh_job() -> None:
    schedule = Schedule[str]()
    schedule.add("fresh")
    schedule.retry("due", 5.0)
    assert schedule.take(5.0) == "due"
    assert schedule.take(5.0) == "fresh"


def test_a_retry_is_not_taken_before_it_is_due() -> None:
    schedule = Schedule[str]()
    schedule.retry("later", 5.0)
    assert schedule.take(4.999) is None
    assert (schedule.waiting, schedule.next_due) == (1, 5.0)
    schedule.add("fresh")
    assert schedule.take(4.999) == "fresh"


def test_retries_go_by_due_time_and_then_in_the_order_they_came_in() -> None:
    schedule = Schedule[Job]()
    late, first, second = Job(), Job(), Job()
    schedule.retry(late, 2.0)
    schedule.retry(first, 1.0)
    schedule.retry(second, 1.0)
    assert [schedule.take(9.0) for _ in range(3)] == [first, second, late]


def test_clearing_gives_up_all_and_tells_which_waited_for_a_retry() -> None:
    schedule = Schedule[str]()
    schedule.add("fresh")
    schedule.retry("second", 2.0)
    schedule.retry("first", 1.0)
    assert schedule.clear() == ["first", "second"]
    assert (schedule.waiting, schedule.next_due) == (0, None)
    assert schedule.take(9.0) is None


_steps = st.lists(
    st.one_of(
        st.just(("add", 0.0)),
        st.tuples(st.just("retry"), st.floats(0.0, 20.0)),
        st.tuples(st.just("take"), st.floats(0.0, 5.0)),
    ),
    max_size=60,
)


@given(_steps)
def test_whatever_the_order_of_events_every_job_comes_out_once_and_none_too_early(
    steps: list[tuple[str, float]],
) -> None:
    schedule, now, fresh, retries = Schedule[int](), 0.0, list[int](), list[tuple[float, int]]()
    for number, (step, value) in enumerate(steps):
        if step == "add":
            schedule.add(number)
            fresh.append(number)
        elif step == "retry":
            schedule.retry(number, value)
            retries.append((value, number))
        else:
            now += value
            due = min(retries, default=(float("inf"), -1))
            expected = due[1] if due[0] <= now else (fresh[0] if fresh else None)
            assert schedule.is_any_due(now) == (expected is not None)
            taken = schedule.take(now)
            assert taken == expected
            retries = [retry for retry in retries if retry[1] != taken]
            fresh = [job for job in fresh if job != taken]
        assert schedule.waiting == len(retries)
        assert schedule.next_due == (min(retries)[0] if retries else None)
    assert schedule.clear() == [number for _, number in sorted(retries)]
    assert schedule.take(math.inf) is None
