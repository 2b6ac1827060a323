"""While the API is down nothing leaves but probes."""

from __future__ import annotations

import asyncio
import math
from collections import Counter

import pytest

from tests.support.pacer_harness import DOWN, Harness, Signal, about, gaps
from tests.support.virtual_time import in_virtual_time
from worker.core.errors import ExitCode, UnavailableError
from worker.core.events import OutageBegan, OutageEnded, PauseReason, ProbeFailed


@in_virtual_time
async def test_ten_failures_in_a_row_open_the_breaker_and_one_probe_goes_at_a_time() -> None:
    harness = Harness()
    sent = await harness.send_many(Signal.FAILED, 10)
    assert harness.pacer.is_down
    assert harness.told == [OutageBegan(PauseReason.OUTAGE, 10, DOWN, 1.0, about(900 - sent[-1]))]
    probe = await harness.permit()
    assert probe.at == pytest.approx(sent[-1] + 1.0)
    waiting = asyncio.create_task(harness.permit())
    await asyncio.sleep(50.0)
    assert not waiting.done()
    harness.tell(Signal.FAILED, probe)
    assert (await waiting).at == pytest.approx(probe.at + 50.0 + 2.0)


@in_virtual_time
async def test_nine_failures_and_an_answer_open_nothing() -> None:
    harness = Harness()
    for _ in range(5):
        await harness.send_many(Signal.FAILED, 9)
        await harness.send(Signal.ANSWERED)
    assert not harness.is_paused
    assert harness.told == []


@in_virtual_time
async def test_the_first_answer_ends_an_outage_and_the_full_rate_comes_back_at_once() -> None:
    harness = Harness()
    opened_at = (await harness.send_many(Signal.FAILED, 10))[-1]
    probes = [
        await harness.send(signal) for signal in (Signal.FAILED, Signal.FAILED, Signal.ANSWERED)
    ]
    assert gaps([opened_at, *probes]) == pytest.approx([1.0, 2.0, 4.0])
    assert [type(event) for event in harness.told] == [
        OutageBegan,
        ProbeFailed,
        ProbeFailed,
        OutageEnded,
    ]
    assert harness.told[-1] == OutageEnded(PauseReason.OUTAGE, about(7.0))
    assert harness.pacer.paused_s == pytest.approx(7.0)
    assert harness.pacer.pause(harness.clock.now()) is None
    times = await harness.send_many(Signal.ANSWERED, 20)
    assert gaps([probes[-1], *times]) == pytest.approx([0.1] * 20, abs=0.0011)


@in_virtual_time
async def test_failures_of_requests_in_flight_do_not_lengthen_the_pause() -> None:
    harness = Harness()
    in_flight = [await harness.permit() for _ in range(32)]
    for sent_at in in_flight:
        harness.tell(Signal.FAILED, sent_at)
    opened_at = harness.clock.now()
    assert len(harness.told) == 1
    assert (await harness.permit()).at == pytest.approx(opened_at + 1.0)


@in_virtual_time
async def test_an_answer_to_a_request_in_flight_ends_an_outage_and_frees_the_others() -> None:
    harness = Harness()
    slow = await harness.permit()
    await harness.send_many(Signal.FAILED, 10)
    await harness.permit()
    waiting = asyncio.create_task(harness.permit())
    await asyncio.sleep(5.0)
    harness.tell(Signal.ANSWERED, slow)
    assert (await waiting).at == pytest.approx(harness.clock.now())


@in_virtual_time
async def test_a_429_is_an_answer_too_the_api_is_there() -> None:
    harness = Harness()
    await harness.send_many(Signal.FAILED, 10)
    await harness.send(Signal.THROTTLED)
    assert not harness.is_paused
    assert isinstance(harness.told[-1], OutageEnded)


@in_virtual_time
async def test_a_permit_that_is_given_back_lets_another_probe_go() -> None:
    harness = Harness()
    await harness.send_many(Signal.FAILED, 10)
    probe = await harness.permit()
    harness.pacer.release(probe)
    assert (await harness.permit()).at == pytest.approx(probe.at + 0.1, abs=0.001)


@in_virtual_time
async def test_an_outage_for_good_ends_the_run_when_patience_does() -> None:
    harness = Harness()
    sent, error = await harness.send_until_it_gives_up(Signal.FAILED)
    assert error.exit_code is ExitCode.UNAVAILABLE
    assert "15m" in error.message
    assert "connect_failed: connection refused" in error.message
    assert "same command" in error.advice
    # 10 that open the breaker; probes after 1, 2, 4, ... 32 s and each 60 s; one at the very end.
    assert len(sent) == 10 + 6 + 13 + 1
    assert sent[-1] == pytest.approx(900.0)
    assert harness.clock.now() == pytest.approx(900.0)
    assert max(gaps(sent)) <= 60.0 + 0.1


@in_virtual_time
async def test_an_outage_of_five_minutes_costs_time_and_few_requests() -> None:
    harness = Harness()

    def answer(now: float) -> tuple[float, Signal]:
        return (0.05, Signal.FAILED) if 20.0 <= now < 320.0 else (0.2, Signal.ANSWERED)

    sent = await harness.drive(answer, requests=1000)
    counts = Counter(signal for _, signal in sent)
    assert counts[Signal.FAILED] <= 10 + 1 + 9
    assert sent[-1][0] < 100.0 + 300.0 + 60.0
    assert not harness.is_paused


@in_virtual_time
async def test_the_runner_can_ask_when_patience_ends_even_if_no_id_is_due() -> None:
    harness = Harness(patience_s=60.0)
    assert harness.pacer.gives_up_at == math.inf
    harness.pacer.check_patience(1e9)
    await harness.send_many(Signal.FAILED, 10)
    assert harness.pacer.gives_up_at == pytest.approx(60.0)
    harness.pacer.check_patience(59.9)
    with pytest.raises(UnavailableError, match="longer than --patience"):
        harness.pacer.check_patience(60.0)


@in_virtual_time
async def test_patience_does_not_end_while_a_probe_is_under_way() -> None:
    harness = Harness(patience_s=5.0)
    await harness.send_many(Signal.FAILED, 10)
    probe = await harness.permit()
    assert harness.pacer.gives_up_at == math.inf
    await asyncio.sleep(50.0)
    harness.tell(Signal.ANSWERED, probe)
    assert (await harness.permit()).at == pytest.approx(harness.clock.now())
