"""A 429 slows everything down; nothing but 429s stops it."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.pacer_harness import DOWN, TOO_MANY, Harness, Signal, about
from tests.support.virtual_time import in_virtual_time, run_virtually
from worker.core.errors import ExitCode, UnavailableError
from worker.core.events import OutageBegan, OutageEnded, Pause, PauseReason, ProbeFailed
from worker.pacing.permits import Permit


@in_virtual_time
async def test_429s_slow_the_whole_run_down_and_it_speeds_up_by_itself() -> None:
    harness = Harness()
    await harness.send_many(Signal.THROTTLED, 4)
    await harness.send(Signal.ANSWERED)
    throttled_at = (await harness.send_many(Signal.THROTTLED, 4))[-1]
    slowed = harness.pacer.rate_allowed
    assert slowed < 7.0
    assert await harness.send(Signal.ANSWERED) >= throttled_at + 1 / 7.0
    await harness.send_many(Signal.ANSWERED, 400)
    assert harness.pacer.rate_allowed == harness.pacer.rate_asked == 10.0


@in_virtual_time
async def test_one_stray_429_costs_next_to_nothing_of_300_requests() -> None:
    harness = Harness()

    def answer(now: float) -> tuple[float, Signal]:
        return 0.1, Signal.THROTTLED if 14.95 <= now < 15.05 else Signal.ANSWERED

    sent = await harness.drive(answer, requests=300)
    counts = Counter(signal for _, signal in sent)
    assert counts[Signal.THROTTLED] == 1
    assert counts[Signal.ANSWERED] / (10.0 * (sent[-1][0] + 0.1)) >= 0.985


@in_virtual_time
async def test_429s_with_successes_between_them_open_no_breaker() -> None:
    harness = Harness()
    for _ in range(10):
        await harness.send_many(Signal.THROTTLED, 4)
        await harness.send(Signal.ANSWERED)
    assert not harness.is_paused
    assert harness.told == []
    assert harness.pacer.rate_allowed < 1.0


@in_virtual_time
async def test_nothing_but_429s_for_a_second_opens_the_breaker_for_everyone() -> None:
    harness = Harness()
    sent = await harness.throttle_until_paused()
    assert 1.0 <= sent[-1] - sent[0] < 2.0
    began = harness.told[-1]
    assert began == OutageBegan(PauseReason.THROTTLED, 5, TOO_MANY, 30.0, about(900 - sent[-1]))
    assert not harness.pacer.is_down
    assert harness.pacer.pause(harness.clock.now() + 10.0) == Pause(
        PauseReason.THROTTLED, about(20.0)
    )
    probe = await harness.permit()
    assert probe.at == pytest.approx(sent[-1] + 30.0)
    assert harness.pacer.pause(probe.at) == Pause(PauseReason.THROTTLED, 0.0)
    harness.tell(Signal.ANSWERED, probe)
    assert harness.told[-1] == OutageEnded(PauseReason.THROTTLED, about(30.0))
    assert harness.pacer.rate_allowed < 5.0


@in_virtual_time
async def test_a_limiter_that_has_used_up_its_second_opens_no_breaker() -> None:
    """One that allows two in a second refuses the other eight in a row."""
    harness = Harness()
    for _ in range(3):
        began_at = harness.clock.now()
        await harness.send_many(Signal.ANSWERED, 2)
        while harness.clock.now() < began_at + 1.0:
            await harness.send(Signal.THROTTLED)
    assert not harness.is_paused


@in_virtual_time
async def test_a_volley_of_429s_is_one_refusal_and_not_five() -> None:
    harness = Harness(500.0)
    volley = [await harness.permit() for _ in range(32)]
    await asyncio.sleep(0.1)
    for sent_at in volley:
        harness.tell(Signal.THROTTLED, sent_at)
    assert not harness.is_paused
    assert 150.0 < harness.pacer.rate_allowed < 300.0


@in_virtual_time
async def test_answers_to_requests_from_before_the_first_429_do_not_close_the_breaker() -> None:
    harness = Harness()
    slow = await harness.permit()
    await harness.throttle_until_paused()
    harness.tell(Signal.ANSWERED, slow)
    assert harness.is_paused


@in_virtual_time
async def test_a_retry_after_holds_the_breaker_open_at_least_as_long() -> None:
    harness = Harness()
    sent = await harness.throttle_until_paused(retry_after_s=200.0)
    assert (await harness.permit()).at == pytest.approx(sent[-1] + 200.0)


@in_virtual_time
async def test_a_retry_after_beyond_patience_is_not_waited_for() -> None:
    harness = Harness()
    last = (await harness.throttle_until_paused(retry_after_s=86400.0))[-1]
    assert harness.pacer.gives_up_at == last
    with pytest.raises(UnavailableError, match="monthly quota"):
        await harness.permit()
    assert harness.clock.now() == last


@in_virtual_time
async def test_a_probe_that_fails_for_another_reason_does_not_close_the_breaker() -> None:
    harness = Harness()
    await harness.throttle_until_paused()
    probe = await harness.send(Signal.FAILED)
    assert harness.told[-1] == ProbeFailed(
        PauseReason.THROTTLED, DOWN, about(60.0), about(900.0 - probe)
    )
    assert (await harness.permit()).at == pytest.approx(probe + 60.0)


@in_virtual_time
async def test_throttled_for_good_ends_the_run_after_few_requests() -> None:
    harness = Harness()
    sent, error = await harness.send_until_it_gives_up(Signal.THROTTLED)
    assert error.exit_code is ExitCode.UNAVAILABLE
    assert "rate limit" in error.message
    assert "monthly quota" in error.message
    # Those that open the breaker; probes after 30, 60, 120, 240 and 300 s; one when patience ends.
    closing = [at for at in sent if at < 10.0]
    assert 5 <= len(closing) <= 10
    assert len(sent) == len(closing) + 6
    assert harness.clock.now() == pytest.approx(900.0)


@pytest.mark.parametrize(("latency_s", "most"), [(0.05, 10 + 6), (0.3, 20), (1.0, 50)])
@in_virtual_time
async def test_when_the_quota_ends_in_full_run_few_requests_are_wasted(
    latency_s: float, most: int
) -> None:
    harness, refused = Harness(), 0

    def answer(now: float) -> tuple[float, Signal]:
        nonlocal refused
        refused += now >= 60.0
        return latency_s, Signal.THROTTLED if now >= 60.0 else Signal.ANSWERED

    with pytest.raises(UnavailableError):
        await harness.drive(answer, requests=10**6)
    assert refused <= most
    assert harness.clock.now() <= 60.0 + 900.0 + 10.0


@in_virtual_time
async def test_the_rate_does_not_come_back_while_the_breaker_is_open() -> None:
    harness = Harness()
    await harness.throttle_until_paused()
    slowed = harness.pacer.rate_allowed
    await harness.send_many(Signal.THROTTLED, 3)
    await harness.send(Signal.ANSWERED)
    assert harness.pacer.rate_allowed == pytest.approx(slowed)
    assert slowed < 5.0


@in_virtual_time
async def test_after_the_breaker_has_closed_it_is_back_at_the_full_rate_in_two_minutes() -> None:
    harness = Harness()
    await harness.throttle_until_paused()
    opened_at = await harness.send(Signal.ANSWERED)
    while harness.pacer.rate_allowed < 10.0:
        await harness.send(Signal.ANSWERED)
    assert harness.clock.now() - opened_at < 120.0


# --- both at once --------------------------------------------------------------------------------


@in_virtual_time
async def test_a_gateway_that_fails_during_a_throttle_is_waited_out_too() -> None:
    harness = Harness()
    first = [await harness.permit() for _ in range(15)]
    for sent_at in first[:10]:
        harness.tell(Signal.FAILED, sent_at)
    assert harness.pacer.is_down
    harness.tell(Signal.THROTTLED, first[10])
    assert not harness.pacer.is_down


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
        harness, number, free = Harness(), 0, asyncio.Semaphore(slots)

        async def request(granted: Permit, number: int) -> None:
            signal, latency_s, retry_after_s = script[number % len(script)]
            await asyncio.sleep(latency_s)
            harness.tell(signal, granted, retry_after_s)
            free.release()

        under_way = set()
        try:
            for number in range(150):
                await free.acquire()
                under_way.add(asyncio.create_task(request(await harness.permit(), number)))
        except UnavailableError:
            assert harness.pacer.gives_up_at <= harness.clock.now()
        await asyncio.gather(*under_way)
        check_books(harness)

    run_virtually(go())


def check_books(harness: Harness) -> None:
    """Pauses that were told of began and ended in turn, and were counted once."""
    for reason in ("outage", "throttled"):
        told = [event for event in harness.told if getattr(event, "reason", "") == reason]
        is_open = False
        for event in told:
            assert isinstance(event, OutageBegan) != is_open
            is_open = not isinstance(event, OutageEnded)
    assert 0.0 <= harness.pacer.paused_s <= harness.clock.now()
    assert 0.0 < harness.pacer.rate_allowed <= 10.0
