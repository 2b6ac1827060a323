"""The parts of the simulation: a loop, a disk and a shrinker that do what they say."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from random import Random

import pytest

from tests.proofs.simulation.disk import Platter, SimulatedDisk
from tests.proofs.simulation.loop import DeadlockError, LivelockError, SimulatedLoop, Timeline
from tests.proofs.simulation.process import Died, Process
from tests.proofs.simulation.scenario import RunPlan, Scenario, SessionPlan, draw
from tests.proofs.simulation.shrink import shrink, smaller

LOG = Path("/logs/log")


def loop_of(process: Process, seed: int = 1) -> SimulatedLoop:
    return SimulatedLoop(process, Random(seed), Timeline())  # type: ignore[abstract]


def disk_on(platter: Platter, process: Process) -> SimulatedDisk:
    return SimulatedDisk(platter, process, lambda _: None, lambda: 0.0)


def test_hours_pass_at_once() -> None:
    loop = loop_of(Process())
    loop.run(asyncio.sleep(3600.0))
    assert 3600.0 <= loop.time() < 3600.1


def test_the_seed_decides_which_ready_callback_runs_next() -> None:
    def order(seed: int) -> list[int]:
        ran: list[int] = []

        async def main() -> None:
            loop = asyncio.get_running_loop()
            for number in range(6):
                loop.call_soon(ran.append, number)
            await asyncio.sleep(1.0)

        loop_of(Process(), seed).run(main())
        return ran

    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(9)}) > 1


def test_a_wait_for_ever_and_a_busy_loop_are_errors() -> None:
    async def spin() -> None:
        while True:  # noqa: ASYNC110 - this is the busy loop
            await asyncio.sleep(0)

    async def wait() -> None:
        await asyncio.Event().wait()

    async def tick() -> None:
        while True:  # noqa: ASYNC110 - as a run does that shows its progress
            await asyncio.sleep(30.0)

    with pytest.raises(LivelockError):
        loop_of(Process()).run(tick())
    with pytest.raises(DeadlockError):
        loop_of(Process()).run(wait())
    with pytest.raises(LivelockError):
        loop_of(Process()).run(spin())


def test_a_dead_process_takes_no_further_step() -> None:
    process, ran = Process(), []

    async def main() -> None:
        for number in range(10):
            ran.append(number)
            await asyncio.sleep(0)

    process.at_step[3] = process.die
    with pytest.raises(Died):
        loop_of(process).run(main())
    assert ran == [0, 1]


def test_a_power_cut_keeps_what_was_synced() -> None:
    tails = set()
    for seed in range(40):
        platter = Platter(Random(seed))
        disk = disk_on(platter, Process())
        file = disk.open(LOG, os.O_CREAT)
        while platter.names[LOG].cached != b"whole\n":
            file.truncate(0)
            file.write(b"whole\n")
        file.sync()
        disk.sync_directory(LOG.parent)
        file.write(b"not synced\n")
        platter.cut_power()
        content = platter.durable(LOG)
        assert content.startswith(b"whole\n")
        tails.add(content.removeprefix(b"whole\n"))
    assert b"" in tails
    assert any(b"\0" in tail for tail in tails)
    assert any(b"not" in tail for tail in tails)


def test_a_name_that_was_not_synced_may_be_gone() -> None:
    found = set()
    for seed in range(20):
        platter = Platter(Random(seed))
        disk_on(platter, Process()).open(LOG, os.O_CREAT)
        platter.cut_power()
        found.add(LOG in platter.names)
    assert found == {True, False}


def test_a_failing_night_is_cut_down_to_what_it_needs() -> None:
    sessions = tuple(SessionPlan(f"{n:024x}", "started", ("502", "reset")) for n in range(9))
    runs = (RunPlan(limit=1), RunPlan(dies_at_step=50, power_cut=True), RunPlan(limit=2))

    def fails(scenario: Scenario) -> bool:
        is_there = any(session.id.endswith("7") for session in scenario.sessions)
        return is_there and any(run.dies_at_step is not None for run in scenario.runs)

    smallest = shrink(Scenario(0, sessions, runs), fails, smaller)
    assert [session.treatments for session in smallest.sessions] == [()]
    assert smallest.runs == (RunPlan(dies_at_step=1),)


def test_a_seed_draws_the_same_night() -> None:
    assert draw(7) == draw(7)
    assert draw(7) != draw(8)
