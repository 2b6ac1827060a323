"""What waited for its connection leaves no faster than what did not."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.pacer_harness import Harness, Signal, gaps
from tests.support.shared_budgets import LateClock
from tests.support.virtual_time import in_virtual_time, run_virtually, turns
from worker.pacing.permits import Permit


def yes() -> bool:
    return True


def no() -> bool:
    return False


async def depart(
    harness: Harness, permit: Permit, is_open: Callable[[], bool], *, at_once: bool
) -> Permit | None:
    """The permit with which the request leaves; None where it is not sent."""
    departure = harness.pacer.departure(permit)
    is_sent = (at_once and departure.leaves_at_once()) or await departure(is_open)
    assert is_sent != departure.is_refused
    return departure.permit if is_sent else None


async def leave(harness: Harness, permit: Permit, connecting_s: float) -> float | None:
    """When the request leaves whose connection takes so long to open; None where it does not."""
    await asyncio.sleep(connecting_s)
    left = await depart(harness, permit, yes, at_once=connecting_s == 0.0)
    return None if left is None else left.at


async def leave_all(harness: Harness, connecting_s: list[float]) -> list[float]:
    """When each of so many requests leaves, in order, each being granted its permit in turn."""
    under_way = [
        asyncio.create_task(leave(harness, await harness.permit(), seconds))
        for seconds in connecting_s
    ]
    return sorted(at for at in await asyncio.gather(*under_way) if at is not None)


def never_above(rate: float, times: list[float]) -> bool:
    most = max(1, math.floor(rate))
    pairs = zip(times, times[most:], strict=False)
    return all(later - earlier >= most / rate - 1e-9 for earlier, later in pairs)


@in_virtual_time
async def test_on_an_open_connection_a_request_leaves_with_its_permit_and_suspends_nothing() -> (
    None
):
    harness = Harness(10.0)
    for _ in range(30):
        permit = await harness.permit()
        before = turns()
        assert await depart(harness, permit, yes, at_once=True) is permit
        assert turns() == before


@pytest.mark.parametrize("rate", [5.0, 10.0, 500.0])
@in_virtual_time
async def test_after_a_stall_requests_leave_at_the_rate_and_nothing_of_it_is_lost(
    rate: float,
) -> None:
    harness, stalled = Harness(rate), int(rate * 6)
    begun_at = harness.clock.now()

    def connecting_s(number: int) -> float:
        return max(6.0 - number / rate, 0.0)

    times = await leave_all(harness, [connecting_s(number) for number in range(stalled * 2)])
    assert never_above(rate, times)
    assert times[0] >= begun_at + 5.0
    assert len(times) == stalled * 2
    assert times[-1] - times[0] == pytest.approx(len(times) / rate, rel=0.03)


@in_virtual_time
async def test_where_the_loop_wakes_late_one_slow_connection_holds_up_no_more_than_a_few() -> None:
    harness = Harness(100.0, clock=LateClock(Random(1)))
    departures = [harness.pacer.departure(await harness.permit())]
    await asyncio.sleep(0.012)
    assert await departures[0](yes)
    is_late = []
    for _ in range(100):
        departures.append(harness.pacer.departure(await harness.permit()))
        is_late.append(not departures[-1].leaves_at_once())
        if is_late[-1]:
            assert await departures[-1](yes)
    assert 0 < sum(is_late) < 80
    assert not any(is_late[80:])


@in_virtual_time
async def test_where_every_connection_is_slow_the_rate_is_kept() -> None:
    harness = Harness(10.0)
    times = await leave_all(harness, [0.3] * 100)
    assert never_above(10.0, times)
    assert 99 / (times[-1] - times[0]) == pytest.approx(10.0, rel=0.01)


@given(
    rate=st.sampled_from([0.5, 3.0, 10.0, 200.0]),
    pattern=st.lists(st.just(0.0) | st.floats(0.0001, 7.0), min_size=1, max_size=30),
)
@settings(max_examples=60, deadline=None)
def test_however_long_connections_take_no_window_holds_more_than_the_rate(
    rate: float, pattern: list[float]
) -> None:
    async def go() -> list[float]:
        return await leave_all(Harness(rate), (pattern * 120)[:120])

    times = run_virtually(go())
    assert len(times) == 120
    assert never_above(rate, times)


@in_virtual_time
async def test_what_waits_to_leave_when_the_run_stops_is_not_sent() -> None:
    harness = Harness(0.1)
    first, second = await harness.permit(), await harness.permit()
    await depart(harness, first, yes, at_once=False)
    waiting = asyncio.create_task(depart(harness, second, yes, at_once=False))
    await asyncio.sleep(0.01)
    harness.pacer.stop()
    assert await waiting is None


@in_virtual_time
async def test_what_waits_to_leave_when_an_outage_begins_is_not_sent_but_the_probe_is() -> None:
    harness = Harness()
    waiting = await harness.permit()
    await harness.send_many(Signal.FAILED, 10)
    assert await depart(harness, waiting, yes, at_once=False) is None
    probe = await harness.permit()
    left = await depart(harness, probe, yes, at_once=False)
    assert left is not None
    assert left.number == probe.number


@pytest.mark.parametrize("at_once", [True, False])
@in_virtual_time
async def test_a_permit_that_is_too_old_is_not_used(at_once: bool) -> None:
    """Also where nothing was waited for, and the whole process has stood still."""
    harness = Harness(valid_s=10.0)
    permit = await harness.permit()
    await asyncio.sleep(10.1)
    assert await depart(harness, permit, yes, at_once=at_once) is None


@in_virtual_time
async def test_a_connection_that_was_closed_takes_nobodys_turn() -> None:
    harness = Harness(1.0)
    closed, other = await harness.permit(), await harness.permit()
    assert await depart(harness, closed, no, at_once=False) is closed
    left = await depart(harness, other, yes, at_once=False)
    assert left is not None
    assert left.at == harness.clock.now()


@in_virtual_time
async def test_an_early_request_of_a_probe_that_waits_for_its_connection_proves_nothing() -> None:
    harness = Harness(10.0, first_probe=10)
    for _ in range(300):
        permit = await harness.permit()
        left = await depart(harness, permit, yes, at_once=False)
        assert left is not None
        harness.tell(Signal.ANSWERED, left)
    # The next probe would come after 340.
    assert min(gaps(await harness.send_many(Signal.ANSWERED, 30))) >= 0.1
