"""One simulated night: run after run over one log, and what must be true after each and at last."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from types import SimpleNamespace
from typing import Final
from unittest.mock import patch

from tests.proofs.simulation import checks, endings
from tests.proofs.simulation.api import Api
from tests.proofs.simulation.disk import Platter
from tests.proofs.simulation.loop import SimulatedLoop, Timeline
from tests.proofs.simulation.process import Died
from tests.proofs.simulation.run import LOG, Facts, SimulatedRun, World
from tests.proofs.simulation.scenario import RunPlan, Scenario
from worker.core.errors import ExitCode
from worker.core.outcomes import Outcome

_RESTART_S: Final = 0.5
_CALM_RUNS: Final = 3


@dataclass
class Figures:
    """What simulations have been through, added up."""

    nights: int = 0
    runs: int = 0
    crashes: int = 0
    power_cuts: int = 0
    faults: int = 0
    requests: int = 0
    virtual_s: float = 0.0


class Night:
    """Carries a scenario out. Raises Violation at the first promise that is not kept."""

    def __init__(self, scenario: Scenario, figures: Figures) -> None:
        random = Random(scenario.seed)
        self._scenario = scenario
        self._figures = figures
        self._time = Timeline()
        self._world = World(scenario, random, self._time, Platter(random), Api(scenario, random))
        self._number = 0
        self._may_leave_journal = False

    def pass_by(self) -> None:
        """Run after run until the last, which nothing disturbs, has settled everything."""
        self._figures.nights += 1
        api = self._world.api
        for plan in self._scenario.runs:
            self._run(plan)
        api.is_calm = True
        facts = self._run(RunPlan())
        for _ in range(_CALM_RUNS - 1):
            if facts.is_over:
                break
            # Where all fail alike, a run that stops for it says what to do if that is right.
            facts = self._run(RunPlan(suspects=facts.exit_code is not ExitCode.REFUSED))
        api.settle()
        checks.after_the_night(facts, self._world, LOG)
        self._figures.faults += api.faults
        self._figures.virtual_s += self._time.now

    def _run(self, plan: RunPlan) -> Facts:
        self._number += 1
        self._figures.runs += 1
        if plan.force:
            self._excuse_settled()
        run = SimulatedRun(self._world, f"run-{self._number}", plan)
        with _throttler_on(run.loop):
            try:
                run.carry_out()
            except Died:
                self._die(plan)
            else:
                self._check_end(run)
        facts = run.facts
        facts.ended_at = run.loop.time()
        if facts.finished is not None and not facts.may_have_waited_for_source:
            facts.witness.measure(facts.ended_at)
        self._time.now += _RESTART_S
        self._figures.requests += len(facts.witness.sent)
        checks.after_a_run(facts, run.loop)
        endings.check(facts)
        return facts

    def _die(self, plan: RunPlan) -> None:
        self._figures.crashes += 1
        self._may_leave_journal = True
        self._world.platter.free_locks()
        if plan.power_cut:
            self._figures.power_cuts += 1
            self._world.platter.cut_power()

    def _check_end(self, run: SimulatedRun) -> None:
        """Where a run was cut off a journal may be left; it goes with the next that is not."""
        facts = run.facts
        if facts.clock_set_forward:
            self._excuse_all("a clock that is set forward between two runs")
        is_cut_off = facts.disk_failed or len(facts.plan.signals_s) > 1
        self._may_leave_journal = self._may_leave_journal or is_cut_off
        if facts.is_over and not facts.disk_failed:
            self._may_leave_journal = False
            checks.outages_cost_no_session(run.name, self._world, LOG)
        checks.after_the_ledger(run.disk, run.loop, self._may_leave_journal)

    def _excuse_all(self, why: str) -> None:
        for session in self._world.api.sessions.values():
            session.excuse = session.excuse or why

    def _excuse_settled(self) -> None:
        inode = self._world.platter.names.get(LOG)
        records = {} if inode is None else checks.records_in(inode.cached)
        for record in records.values():
            if record.outcome is not Outcome.FAILED:
                self._world.api.sessions[record.id].excuse = "--force"


@contextmanager
def _throttler_on(loop: SimulatedLoop) -> Iterator[None]:
    # asyncio-throttle asks the time module itself; no clock can be handed in.
    with patch("asyncio_throttle.throttler.time", SimpleNamespace(monotonic=loop.time)):
        yield


def simulate(scenario: Scenario, figures: Figures | None = None) -> None:
    """Carry `scenario` out. Raises where a promise is not kept, or the run never ends."""
    asyncio.set_event_loop(None)
    Night(scenario, figures if figures is not None else Figures()).pass_by()
