"""When requests leave: evenly, never too fast, and not at all while the API is away."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import VirtualClock, in_virtual_time, run_virtually

from worker.errors import ExitCode, UnavailableError
from worker.events import Event, OutageBegan, OutageEnded, Pause, ProbeFailed
from worker.outcomes import Error
from worker.pace.pacer import Pacer, Signal

DOWN = Error("connect_failed", "connection refused")
TOO_MANY = Error("rate_limit_exceeded", "Too many requests")


class Desk:
    """A pacer on virtual time, and what it told."""

    def __init__(self, rate: float = 10.0, *, patience_s: float = 900.0) -> None:
        self.clock = VirtualClock()
        self.told: list[Event] = []
        self.pacer = Pacer(rate, clock=self.clock, patience_s=patience_s, notify=self.told.append)

    async def permit(self) -> float:
        granted = await self.pacer.permit()
        assert granted is not None
        assert granted == self.clock.now()
        return granted

    def hear(self, signal: Signal, sent_at: float, retry_after_s: float | None = None) -> None:
        error = {Signal.FAILED: DOWN, Signal.THROTTLED: TOO_MANY}.get(signal)
        self.pacer.heard(signal, sent_at=sent_at, retry_after_s=retry_after_s, error=error)

    async def send(self, signal: Signal, retry_after_s: float | None = None) -> float:
        """One request that is answered at once; when it left."""
        granted = await self.permit()
        self.hear(signal, granted, retry_after_s)
        return granted

    async def send_many(self, signal: Signal, count: int) -> list[float]:
        return [await self.send(signal) for _ in range(count)]

    async def send_until_it_gives_up(self, signal: Signal) -> tuple[list[float], UnavailableError]:
        sent: list[float] = []
        try:
            while True:
                sent.append(await self.send(signal))
        except UnavailableError as error:
            return sent, error

    async def drive(
        self, answer: Callable[[float], tuple[float, Signal]], *, requests: int, slots: int = 32
    ) -> list[tuple[float, Signal]]:
        """Many at once; `answer` says how long an answer takes and what it is. When each left."""
        free, sent, under_way = asyncio.Semaphore(slots), [], set()

        async def request(granted: float, latency_s: float, signal: Signal) -> None:
            await asyncio.sleep(latency_s)
            self.hear(signal, granted)
            free.release()

        try:
            for _ in range(requests):
                await free.acquire()
                granted = await self.permit()
                latency_s, signal = answer(granted)
                sent.append((granted, signal))
                under_way.add(asyncio.create_task(request(granted, latency_s, signal)))
        finally:
            await asyncio.gather(*under_way)
        return sent


def about(seconds: float) -> Any:
    """Equal to any number of seconds that is nearly the same."""
    return pytest.approx(seconds)


def gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]


# --- spacing -------------------------------------------------------------------------------------


@in_virtual_time
async def test_requests_leave_evenly_spaced_from_the_first_one_on() -> None:
    times = await Desk(10.0).send_many(Signal.ANSWERED, 300)
    assert times[0] == 0.0
    assert gaps(times) == pytest.approx([0.1] * 299, abs=0.0011)
    assert 299 / times[-1] > 0.998 * 10.0


@in_virtual_time
async def test_at_low_rates_lateness_is_not_made_up() -> None:
    desk = Desk(10.0)
    times = []
    for number in range(50):
        await asyncio.sleep(0.13 if number % 5 == 0 else 0.0)
        times.append(await desk.send(Signal.ANSWERED))
    assert min(gaps(times)) >= 0.1 - 1e-9


@in_virtual_time
async def test_at_high_rates_lateness_of_a_few_ms_is_made_up() -> None:
    desk = Desk(500.0)
    times = []
    for _ in range(300):
        await asyncio.sleep(0.01)
        times += [await desk.permit() for _ in range(5)]
    assert len(times) / times[-1] == pytest.approx(500.0, rel=0.01)


@pytest.mark.parametrize("rate", [10.0, 500.0, 20_000.0])
@in_virtual_time
async def test_a_pause_gives_no_credit(rate: float) -> None:
    desk = Desk(rate)
    await desk.permit()
    await asyncio.sleep(100.0)
    times = [await desk.permit() for _ in range(math.ceil(rate / 5))]
    assert times[-1] - times[0] >= (len(times) - 1) / rate * 0.99


@given(
    rate=st.floats(0.05, 2000.0),
    naps=st.lists(st.floats(0.0, 0.3), min_size=1, max_size=20),
)
@settings(max_examples=60)
def test_no_window_ever_holds_more_than_the_rate(rate: float, naps: list[float]) -> None:
    async def go() -> list[float]:
        desk, times = Desk(rate), []
        for number in range(400):
            await asyncio.sleep(naps[number % len(naps)] if number % 7 == 0 else 0.0)
            times.append(await desk.permit())
        return times

    times = run_virtually(go())
    limit = max(1, math.floor(rate))
    assert all(later - times[i] > limit / rate - 1e-9 for i, later in enumerate(times[limit:]))


@in_virtual_time
async def test_waiting_costs_a_few_turns_of_the_loop_and_no_polling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk, turns = Desk(10.0), 0
    run_once = asyncio.BaseEventLoop._run_once  # type: ignore[attr-defined]

    def counting(loop: asyncio.BaseEventLoop) -> None:
        nonlocal turns
        turns += 1
        run_once(loop)

    monkeypatch.setattr(asyncio.BaseEventLoop, "_run_once", counting)
    await desk.send_many(Signal.ANSWERED, 100)
    assert turns <= 600


@in_virtual_time
async def test_a_permit_that_is_due_is_granted_without_suspending() -> None:
    permit = Desk(10.0).pacer.permit()
    with pytest.raises(StopIteration) as done:
        permit.send(None)
    assert done.value.value == 0.0


@in_virtual_time
async def test_a_permit_at_once_is_had_when_one_is_due_and_never_sooner() -> None:
    desk = Desk(10.0)
    assert desk.pacer.permit_at_once() == 0.0
    assert desk.pacer.permit_at_once() is None
    assert await desk.permit() == pytest.approx(0.1)
    await asyncio.sleep(0.25)
    assert desk.pacer.permit_at_once() == pytest.approx(0.35)
    assert desk.pacer.permit_at_once() is None


@pytest.mark.parametrize("signal", [Signal.FAILED, Signal.THROTTLED])
@in_virtual_time
async def test_there_is_no_permit_at_once_in_a_pause_or_after_a_stop(signal: Signal) -> None:
    paused, stopped = Desk(), Desk()
    await paused.send_many(signal, 10 if signal is Signal.FAILED else 5)
    await asyncio.sleep(1000.0)
    stopped.pacer.stop()
    assert paused.pacer.permit_at_once() is None
    assert stopped.pacer.permit_at_once() is None


@in_virtual_time
async def test_permits_at_once_keep_to_the_rate_in_any_window() -> None:
    desk, times = Desk(500.0), list[float]()
    for _ in range(400):
        await asyncio.sleep(0.01)
        while (granted := desk.pacer.permit_at_once()) is not None:
            times.append(granted)
    assert len(times) / times[-1] == pytest.approx(500.0, rel=0.01)
    assert all(later - times[i] > 1.0 for i, later in enumerate(times[500:]))


# --- stopping ------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_stop_before_a_permit_is_not_lost() -> None:
    desk = Desk()
    desk.pacer.stop()
    assert await desk.pacer.permit() is None


@pytest.mark.parametrize("signal", [Signal.ANSWERED, Signal.FAILED, Signal.THROTTLED])
@in_virtual_time
async def test_a_stop_wakes_whoever_waits_for_a_gap_or_in_a_pause(signal: Signal) -> None:
    desk = Desk(0.1)
    for _ in range(10):
        desk.hear(signal, sent_at=await desk.permit())
        if desk.pacer.is_paused:
            break
    stopped_at = desk.clock.now() + 0.5
    asyncio.get_running_loop().call_at(stopped_at, desk.pacer.stop)
    assert await desk.pacer.permit() is None
    assert desk.clock.now() == pytest.approx(stopped_at)


# --- an outage -----------------------------------------------------------------------------------


@in_virtual_time
async def test_ten_failures_in_a_row_open_the_breaker_and_one_probe_goes_at_a_time() -> None:
    desk = Desk()
    sent = await desk.send_many(Signal.FAILED, 10)
    assert desk.pacer.outage_open
    assert desk.told == [OutageBegan("outage", 10, DOWN, 1.0, about(900 - sent[-1]))]
    probe = await desk.permit()
    assert probe == pytest.approx(sent[-1] + 1.0)
    waiting = asyncio.create_task(desk.permit())
    await asyncio.sleep(50.0)
    assert not waiting.done()
    desk.hear(Signal.FAILED, sent_at=probe)
    assert await waiting == pytest.approx(probe + 50.0 + 2.0)


@in_virtual_time
async def test_nine_failures_and_an_answer_open_nothing() -> None:
    desk = Desk()
    for _ in range(5):
        await desk.send_many(Signal.FAILED, 9)
        await desk.send(Signal.ANSWERED)
    assert not desk.pacer.is_paused
    assert desk.told == []


@in_virtual_time
async def test_the_first_answer_ends_an_outage_and_the_full_rate_comes_back_at_once() -> None:
    desk = Desk()
    opened_at = (await desk.send_many(Signal.FAILED, 10))[-1]
    probes = [await desk.send(signal) for signal in (Signal.FAILED, Signal.FAILED, Signal.ANSWERED)]
    assert gaps([opened_at, *probes]) == pytest.approx([1.0, 2.0, 4.0])
    assert [type(event) for event in desk.told] == [
        OutageBegan,
        ProbeFailed,
        ProbeFailed,
        OutageEnded,
    ]
    assert desk.told[-1] == OutageEnded("outage", about(7.0))
    assert desk.pacer.paused_s == pytest.approx(7.0)
    assert desk.pacer.pause(desk.clock.now()) is None
    times = await desk.send_many(Signal.ANSWERED, 20)
    assert gaps([probes[-1], *times]) == pytest.approx([0.1] * 20, abs=0.0011)


@in_virtual_time
async def test_failures_of_requests_in_flight_do_not_lengthen_the_pause() -> None:
    desk = Desk()
    in_flight = [await desk.permit() for _ in range(32)]
    for sent_at in in_flight:
        desk.hear(Signal.FAILED, sent_at)
    opened_at = desk.clock.now()
    assert len(desk.told) == 1
    assert await desk.permit() == pytest.approx(opened_at + 1.0)


@in_virtual_time
async def test_an_answer_to_a_request_in_flight_ends_an_outage_and_frees_the_others() -> None:
    desk = Desk()
    slow = await desk.permit()
    await desk.send_many(Signal.FAILED, 10)
    await desk.permit()
    waiting = asyncio.create_task(desk.permit())
    await asyncio.sleep(5.0)
    desk.hear(Signal.ANSWERED, slow)
    assert await waiting == pytest.approx(desk.clock.now())


@in_virtual_time
async def test_a_429_is_an_answer_too_the_api_is_there() -> None:
    desk = Desk()
    await desk.send_many(Signal.FAILED, 10)
    await desk.send(Signal.THROTTLED)
    assert not desk.pacer.is_paused
    assert isinstance(desk.told[-1], OutageEnded)


@in_virtual_time
async def test_a_permit_that_is_given_back_lets_another_probe_go() -> None:
    desk = Desk()
    await desk.send_many(Signal.FAILED, 10)
    probe = await desk.permit()
    desk.pacer.release()
    assert await desk.permit() == pytest.approx(probe + 0.1)


@in_virtual_time
async def test_an_outage_for_good_ends_the_run_when_patience_does() -> None:
    desk = Desk()
    sent, error = await desk.send_until_it_gives_up(Signal.FAILED)
    assert error.exit_code is ExitCode.UNAVAILABLE
    assert "15m" in error.message
    assert "connect_failed: connection refused" in error.message
    assert "same command" in error.advice
    # 10 that open the breaker; probes after 1, 2, 4, ... 32 s and each 60 s; one at the very end.
    assert len(sent) == 10 + 6 + 13 + 1
    assert sent[-1] == pytest.approx(900.0)
    assert desk.clock.now() == pytest.approx(900.0)
    assert max(gaps(sent)) <= 60.0 + 0.1


@in_virtual_time
async def test_an_outage_of_five_minutes_costs_time_and_few_requests() -> None:
    desk = Desk()

    def answer(now: float) -> tuple[float, Signal]:
        return (0.05, Signal.FAILED) if 20.0 <= now < 320.0 else (0.2, Signal.ANSWERED)

    sent = await desk.drive(answer, requests=1000)
    counts = Counter(signal for _, signal in sent)
    assert counts[Signal.FAILED] <= 10 + 1 + 9
    assert sent[-1][0] < 100.0 + 300.0 + 60.0
    assert not desk.pacer.is_paused


@in_virtual_time
async def test_the_runner_can_ask_when_patience_ends_even_if_no_id_is_due() -> None:
    desk = Desk(patience_s=60.0)
    assert desk.pacer.gives_up_at == math.inf
    desk.pacer.check_patience(1e9)
    await desk.send_many(Signal.FAILED, 10)
    assert desk.pacer.gives_up_at == pytest.approx(60.0)
    desk.pacer.check_patience(59.9)
    with pytest.raises(UnavailableError, match="longer than --patience"):
        desk.pacer.check_patience(60.0)


@in_virtual_time
async def test_patience_does_not_end_while_a_probe_is_under_way() -> None:
    desk = Desk(patience_s=5.0)
    await desk.send_many(Signal.FAILED, 10)
    probe = await desk.permit()
    assert desk.pacer.gives_up_at == math.inf
    await asyncio.sleep(50.0)
    desk.hear(Signal.ANSWERED, probe)
    assert await desk.permit() == pytest.approx(desk.clock.now())


# --- 429s ----------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_429_slows_the_whole_run_down_at_once_and_it_speeds_up_by_itself() -> None:
    desk = Desk()
    throttled_at = await desk.send(Signal.THROTTLED)
    assert desk.pacer.rate_allowed == pytest.approx(7.0)
    assert await desk.send(Signal.ANSWERED) >= throttled_at + 1 / 8.5
    await desk.send_many(Signal.ANSWERED, 400)
    assert desk.pacer.rate_allowed == desk.pacer.rate_asked == 10.0


@in_virtual_time
async def test_one_stray_429_costs_less_than_a_hundredth_of_300_requests() -> None:
    desk = Desk()

    def answer(now: float) -> tuple[float, Signal]:
        return 0.1, Signal.THROTTLED if 14.95 <= now < 15.05 else Signal.ANSWERED

    sent = await desk.drive(answer, requests=300)
    counts = Counter(signal for _, signal in sent)
    assert counts[Signal.THROTTLED] == 1
    assert counts[Signal.ANSWERED] / (10.0 * (sent[-1][0] + 0.1)) >= 0.99


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
            assert all(signal is not Signal.ANSWERED for signal, *_ in script) or slots > 1
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
