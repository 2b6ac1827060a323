"""What the rate does after each answer. How that works out is in test_adaptive_scenes.py."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.pacing.adaptive import AdaptiveRate


class Harness:
    """A rate whose requests leave one after the other, and are answered at once."""

    def __init__(self, ceiling: float = 10.0) -> None:
        self.rate = AdaptiveRate(ceiling)
        self.now = 0.0

    @property
    def per_s(self) -> float:
        return self.rate.rate(self.now)

    def send(self, count: int, *, refused: bool = False) -> None:
        for _ in range(count):
            self.rate.sent(self.now)
            if refused:
                self.rate.throttled(self.now, self.now)
            else:
                self.rate.answered(self.now, self.now)
            self.now += 1 / self.per_s

    def send_for(self, seconds: float) -> list[float]:
        """The rate after each request."""
        until, rates = self.now + seconds, []
        while self.now < until:
            self.send(1)
            rates.append(self.per_s)
        return rates


def test_the_rate_is_what_was_asked_for_until_something_is_refused() -> None:
    assert AdaptiveRate(10.0).rate(1e9) == 10.0


def test_a_stray_429_is_tolerated_and_a_second_one_costs_a_small_step() -> None:
    harness = Harness()
    harness.send(50)
    harness.send(1, refused=True)
    assert harness.per_s == 10.0
    harness.send(20)
    harness.send(1, refused=True)
    assert 9.8 <= harness.per_s < 9.9


def test_a_few_among_hundreds_are_tolerated() -> None:
    harness = Harness()
    for _ in range(3):
        harness.send(160)
        harness.send(1, refused=True)
    assert harness.per_s == 10.0


def test_where_many_are_refused_the_rate_falls_to_what_gets_through() -> None:
    harness = Harness()
    harness.send(100)
    for _ in range(8):
        harness.send(1, refused=True)
        harness.send(1)
    assert 3.5 <= harness.per_s <= 6.0


def test_a_volley_of_429s_is_news_once() -> None:
    rate = AdaptiveRate(10.0)
    news = [rate.throttled(99.9 + lag, 100.0 + lag) for lag in (0.0, 0.01, 0.05, 0.099)]
    assert news == [True, False, False, False]
    assert not rate.throttled(100.1, 100.2)
    assert rate.throttled(100.3, 100.4)


def test_the_rate_climbs_back_in_small_steps_and_never_beyond_what_was_asked_for() -> None:
    harness = Harness()
    harness.send(10, refused=True)
    rates = harness.send_for(120.0)
    assert rates == sorted(rates)
    assert rates[-1] == 10.0
    assert max(later / earlier for earlier, later in pairwise(rates)) < 1.1


@pytest.mark.parametrize("asked", [0.01, 0.5, 10.0, 5000.0])
def test_however_much_is_refused_a_trickle_is_left(asked: float) -> None:
    harness = Harness(asked)
    harness.send(300, refused=True)
    assert harness.per_s == pytest.approx(min(asked, max(asked / 50, 0.05)), rel=0.2)


def test_time_in_which_nothing_was_sent_does_not_bring_the_rate_back() -> None:
    harness = Harness()
    harness.send(5, refused=True)
    harness.send(1)
    before = harness.per_s
    assert harness.rate.rate(harness.now + 3600.0) < before * 1.2
    harness.now += 3600.0
    harness.send(1)
    assert harness.per_s < before * 1.4


def test_a_pause_does_not_bring_the_rate_back_either() -> None:
    harness = Harness()
    harness.send(5, refused=True)
    rate, now = harness.rate, harness.now
    rate.pause(now)
    before = rate.rate(now)
    assert rate.rate(now + 300.0) == before
    rate.resume(now + 300.0)
    assert rate.rate(now + 300.0) == pytest.approx(before)
    assert rate.rate(now + 301.0) > before


def test_a_ceiling_that_is_lowered_and_raised_holds_at_once() -> None:
    harness = Harness()
    harness.send(20)
    harness.rate.limit_to(2.0, harness.now)
    assert harness.per_s == 2.0
    harness.send(20)
    harness.rate.limit_to(8.0, harness.now)
    assert harness.per_s == 8.0


def test_what_was_learnt_outlives_a_change_of_the_ceiling() -> None:
    harness = Harness()
    harness.send(12, refused=True)
    learnt = harness.per_s
    harness.rate.limit_to(9.0, harness.now)
    assert harness.per_s == pytest.approx(learnt, rel=0.01)
    harness.rate.limit_to(learnt / 2, harness.now)
    assert harness.per_s == learnt / 2


def test_a_ceiling_that_was_low_for_a_while_costs_nothing_of_what_was_found() -> None:
    harness = Harness()
    harness.send(12, refused=True)
    harness.send(30)
    found = harness.per_s
    assert 2.0 < found < 10.0
    harness.rate.limit_to(2.0, harness.now)
    harness.send(20)
    assert harness.per_s == 2.0
    harness.rate.limit_to(10.0, harness.now)
    assert harness.per_s == 2.0
    harness.send(30)
    assert harness.per_s >= found * 0.98


def test_what_was_refused_at_a_low_ceiling_does_not_keep_a_high_one_down() -> None:
    harness = Harness()
    harness.rate.limit_to(2.0, harness.now)
    harness.send(20)
    harness.send(1, refused=True)
    harness.rate.limit_to(10.0, harness.now)
    began = harness.now
    while harness.per_s < 9.0:
        harness.send(1)
    assert harness.now - began < 60


# --- one controller for several runs --------------------------------------------------------------


def test_nothing_learnt_is_nothing_to_tell() -> None:
    harness = Harness()
    harness.send(10)
    assert harness.rate.state(harness.now) == ""
    harness.rate.adopt("", harness.now)
    assert harness.per_s == 10.0


def test_another_controller_goes_on_where_this_one_is() -> None:
    harness = Harness()
    harness.send(200)
    harness.send(9, refused=True)
    harness.send_for(5.0)
    other = AdaptiveRate(10.0)
    state = harness.rate.state(harness.now)
    assert len(state) < 500
    other.adopt(state, 77.0)
    assert other.rate(77.0) == pytest.approx(harness.per_s, rel=0.001)
    ahead = harness.rate.rate(harness.now + 0.9)
    assert other.rate(77.9) == pytest.approx(ahead, rel=0.01)
    assert other.state(77.0).split()[6:] == state.split()[6:]


def test_a_lower_ceiling_holds_for_what_is_adopted_too() -> None:
    harness = Harness()
    harness.send(5, refused=True)
    other = AdaptiveRate(3.0)
    other.adopt(harness.rate.state(harness.now), 0.0)
    assert other.rate(0.0) <= 3.0


@pytest.mark.parametrize(
    "other",
    [
        *("7.0 9.0 8.0", "a b c d e f", "1 1 1 1 1 0 5:5"),
        *("0 0 0 0 0 0", "1 1 1 0 1 0", "-1 -1 1 1 1 0", "nan 1 1 1 1 0", "1 1 1 1 nan 0"),
    ],
)
def test_what_another_version_told_changes_nothing(other: str) -> None:
    harness = Harness()
    harness.send(5, refused=True)
    before = harness.per_s
    harness.rate.adopt(other, harness.now)
    assert harness.per_s == before


# --- whatever comes -------------------------------------------------------------------------------

_steps = st.lists(
    st.tuples(
        st.sampled_from(["sent", "answered", "throttled", "pause", "resume", "limit", "adopt"]),
        st.floats(0.0, 100.0),
    ),
    max_size=80,
)


@given(_steps, st.floats(0.01, 5000.0))
def test_whatever_comes_the_rate_stays_between_a_trickle_and_what_was_asked_for(
    steps: list[tuple[str, float]], ceiling: float
) -> None:
    rate, now, lowest = AdaptiveRate(ceiling), 0.0, ceiling
    for name, value in steps:
        now += value / 10
        match name:
            case "sent":
                rate.sent(now)
            case "answered":
                rate.answered(now - value, now)
            case "throttled":
                rate.throttled(now - value, now)
            case "pause":
                rate.pause(now)
            case "resume":
                rate.resume(now)
            case "limit":
                ceiling = 0.01 + value
                lowest = min(lowest, ceiling)
                rate.limit_to(ceiling, now)
            case _:
                rate.adopt(rate.state(now), now)
        assert min(lowest, max(0.05, lowest / 50)) * 0.99 <= rate.rate(now) <= ceiling


def test_what_another_controller_found_is_the_measure_before_a_second_has_passed() -> None:
    rate = AdaptiveRate(10.0)
    rate.adopt("5 5 0 60 1 1", 100.0)
    rate.sent(100.1)
    assert rate.throttled(100.1, 100.15, was_early=True)
    for tenths in range(1010, 1100, 2):
        rate.sent(tenths / 10)
    assert 4.7 < rate.rate(110.0) < 5.0
