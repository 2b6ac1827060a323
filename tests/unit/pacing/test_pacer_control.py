"""What somebody may ask of a run that is on: another rate, and to hold for a while."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tests.support.pacer_harness import Harness, Signal, gaps
from tests.support.virtual_time import in_virtual_time
from worker.core.events import OutageBegan, OutageEnded, Pause, PauseReason
from worker.core.timetable import Timetable, parse_timetable

pytestmark = pytest.mark.usefixtures("greenwich")

HOUR = 3600.0


@pytest.mark.parametrize("rate", [2.0, 50.0])
@in_virtual_time
async def test_another_rate_holds_from_the_next_request_on_and_brings_no_burst(rate: float) -> None:
    pacer = Harness(Timetable.constant(10))
    await pacer.send_many(Signal.ANSWERED, 50)
    pacer.pacer.follow(Timetable.constant(rate))
    sent = await pacer.send_many(Signal.ANSWERED, 100)
    assert pacer.pacer.rate_allowed == rate
    assert min(gaps(sent)) >= 1 / rate * 0.99
    assert sent[-1] - sent[0] == pytest.approx(99 / rate, rel=0.02)


@in_virtual_time
async def test_a_timetable_may_take_the_place_of_a_rate() -> None:
    pacer = Harness(Timetable.constant(10))
    await pacer.send_many(Signal.ANSWERED, 10)
    pacer.pacer.follow(parse_timetable("00:00,0 06:00,4"))
    sent = await pacer.send_many(Signal.ANSWERED, 2)
    assert sent[0] >= 6 * HOUR


@in_virtual_time
async def test_the_debug_log_says_why_nothing_leaves(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "worker.pacing.pacer")
    pacer = Harness(Timetable.constant(0.1))
    await pacer.send_many(Signal.ANSWERED, 2)
    pacer.pacer.hold(is_held=True)
    async with asyncio.timeout(60):
        waiting = asyncio.create_task(pacer.permit())
        await asyncio.sleep(1)
        waiting.cancel()
    told = [record.getMessage() for record in caplog.records]
    assert any(each.endswith(" s: gaps at 0.1 requests/s") for each in told)
    assert told[-1] == "nothing leaves for inf s: held"


@in_virtual_time
async def test_a_waiting_request_is_held_and_let_go() -> None:
    pacer = Harness(Timetable.constant(0.1))
    await pacer.send(Signal.ANSWERED)
    waiting = asyncio.create_task(pacer.permit())
    await asyncio.sleep(1)
    pacer.pacer.hold(is_held=True)
    await asyncio.sleep(HOUR)
    assert not waiting.done()
    assert pacer.pacer.pause(pacer.clock.now()) == Pause(PauseReason.HELD, float("inf"))
    assert pacer.pacer.rate_allowed == 0
    pacer.pacer.hold(is_held=False)
    assert (await waiting).at == pytest.approx(HOUR + 1, abs=11)
    assert pacer.pacer.paused_s == pytest.approx(HOUR, abs=2)


@in_virtual_time
async def test_to_be_held_costs_no_patience() -> None:
    pacer = Harness(Timetable.constant(10), patience_s=300)
    while not any(isinstance(event, OutageBegan) for event in pacer.told):
        await pacer.send(Signal.FAILED)
    pacer.pacer.hold(is_held=True)
    await asyncio.sleep(HOUR)
    pacer.pacer.hold(is_held=False)
    await pacer.send(Signal.ANSWERED)
    assert isinstance(pacer.told[-1], OutageEnded)


@in_virtual_time
async def test_held_within_quiet_hours_and_let_go_the_timetable_goes_on() -> None:
    pacer = Harness(parse_timetable("00:00,0 06:00,4"))
    waiting = asyncio.create_task(pacer.permit())
    await asyncio.sleep(HOUR)
    pacer.pacer.hold(is_held=True)
    await asyncio.sleep(HOUR)
    pacer.pacer.hold(is_held=False)
    pause = pacer.pacer.pause(pacer.clock.now())
    assert pause is not None
    assert pause.reason == "quiet"
    assert pause.seconds_left == pytest.approx(4 * HOUR, abs=1)
    assert (await waiting).at == pytest.approx(6 * HOUR, abs=1)


@in_virtual_time
async def test_a_held_run_can_be_stopped() -> None:
    pacer = Harness(Timetable.constant(10))
    pacer.pacer.hold(is_held=True)
    waiting = asyncio.create_task(pacer.pacer.permit())
    await asyncio.sleep(1)
    pacer.pacer.stop()
    assert await waiting is None
