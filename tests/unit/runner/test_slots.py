"""Whole runs with `--concurrency auto`, in virtual time: slow APIs, and requests that hang."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.run_harness import DONE
from tests.support.virtual_runs import run_by_default
from tests.support.virtual_time import VirtualClock, in_virtual_time, turns
from worker.api.verdict import Answer, NoAnswer, Reply
from worker.core.departure import Departure
from worker.core.errors import ExitCode
from worker.core.events import RunFinished
from worker.core.outcomes import Error, Outcome
from worker.pacing.concurrency import FixedConcurrency
from worker.runner.slots import Slots
from worker.settings import Settings
from worker.settings.model import PaceSettings

NO_ANSWER = NoAnswer(Error("timeout", "no answer"), may_have_arrived=True)


class Slow:
    """Completes after `seconds`; of the completions those hang for a minute that `hangs` names."""

    def __init__(self, seconds: float, hangs: Callable[[int], bool] = lambda _: False) -> None:
        self._seconds = seconds
        self._hangs = hangs
        self._posts = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self.answered: list[float] = []

    async def complete(self, id: str, departure: Departure) -> Reply:
        self._posts += 1
        is_hung = self._hangs(self._posts)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(60.0 if is_hung else self._seconds)
        self.in_flight -= 1
        if is_hung:
            return NO_ANSWER
        self.answered.append(asyncio.get_running_loop().time())
        return DONE

    async def check(self, id: str, departure: Departure) -> Reply:
        await asyncio.sleep(self._seconds)
        return Answer(200, b'{"status":"processing"}')


def run(directory: Path, api: Slow, rate: float, count: int, concurrency: object) -> RunFinished:
    pace = PaceSettings(rate=rate, concurrency=concurrency)  # type: ignore[arg-type]
    finished = run_by_default(directory, count, api, Settings(pace=pace))
    assert finished.exit_code is ExitCode.OK
    assert finished.tally.outcomes == {Outcome.PROCESSING: count}
    return finished


def test_a_slow_api_costs_no_rate(tmp_path: Path) -> None:
    finished = run(tmp_path, Slow(6.0), 10.0, 600, "auto")
    assert finished.elapsed_s < 600 / 10.0 / 0.97 + 7.0
    assert finished.tally.short_of_slots_s == 0.0


def test_a_bound_that_holds_the_run_up_is_told(tmp_path: Path) -> None:
    finished = run(tmp_path, Slow(6.0), 10.0, 200, 10)
    assert finished.tally.short_of_slots_s == pytest.approx(200 / 10 * 6.0, rel=0.2)


@pytest.mark.parametrize(("rate", "one_in"), [(40.0, 50), (10.0, 10)])
def test_requests_that_hang_hold_nobody_up_and_are_no_outage(
    tmp_path: Path, rate: float, one_in: int
) -> None:
    api, count = Slow(0.2, lambda post: post % one_in == 0), int(rate * 180)
    finished = run(tmp_path, api, rate, count, "auto")
    assert finished.tally.paused_s == 0.0
    steady = [at for at in api.answered if 60.0 <= at < 150.0]
    assert len(steady) / 90.0 >= 0.9 * rate * (1 - 1 / one_in)


@in_virtual_time
async def test_who_waits_for_a_place_of_a_fixed_number_sleeps_till_one_is_free() -> None:
    slots = Slots(FixedConcurrency(1), lambda: 10.0, VirtualClock())
    await slots.acquire()
    waiting = asyncio.ensure_future(slots.acquire())
    before = turns()
    await asyncio.sleep(60.0)
    assert turns() - before < 10
    assert not waiting.done()
    slots.release()
    await waiting
