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
from worker.core.events import Event, RunFinished, Snapshot, Ticked
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


class Away(Slow):
    """Takes as long for nothing at all between two moments."""

    def __init__(self, seconds: float, since: float, until: float) -> None:
        super().__init__(seconds)
        self._since = since
        self._until = until

    async def complete(self, id: str, departure: Departure) -> Reply:
        reply = await super().complete(id, departure)
        is_away = self._since <= asyncio.get_running_loop().time() < self._until
        return NoAnswer(Error("connect_failed", "no"), may_have_arrived=False) if is_away else reply


class Looks:
    """What a run showed of itself each second."""

    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []

    def notice(self, event: Event) -> None:
        if isinstance(event, Ticked):
            self.snapshots.append(event.snapshot)

    def bounds(self, since_s: float, until_s: float) -> set[int | None]:
        return {
            snapshot.concurrency_bound
            for snapshot in self.snapshots
            if since_s <= snapshot.elapsed_s < until_s
        }


def run(
    directory: Path,
    api: Slow,
    rate: float,
    count: int,
    concurrency: object,
    looks: Looks | None = None,
) -> RunFinished:
    pace = PaceSettings(rate=rate, concurrency=concurrency)  # type: ignore[arg-type]
    observers = [] if looks is None else [looks]
    finished = run_by_default(directory, count, api, Settings(pace=pace), observers=observers)
    assert finished.exit_code is ExitCode.OK
    assert finished.tally.outcomes == {Outcome.PROCESSING: count}
    return finished


def test_a_slow_api_costs_no_rate(tmp_path: Path) -> None:
    finished = run(tmp_path, Slow(6.0), 10.0, 600, "auto")
    assert finished.elapsed_s < 600 / 10.0 / 0.97 + 7.0
    assert finished.tally.short_of_slots_s == 0.0


def test_what_a_bound_costs_is_told_at_the_end(tmp_path: Path) -> None:
    finished = run(tmp_path, Slow(6.0), 10.0, 200, 10)
    unbound_s = 200 / 10.0 + 6.0
    assert finished.tally.short_of_slots_s == pytest.approx(
        finished.elapsed_s - unbound_s, rel=0.02
    )


def test_a_bound_that_holds_the_run_up_is_told_meanwhile(tmp_path: Path) -> None:
    looks = Looks()
    finished = run(tmp_path, Slow(6.0), 10.0, 100, 4, looks)
    assert looks.bounds(3.0, finished.elapsed_s - 7.0) == {4}


def test_a_bound_is_not_spoken_of_where_nothing_new_is_sent(tmp_path: Path) -> None:
    looks = Looks()
    run(tmp_path, Away(6.0, 20.0, 90.0), 10.0, 100, 4, looks)
    paused = [each for each in looks.snapshots if each.pause is not None]
    assert len(paused) > 10
    assert {each.concurrency_bound for each in paused} == {None}


@pytest.mark.parametrize(
    ("seconds", "rate", "concurrency"), [(6.0, 10.0, 64), (6.0, 10.0, "auto"), (0.09, 500.0, 50)]
)
def test_a_bound_that_costs_no_rate_is_not_spoken_of(
    tmp_path: Path, seconds: float, rate: float, concurrency: object
) -> None:
    looks = Looks()
    run(tmp_path, Slow(seconds), rate, int(rate * 20), concurrency, looks)
    assert looks.bounds(0.0, 20.0) == {None}


def test_places_that_are_all_taken_by_hung_requests_are_told_before_any_is_free(
    tmp_path: Path,
) -> None:
    looks = Looks()
    run(tmp_path, Slow(0.1, lambda post: post <= 4), 10.0, 100, 4, looks)
    assert looks.bounds(3.0, 60.0) == {4}
    assert looks.bounds(66.0, 70.0) == {None}


@pytest.mark.parametrize(("rate", "one_in"), [(40.0, 50), (10.0, 10)])
def test_requests_that_hang_hold_nobody_up_and_are_no_outage(
    tmp_path: Path, rate: float, one_in: int
) -> None:
    api, count = Slow(0.2, lambda post: post % one_in == 0), int(rate * 120)
    finished = run(tmp_path, api, rate, count, "auto")
    assert finished.tally.paused_s == 0.0
    steady = [at for at in api.answered if 60.0 <= at < 110.0]
    assert len(steady) / 50.0 >= 0.9 * rate * (1 - 1 / one_in)


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
