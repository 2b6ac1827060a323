"""The loop that the tests of waiting stand on."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from tests.support.virtual_time import (
    EPOCH,
    DeadlockError,
    VirtualClock,
    in_virtual_time,
    run_virtually,
)


@in_virtual_time
async def test_hours_pass_at_once_and_in_order() -> None:
    clock, began, woken = VirtualClock(), time.monotonic(), []

    async def sleeper(hours: float) -> None:
        await asyncio.sleep(hours * 3600)
        woken.append((hours, clock.now()))

    await asyncio.gather(*(sleeper(hours) for hours in (30, 1, 2)))
    assert woken == [(1, 3600), (2, 7200), (30, 108000)]
    assert (clock.utc() - EPOCH).total_seconds() == 108000
    assert time.monotonic() - began < 5


@in_virtual_time
async def test_a_clock_waits_until_its_time_or_the_event() -> None:
    clock, event = VirtualClock(), asyncio.Event()
    assert not await clock.wait(event, 5.0)
    assert clock.now() == 5.0
    asyncio.get_running_loop().call_later(1.0, event.set)
    assert await clock.wait(event, 60.0)
    assert clock.now() == 6.0


def test_a_deadlock_is_an_error_and_not_a_hang() -> None:
    with pytest.raises(DeadlockError):
        run_virtually(asyncio.Event().wait())


@in_virtual_time
async def test_time_stands_still_while_a_thread_works() -> None:
    clock, finish = VirtualClock(), threading.Event()
    asyncio.get_running_loop().call_soon(finish.set)
    ticker = asyncio.create_task(asyncio.sleep(1000))
    assert await asyncio.to_thread(finish.wait)
    assert clock.now() == 0.0
    ticker.cancel()
