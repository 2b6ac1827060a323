"""Early requests: only where a probe has passed, and never more of them than the rate allows."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.pacer_harness import Harness, Signal, gaps
from tests.support.virtual_time import in_virtual_time, run_virtually
from worker.pacing.burst_probe import EARLY, BurstProbe, first_probe


def test_a_run_probes_only_where_three_refusals_are_no_more_than_one_in_300() -> None:
    assert first_probe(899) is None
    assert first_probe(900) == 10
    assert first_probe(None) == 900


@in_virtual_time
async def test_gaps_stay_even_in_a_short_run() -> None:
    times = await Harness(10.0).send_many(Signal.ANSWERED, 2000)
    assert min(gaps(times)) >= 0.1


@in_virtual_time
async def test_a_probe_that_passes_makes_rounds_that_are_as_long_as_even_ones() -> None:
    harness = Harness(10.0, first_probe=10)
    await harness.send_many(Signal.ANSWERED, 20)
    times = await harness.send_many(Signal.ANSWERED, 1001)
    assert times[-1] - times[0] == pytest.approx(100.0, rel=0.002)
    assert sum(gap < 0.05 for gap in gaps(times)) == pytest.approx(200, abs=2)


@pytest.mark.parametrize("refused", [1, 2, 3])
@in_virtual_time
async def test_a_probe_of_which_one_is_refused_leaves_gaps_and_rate_as_they_were(
    refused: int,
) -> None:
    harness = Harness(10.0, first_probe=10)
    early, last = 0, -math.inf
    for _ in range(1000):
        sent = await harness.permit()
        early += sent.at - last < 0.05
        is_refused = sent.at - last < 0.05 and early == refused
        harness.tell(Signal.THROTTLED if is_refused else Signal.ANSWERED, sent)
        assert harness.pacer.rate_allowed == 10.0
        last = sent.at
    assert early == 3


@in_virtual_time
async def test_there_is_another_probe_after_thousands_of_requests() -> None:
    harness = Harness(10.0, first_probe=10)
    early, last = list[int](), -math.inf
    for number in range(7000):
        sent = await harness.permit()
        if sent.at - last < 0.05:
            early.append(number)
        harness.tell(Signal.THROTTLED if sent.at - last < 0.05 else Signal.ANSWERED, sent)
        last = sent.at
    assert len(early) == 9
    assert early[3] - early[2] > 2500


@in_virtual_time
async def test_429s_that_meet_a_passed_probe_slow_down_as_any_other() -> None:
    harness = Harness(10.0, first_probe=10)
    await harness.send_many(Signal.ANSWERED, 200)
    await harness.send_many(Signal.THROTTLED, 4)
    assert harness.pacer.rate_allowed < 7.0


@in_virtual_time
async def test_an_early_request_that_was_held_up_proves_nothing() -> None:
    harness = Harness(10.0, first_probe=10)
    for _ in range(300):
        await harness.send(Signal.ANSWERED)
        await asyncio.sleep(0.099)
    # The next probe would come after 340.
    assert min(gaps(await harness.send_many(Signal.ANSWERED, 30))) >= 0.1


@pytest.mark.parametrize("held_up", [0, 1, 2])
def test_a_probe_of_which_a_request_was_held_up_is_soon_followed_by_another(held_up: int) -> None:
    burst_probe, number = BurstProbe(10, 10), 0
    early: list[int] = []
    while len(early) < 6:
        number += 1
        is_early = burst_probe.stretch == EARLY
        burst_probe.departed(number, burst_probe.stretch, 10.0)
        early += [number] * is_early
        if is_early and len(early) == held_up + 1:
            burst_probe.held_up(number)
        burst_probe.answered(number)
    assert early[3] - early[2] < 20
    assert burst_probe.is_tolerated


@pytest.mark.parametrize("is_refused_first", [True, False])
def test_a_probe_that_was_refused_is_not_soon_repeated_though_a_request_was_held_up(
    is_refused_first: bool,
) -> None:
    burst_probe, number = BurstProbe(10, 10), 0
    early: list[int] = []
    while len(early) < 4:
        number += 1
        is_early = burst_probe.stretch == EARLY
        burst_probe.departed(number, burst_probe.stretch, 10.0)
        early += [number] * is_early
        if len(early) == 3 and is_early:
            if is_refused_first:
                burst_probe.refused(early[0])
            burst_probe.held_up(early[2])
            burst_probe.refused(early[0])
    assert early[3] - early[2] > 2500


def test_where_all_are_held_up_probes_become_seldom() -> None:
    burst_probe, probes = BurstProbe(10, 10), 0
    for number in range(20_000):
        probes += burst_probe.stretch > 3.0
        burst_probe.departed(number, max(burst_probe.stretch, 1.0), 10.0)
        burst_probe.answered(number)
    assert 8 < probes < 16
    assert not burst_probe.is_tolerated


@given(
    rate=st.floats(5.0, 100.0),
    refused=st.sets(st.integers(0, 400), max_size=4),
    naps=st.lists(st.floats(0.0, 0.3), min_size=1, max_size=20),
)
def test_no_window_ever_holds_more_than_the_rate(
    rate: float, refused: set[int], naps: list[float]
) -> None:
    async def go() -> list[float]:
        harness, times = Harness(rate, first_probe=5), []
        for number in range(400):
            await asyncio.sleep(naps[number % len(naps)] if number % 7 == 0 else 0.0)
            signal = Signal.THROTTLED if number in refused else Signal.ANSWERED
            times.append(await harness.send(signal))
        return times

    times = run_virtually(go())
    limit = math.floor(rate)
    assert all(later - times[i] > limit / rate - 1e-9 for i, later in enumerate(times[limit:]))


@pytest.mark.parametrize("rate", [0.5, 3.9])
def test_at_a_few_requests_a_second_there_is_no_probe(rate: float) -> None:
    burst_probe = BurstProbe(10, 10)
    for number in range(100):
        assert burst_probe.stretch == 1.0
        burst_probe.departed(number, 1.0, rate)


@pytest.mark.parametrize("rate", [2.5, 5.0, 7.3, 10.0, 64.0])
def test_no_more_leave_early_than_a_limiter_of_the_rate_of_now_allows(rate: float) -> None:
    burst_probe = passed_probe()
    times = [0.0]
    for number in range(300):
        times.append(times[-1] + burst_probe.stretch / rate)
        burst_probe.departed(number, burst_probe.stretch, rate)
    limit = math.ceil(rate)
    even = times[-150:]
    assert min(gaps(even)) < 0.5 / rate
    assert (
        min(after - at for at, after in zip(even, even[limit:], strict=False))
        >= limit / rate - 1e-9
    )


def test_at_two_a_second_gaps_are_even_although_bursts_are_tolerated() -> None:
    burst_probe = passed_probe()
    for number in range(100):
        burst_probe.departed(number, 1.0, 2.0)
    assert burst_probe.stretch == 1.0


def passed_probe() -> BurstProbe:
    """At ten a second, and let through."""
    burst_probe, number = BurstProbe(100, 1), 0
    while not burst_probe.is_tolerated:
        number += 1
        burst_probe.departed(number, burst_probe.stretch, 10.0)
        burst_probe.answered(number)
    return burst_probe
