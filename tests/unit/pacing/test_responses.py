"""What counts of requests say, of rates that are too fast and of such to go back to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.pacing.responses import Responses, rate_of, step_of

TEN, NINE, SEVEN, FIVE = map(step_of, (10.0, 9.0, 7.0, 5.0))


def seen(*counts: tuple[int, int, int], now: float = 0.0) -> Responses:
    """Of steps: what was sent at each, and how much of that was refused."""
    responses = Responses()
    for step, sent, refused in counts:
        for number in range(sent):
            responses.add(step, now, refused=number < refused)
    return responses


@given(st.floats(0.01, 10_000))
def test_steps_tell_rates_apart_by_two_per_cent(rate: float) -> None:
    assert rate_of(step_of(rate)) == pytest.approx(rate, rel=0.011)


def test_what_is_forgotten_is_half_of_it_in_forty_seconds() -> None:
    responses = seen((TEN, 100, 10))
    assert responses.from_step(TEN, 40.0) == pytest.approx((50.0, 5.0))
    assert responses.from_step(TEN, 80.0).share == pytest.approx(0.1)


def test_one_refusal_is_tolerated_and_a_second_one_soon_is_too_much() -> None:
    assert not seen((TEN, 20, 1)).is_too_fast(TEN, 0.0)
    assert seen((TEN, 20, 2)).is_too_fast(TEN, 0.0)
    assert not seen((TEN, 400, 3)).is_too_fast(TEN, 0.0)


def test_refusals_at_a_higher_rate_count_against_this_one() -> None:
    assert seen((TEN, 20, 5), (TEN - 1, 20, 0)).is_too_fast(TEN - 1, 0.0)
    assert not seen((TEN, 20, 5), (NINE, 20, 0)).is_too_fast(FIVE, 40.0 * 9)


def test_as_many_refused_at_a_clearly_lower_rate_is_shed_load() -> None:
    responses = seen((TEN, 200, 10), (SEVEN, 200, 10))
    assert not responses.is_too_fast(TEN, 0.0)
    assert responses.returning(SEVEN, 0.0) == TEN


def test_none_refused_at_a_lower_rate_is_a_limit() -> None:
    responses = seen((TEN, 200, 10), (SEVEN, 200, 0))
    assert responses.is_too_fast(TEN, 0.0)
    assert responses.returning(SEVEN, 0.0) is None


def test_nobody_goes_back_where_nothing_tells_what_going_slower_bought() -> None:
    assert seen((TEN, 200, 10)).returning(SEVEN, 0.0) is None


def test_a_limit_refuses_less_the_slower_one_goes_and_is_no_shed_load() -> None:
    # A limit of 5: half of 10/s, 44 % of 9/s, 29 % of 7/s, and 2 % just at it.
    responses = seen((TEN, 100, 50), (NINE, 100, 44), (SEVEN, 100, 29), (FIVE, 200, 4))
    assert responses.returning(FIVE, 0.0) is None


def test_more_than_a_twentieth_is_not_taken_for_shed_load() -> None:
    assert seen((TEN, 400, 80), (SEVEN, 400, 80)).returning(SEVEN, 0.0) is None


def test_a_change_makes_what_was_known_of_higher_rates_worthless() -> None:
    responses = seen((TEN, 500, 0), (FIVE, 80, 1))
    responses.replace(TEN, 0.0, 20, 10, above=FIVE)
    assert responses.from_step(TEN, 0.0) == (20, 10)
    assert responses.from_step(FIVE, 0.0) == (100, 11)


def test_counts_survive_being_told() -> None:
    responses = seen((TEN, 500, 3), (FIVE, 80, 1), (SEVEN, 1, 0))
    told = responses.dump(0.0)
    assert Responses.load(told.split(), 99.0).dump(99.0) == told
    assert responses.dump(1e6) == ""
