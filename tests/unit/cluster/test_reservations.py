"""Permits as times: clocks that differ, lateness, and what is given back."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.cluster.reservations import Reservations, ServerClock, best_slack


@given(st.floats(-1e6, 1e6), st.floats(0.0001, 0.5), st.integers(0, 1000))
def test_the_servers_clock_is_known_to_half_a_round_trip(
    offset_s: float, round_trip_s: float, seed: int
) -> None:
    random, clock, now = Random(seed), ServerClock(), 100.0
    for _ in range(20):
        there_s, back_s = (random.uniform(0.0, round_trip_s / 2) for _ in range(2))
        clock.observe(now, now + there_s - offset_s, now + there_s + back_s)
        now += 0.1 + random.random()
    assert clock.local(now - offset_s) == pytest.approx(now, abs=round_trip_s / 2 + 0.005)
    assert clock.round_trip_s <= round_trip_s


def test_a_clock_that_was_set_is_followed_at_once() -> None:
    clock = ServerClock()
    clock.observe(10.0, 1000.0, 10.1)
    clock.observe(20.0, 5000.0, 20.1)
    assert clock.local(5000.0) == pytest.approx(20.05, abs=0.01)


def test_what_is_found_out_of_the_clock_crowds_no_permits() -> None:
    clock = ServerClock()
    for began_at in (7.0, 8.0, 9.0):
        assert not clock.is_known
        clock.observe(began_at, began_at + 990.0, began_at + 0.08)
    assert clock.is_known
    before = clock.local(1000.0)
    assert clock.observe(10.0, 1000.0, 10.0)
    assert before - 0.0011 <= clock.local(1000.0) <= before


def test_a_first_call_that_was_held_up_says_little_of_the_clock() -> None:
    clock = ServerClock()
    clock.observe(10.0, 1000.0, 13.0)
    for began_at in (13.0, 14.0):
        clock.observe(began_at, began_at + 990.0, began_at + 0.002)
    assert clock.local(1010.0) == pytest.approx(20.001, abs=0.001)


def test_where_all_that_was_known_was_far_off_times_told_by_it_are_wrong() -> None:
    clock = ServerClock()
    for began_at in (10.0, 13.0, 16.0):
        clock.observe(began_at, began_at + 990.0, began_at + 3.0)
    assert not clock.observe(20.0, 1010.0, 20.002)
    assert clock.local(1010.0) == pytest.approx(20.001, abs=0.001)


def test_a_permit_that_is_too_late_is_lost_and_the_next_one_waited_for() -> None:
    permits = Reservations()
    permits.add([10.0, 10.1, 10.2], tolerance_s=0.02)
    assert permits.next_at(10.01, 10.0) == 10.0
    assert permits.next_at(10.03, 10.0) == pytest.approx(10.1)
    assert permits.ahead_s(10.03) == pytest.approx(0.17)
    assert permits.next_at(11.0, 10.0) is None


def test_a_permit_that_was_not_used_is_good_for_the_next_request() -> None:
    permits = Reservations()
    permits.add([10.0, 10.1], tolerance_s=0.02)
    used = permits.use(10.0, 10.0)
    permits.give_back(used)
    assert permits.next_at(10.01, 10.0) == 10.0
    assert permits.next_at(10.05, 10.0) == pytest.approx(10.1)


@pytest.mark.parametrize(
    ("late", "rate", "slack"),
    [
        ([0.0] * 100, 10.0, 0.005),
        ([0.001] * 100, 10.0, 0.01),
        ([0.001] * 100, 1000.0, 0.02),
        ([0.0] * 60 + [0.03] * 40, 5.0, 0.03),
        ([0.0] * 99 + [0.06], 10.0, 0.005),
        ([0.09] * 100, 10.0, 0.02),
    ],
    ids=["punctual", "gaps", "high rate", "often late", "once late", "hopeless"],
)
def test_the_slack_is_the_one_that_costs_least(
    late: list[float], rate: float, slack: float
) -> None:
    assert best_slack(late, rate) == pytest.approx(slack)


@given(st.lists(st.floats(0.0, 0.1), min_size=20, max_size=60), st.floats(0.1, 2000.0))
def test_the_slack_stays_within_bounds(late: list[float], rate: float) -> None:
    assert 0.005 <= best_slack(sorted(late), rate) <= 0.07
