"""When requests leave: evenly, never too fast, and none after a stop."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.pacer_harness import Harness, Signal, gaps
from tests.support.virtual_time import in_virtual_time, run_virtually, turns
from worker.core.events import Pause

# --- spacing -------------------------------------------------------------------------------------


@in_virtual_time
async def test_requests_leave_evenly_spaced_from_the_first_one_on() -> None:
    times = await Harness(10.0).send_many(Signal.ANSWERED, 300)
    assert times[0] == 0.0
    assert gaps(times)[1:] == pytest.approx([0.1] * 298, abs=0.0011)
    assert 299 / times[-1] > 0.99 * 10.0


@in_virtual_time
async def test_at_low_rates_lateness_is_not_made_up() -> None:
    harness = Harness(10.0)
    times = []
    for number in range(50):
        await asyncio.sleep(0.13 if number % 5 == 0 else 0.0)
        times.append(await harness.send(Signal.ANSWERED))
    assert min(gaps(times)) >= 0.1 - 1e-9


@in_virtual_time
async def test_at_high_rates_lateness_of_a_few_ms_is_made_up() -> None:
    harness = Harness(500.0)
    times = []
    for _ in range(300):
        await asyncio.sleep(0.01)
        times += [(await harness.permit()).at for _ in range(5)]
    assert len(times) / times[-1] == pytest.approx(500.0, rel=0.01)


@pytest.mark.parametrize("rate", [10.0, 500.0, 20_000.0])
@in_virtual_time
async def test_a_pause_gives_no_credit(rate: float) -> None:
    harness = Harness(rate)
    await harness.permit()
    await asyncio.sleep(100.0)
    times = [(await harness.permit()).at for _ in range(math.ceil(rate / 5))]
    assert times[-1] - times[0] >= (len(times) - 1) / rate * 0.99


@given(
    rate=st.floats(0.05, 2000.0),
    naps=st.lists(st.floats(0.0, 0.3), min_size=1, max_size=20),
)
@settings(max_examples=60)
def test_no_window_ever_holds_more_than_the_rate(rate: float, naps: list[float]) -> None:
    async def go() -> list[float]:
        harness, times = Harness(rate), []
        for number in range(400):
            await asyncio.sleep(naps[number % len(naps)] if number % 7 == 0 else 0.0)
            times.append((await harness.permit()).at)
        return times

    times = run_virtually(go())
    limit = max(1, math.floor(rate))
    assert all(later - times[i] > limit / rate - 1e-9 for i, later in enumerate(times[limit:]))


@in_virtual_time
async def test_waiting_costs_a_few_turns_of_the_loop_and_no_polling() -> None:
    harness, before = Harness(10.0), turns()
    await harness.send_many(Signal.ANSWERED, 100)
    assert turns() - before <= 600


@in_virtual_time
async def test_a_permit_that_is_due_is_granted_without_suspending() -> None:
    harness, before = Harness(10.0), turns()
    await harness.permit()
    await asyncio.sleep(0.25)
    assert turns() - before == 2
    await harness.permit()
    assert turns() - before == 2


@in_virtual_time
async def test_the_first_request_gives_the_second_ten_more_milliseconds() -> None:
    """It opens a connection before it leaves."""
    harness = Harness(10.0)
    assert (await harness.permit()).at == 0.0
    assert (await harness.permit()).at == pytest.approx(0.11, rel=0.006)


@in_virtual_time
async def test_permits_have_numbers_that_grow() -> None:
    harness = Harness(500.0)
    assert [(await harness.permit()).number for _ in range(5)] == [1, 2, 3, 4, 5]


class SlowPermits:
    """Permits that a run shares with others, and gets after a second."""

    paused_s = 0.0

    async def take(self) -> None:
        await asyncio.sleep(1.0)

    def give_back(self) -> None:
        """Nobody else is there."""

    stop = give_back

    def pause(self, now: float) -> Pause | None:
        return None


@in_virtual_time
async def test_who_waits_is_served_in_turn_and_one_at_a_time() -> None:
    harness = Harness(100.0, shared=SlowPermits())
    granted = await asyncio.gather(*(harness.permit() for _ in range(5)))
    assert [permit.number for permit in granted] == [1, 2, 3, 4, 5]
    assert gaps([permit.at for permit in granted]) == pytest.approx([1.0] * 4)


@in_virtual_time
async def test_what_is_learnt_while_a_permit_is_waited_for_holds_for_it() -> None:
    harness = Harness(10.0, shared=SlowPermits())
    permits = [await harness.permit() for _ in range(10)]
    waiting = asyncio.ensure_future(harness.permit())
    await asyncio.sleep(0.5)
    for permit in permits:
        harness.tell(Signal.FAILED, permit)
    pause = harness.pacer.pause(harness.clock.now())
    assert pause is not None
    may_probe_at = harness.clock.now() + pause.seconds_left
    assert (await waiting).at >= may_probe_at


# --- stopping ------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_stop_before_a_permit_is_not_lost() -> None:
    harness = Harness()
    harness.pacer.stop()
    assert await harness.pacer.permit() is None


@pytest.mark.parametrize("signal", [Signal.ANSWERED, Signal.FAILED, Signal.THROTTLED])
@in_virtual_time
async def test_a_stop_wakes_whoever_waits_for_a_gap_or_in_a_pause(signal: Signal) -> None:
    harness = Harness(0.1)
    for _ in range(10):
        harness.tell(signal, await harness.permit())
        if harness.is_paused:
            break
    stopped_at = harness.clock.now() + 0.5
    asyncio.get_running_loop().call_at(stopped_at, harness.pacer.stop)
    assert await harness.pacer.permit() is None
    assert harness.clock.now() == pytest.approx(stopped_at)
