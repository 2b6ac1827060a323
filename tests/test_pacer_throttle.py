"""A 429 slows everything down; nothing but 429s stops it."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pacer_desk import DOWN, TOO_MANY, Desk, about
from virtual_time import in_virtual_time, run_virtually

from worker.errors import ExitCode, UnavailableError
from worker.events import OutageBegan, OutageEnded, Pause, ProbeFailed
from worker.pace.pacer import Signal


@in_virtual_time
async def test_a_429_slows_the_whole_run_down_at_once_and_it_speeds_up_by_itself() -> None:
    desk = Desk()
    throttled_at = await desk.send(Signal.THROTTLED)
    assert desk.pacer.rate_allowed == pytest.approx(7.0)
    assert await desk.send(Signal.ANSWERED) >= throttled_at + 1 / 8.5
    await desk.send_many(Signal.ANSWERED, 400)
    assert desk.pacer.rate_allowed == desk.pacer.rate_asked == 10.0


@in_virtual_time
async def test_one_stray_429_costs_next_to_nothing_of_300_requests() -> None:
    desk = Desk()

    def answer(now: float) -> tuple[float, Signal]:
        return 0.1, Signal.THROTTLED if 14.95 <= now < 15.05 else Signal.ANSWERED

    sent = await desk.drive(answer, requests=300)
    counts = Counter(signal for _, signal in sent)
    assert counts[Signal.THROTTLED] == 1
    assert counts[Signal.ANSWERED] / (10.0 * (sent[-1][0] + 0.1)) >= 0.985


@in_virtual_time
async def test_429s_with_successes_between_them_close_no_gate() -> None:
    desk = Desk()
    for _ in range(10):
        await desk.send_many(Signal.THROTTLED, 4)
        await desk.send(Signal.ANSWERED)
    assert not desk.pacer.is_paused
    assert desk.told == []
    assert desk.pacer.rate_allowed < 1.0


@in_virtual_time
async def test_429s_in_a_row_close_the_gate_for_everyone() -> None:
    desk = Desk()
    sent = await desk.send_many(Signal.THROTTLED, 5)
    began = desk.told[-1]
    assert began == OutageBegan("throttled", 5, TOO_MANY, 30.0, about(900 - sent[-1]))
    assert not desk.pacer.outage_open
    assert desk.pacer.pause(desk.clock.now() + 10.0) == Pause("throttled", about(20.0))
    probe = await desk.permit()
    assert probe == pytest.approx(sent[-1] + 30.0)
    assert desk.pacer.pause(probe) == Pause("throttled", 0.0)
    desk.hear(Signal.ANSWERED, probe)
    assert desk.told[-1] == OutageEnded("throttled", about(30.0))
    assert desk.pacer.rate_allowed < 3.0


@in_virtual_time
async def test_a_volley_of_429s_is_one_refusal_and_not_five() -> None:
    desk = Desk(500.0)
    volley = [await desk.permit() for _ in range(32)]
    await asyncio.sleep(0.1)
    for sent_at in volley:
        desk.hear(Signal.THROTTLED, sent_at)
    assert not desk.pacer.is_paused
    assert desk.pacer.rate_allowed == pytest.approx(350.0)


@in_virtual_time
async def test_answers_to_requests_from_before_the_first_429_do_not_open_the_gate() -> None:
    desk = Desk()
    slow = await desk.permit()
    await desk.send_many(Signal.THROTTLED, 5)
    desk.hear(Signal.ANSWERED, slow)
    assert desk.pacer.is_paused


@in_virtual_time
async def test_a_retry_after_holds_the_gate_closed_at_least_as_long() -> None:
    desk = Desk()
    sent = [await desk.send(Signal.THROTTLED, retry_after_s=200.0) for _ in range(5)]
    assert await desk.permit() == pytest.approx(sent[-1] + 200.0)


@in_virtual_time
async def test_a_retry_after_beyond_patience_is_not_waited_for() -> None:
    desk = Desk()
    last = [await desk.send(Signal.THROTTLED, retry_after_s=86400.0) for _ in range(5)][-1]
    assert desk.pacer.gives_up_at == last
    with pytest.raises(UnavailableError, match="monthly quota"):
        await desk.permit()
    assert desk.clock.now() == last


@in_virtual_time
async def test_a_probe_that_fails_for_another_reason_does_not_open_the_gate() -> None:
    desk = Desk()
    await desk.send_many(Signal.THROTTLED, 5)
    probe = await desk.send(Signal.FAILED)
    assert desk.told[-1] == ProbeFailed("throttled", DOWN, about(60.0), about(900.0 - probe))
    assert await desk.permit() == pytest.approx(probe + 60.0)


@in_virtual_time
async def test_throttled_for_good_ends_the_run_after_eleven_requests() -> None:
    desk = Desk()
    sent, error = await desk.send_until_it_gives_up(Signal.THROTTLED)
    assert error.exit_code is ExitCode.UNAVAILABLE
    assert "rate limit" in error.message
    assert "monthly quota" in error.message
    # 5 that close the gate; probes after 30, 60, 120, 240 and 300 s; one when patience ends.
    assert len(sent) == 5 + 6
    assert desk.clock.now() == pytest.approx(900.0)


@pytest.mark.parametrize(("latency_s", "most"), [(0.05, 5 + 6), (0.3, 20), (1.0, 50)])
@in_virtual_time
async def test_when_the_quota_ends_in_full_run_few_requests_are_wasted(
    latency_s: float, most: int
) -> None:
    desk, refused = Desk(), 0

    def answer(now: float) -> tuple[float, Signal]:
        nonlocal refused
        refused += now >= 60.0
        return latency_s, Signal.THROTTLED if now >= 60.0 else Signal.ANSWERED

    with pytest.raises(UnavailableError):
        await desk.drive(answer, requests=10**6)
    assert refused <= most
    assert desk.clock.now() <= 60.0 + 900.0 + 10.0


@in_virtual_time
async def test_the_rate_does_not_come_back_while_the_gate_is_closed() -> None:
    desk = Desk()
    await desk.send_many(Signal.THROTTLED, 5)
    slowed = desk.pacer.rate_allowed
    await desk.send_many(Signal.THROTTLED, 3)
    await desk.send(Signal.ANSWERED)
    assert desk.pacer.rate_allowed == pytest.approx(slowed)
    assert slowed < 2.5


@in_virtual_time
async def test_after_the_gate_has_opened_it_is_back_at_the_full_rate_in_two_minutes() -> None:
    desk = Desk()
    await desk.send_many(Signal.THROTTLED, 5)
    opened_at = await desk.send(Signal.ANSWERED)
    while desk.pacer.rate_allowed < 10.0:
        await desk.send(Signal.ANSWERED)
    assert desk.clock.now() - opened_at < 120.0


# --- both at once --------------------------------------------------------------------------------


@in_virtual_time
async def test_a_gateway_that_fails_during_a_throttle_is_waited_out_too() -> None:
    desk = Desk()
    first = [await desk.permit() for _ in range(15)]
    for sent_at in first[:10]:
        desk.hear(Signal.FAILED, sent_at)
    assert desk.pacer.outage_open
    desk.hear(Signal.THROTTLED, first[10])
    assert not desk.pacer.outage_open


_signals = st.lists(
    st.tuples(
        st.sampled_from([*Signal, Signal.THROTTLED, Signal.FAILED]),
        st.floats(0.0, 3.0),
        st.none() | st.floats(0.0, 2000.0),
    ),
    min_size=1,
    max_size=12,
)


@given(_signals, st.integers(1, 32))
@settings(max_examples=60)
def test_whatever_comes_the_run_goes_on_or_gives_up_and_never_hangs(
    script: list[tuple[Signal, float, float | None]], slots: int
) -> None:
    async def go() -> None:
        desk, number, free = Desk(), 0, asyncio.Semaphore(slots)

        async def request(granted: float, number: int) -> None:
            signal, latency_s, retry_after_s = script[number % len(script)]
            await asyncio.sleep(latency_s)
            desk.hear(signal, granted, retry_after_s)
            free.release()

        under_way = set()
        try:
            for number in range(150):
                await free.acquire()
                under_way.add(asyncio.create_task(request(await desk.permit(), number)))
        except UnavailableError:
            assert desk.pacer.gives_up_at <= desk.clock.now()
        await asyncio.gather(*under_way)
        check_books(desk)

    run_virtually(go())


def check_books(desk: Desk) -> None:
    """Pauses that were told of began and ended in turn, and were counted once."""
    for reason in ("outage", "throttled"):
        told = [event for event in desk.told if getattr(event, "reason", "") == reason]
        is_open = False
        for event in told:
            assert isinstance(event, OutageBegan) != is_open
            is_open = not isinstance(event, OutageEnded)
    assert 0.0 <= desk.pacer.paused_s <= desk.clock.now()
    assert 0.0 < desk.pacer.rate_allowed <= 10.0
