"""A rate by the time of day: no burst at its changes, nothing in quiet hours, no patience lost."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.pacer_harness import Harness, Signal, gaps
from tests.support.virtual_time import in_virtual_time, run_virtually
from worker.core.errors import UnavailableError
from worker.core.events import OutageBegan, OutageEnded, Pause, PauseReason, RateChanged
from worker.core.timetable import Timetable, parse_timetable
from worker.pacing.ceiling import Ceiling

pytestmark = pytest.mark.usefixtures("greenwich")

HOUR = 3600.0


def table(text: str) -> Timetable:
    return parse_timetable(text)


@in_virtual_time
async def test_each_slot_has_its_rate_and_says_so_when_it_begins() -> None:
    pacer = Harness(table("00:00,4 00:01,10 00:02,2"))
    sent = [await pacer.send(Signal.ANSWERED) for _ in range(4 * 60 + 10 * 60 + 2 * 30)]
    by_minute = [sum(60 * minute <= at < 60 * minute + 60 for at in sent) for minute in range(2)]
    assert by_minute == pytest.approx([240, 600], rel=0.02)
    assert gaps(sent)[-1] == pytest.approx(0.5, rel=0.02)
    changes = [event for event in pacer.told if isinstance(event, RateChanged)]
    assert [event.rate for event in changes] == [10, 2]
    assert changes[1].lasts_s == pytest.approx(24 * HOUR - 120, abs=1)


@in_virtual_time
async def test_nothing_leaves_in_quiet_hours_and_no_burst_follows() -> None:
    pacer = Harness(table("00:00,10 00:01,0 06:00,4"))
    sent = await pacer.send_many(Signal.ANSWERED, 700)
    before = [at for at in sent if at < 60]
    after = [at for at in sent if at >= 60]
    assert len(before) == pytest.approx(600, rel=0.02)
    assert after[0] >= 6 * HOUR
    assert min(gaps(after)) >= 0.25 * 0.99
    assert pacer.pacer.paused_s == pytest.approx(6 * HOUR - 60, abs=1)


@in_virtual_time
async def test_quiet_hours_at_the_start_say_until_when() -> None:
    pacer = Harness(table("00:00,0 06:00,4"))
    waiting = asyncio.create_task(pacer.permit())
    await asyncio.sleep(HOUR)
    assert pacer.pacer.pause(pacer.clock.now()) == Pause(PauseReason.QUIET, 5 * HOUR)
    assert pacer.pacer.rate_allowed == 0
    assert pacer.told == [RateChanged(0, 6 * HOUR)]
    assert (await waiting).at == pytest.approx(6 * HOUR, abs=0.01)


@in_virtual_time
async def test_quiet_hours_cost_no_patience() -> None:
    pacer = Harness(table("00:00,10 00:01,0 06:00,4"), patience_s=300)
    while not any(isinstance(event, OutageBegan) for event in pacer.told):
        await pacer.send(Signal.FAILED)
    while pacer.clock.now() < 6 * HOUR:
        await pacer.send(Signal.FAILED)
    await pacer.send(Signal.ANSWERED)
    assert isinstance(pacer.told[-1], OutageEnded)


@in_virtual_time
async def test_nobody_gives_up_within_quiet_hours() -> None:
    pacer = Harness(table("00:00,10 00:01,0 06:00,4"), patience_s=300)
    while not any(isinstance(event, OutageBegan) for event in pacer.told):
        await pacer.send(Signal.FAILED)
    await asyncio.sleep(5 * HOUR)
    pacer.pacer.check_patience(pacer.clock.now())
    await asyncio.sleep(2 * HOUR)
    with pytest.raises(UnavailableError):
        pacer.pacer.check_patience(pacer.clock.now())


@in_virtual_time
async def test_an_outage_that_goes_on_after_quiet_hours_ends_with_patience() -> None:
    pacer = Harness(table("00:00,10 00:01,0 06:00,4"), patience_s=300)
    sent, error = await pacer.send_until_it_gives_up(Signal.FAILED)
    assert "--patience (5m)" in str(error)
    assert 300 - 60 <= sent[-1] - 6 * HOUR <= 300
    assert not [at for at in sent if 60 <= at < 6 * HOUR]


@in_virtual_time
async def test_a_stop_ends_the_wait_for_the_end_of_quiet_hours() -> None:
    pacer = Harness(table("00:00,0 06:00,4"))
    waiting = asyncio.create_task(pacer.pacer.permit())
    await asyncio.sleep(1)
    pacer.pacer.stop()
    assert await waiting is None


@in_virtual_time
async def test_a_slot_is_the_ceiling_of_the_rate_that_the_api_lets_through() -> None:
    pacer = Harness(table("00:00,10 00:01,4"))
    await pacer.send_many(Signal.ANSWERED, 50)
    await pacer.send(Signal.THROTTLED, 1.0)
    while pacer.clock.now() < 120:
        await pacer.send(Signal.ANSWERED)
        assert pacer.pacer.rate_allowed <= (10 if pacer.clock.now() < 60 else 4)


@in_virtual_time
async def test_the_mean_rate_leaves_quiet_hours_aside() -> None:
    pacer = Harness(table("00:00,10 00:01,0 00:02,4"))
    while pacer.clock.now() < 180:
        await pacer.send(Signal.ANSWERED)
    assert pacer.pacer.rate_asked == pytest.approx(7, rel=0.01)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations([1.0, 3.0, 7.0, 20.0]), st.integers(1, 50))
def test_no_second_has_more_than_its_slots_allow(rates: list[float], start_s: int) -> None:
    text = " ".join(f"00:0{minute},{rate:g}" for minute, rate in enumerate(rates))

    async def drive() -> list[float]:
        pacer = Harness(table(text))
        await asyncio.sleep(start_s)
        sent = []
        while pacer.clock.now() < 240:
            sent.append(await pacer.send(Signal.ANSWERED))
        return sent

    sent = run_virtually(drive())
    for at in sent:
        slots = {int(at // 60), int((at + 0.999) // 60)}
        allowed = max(rates[min(slot, 3)] for slot in slots)
        assert sum(at <= other < at + 0.999 for other in sent) <= max(allowed, 1)


def test_a_clock_that_is_set_is_heeded_within_a_minute() -> None:
    utc_s = 0.0
    ceiling = Ceiling(table("00:00,4 12:00,10"), lambda: utc_s)
    assert ceiling.follow(0.0)
    assert (ceiling.rate, ceiling.ends_at) == (4, 60)
    utc_s = 13 * HOUR
    assert not ceiling.follow(59.0)
    assert ceiling.follow(60.0)
    assert ceiling.rate == 10
