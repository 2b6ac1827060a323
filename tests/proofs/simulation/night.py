"""One simulated night: runs over one log, each put together as the command does it, and checked."""

from __future__ import annotations

import asyncio
import errno
import signal
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

import msgspec

from tests.proofs.simulation import checks
from tests.proofs.simulation.api import Api, SimulatedClient
from tests.proofs.simulation.disk import Platter, SimulatedDisk
from tests.proofs.simulation.loop import SimulatedLoop
from tests.proofs.simulation.process import Died, Process
from tests.proofs.simulation.scenario import RunPlan, Scenario
from tests.proofs.simulation.source import SimulatedSource
from worker.app.process.signals import stop_on_signals
from worker.app.run import limits_of, make_pacer, policy_of
from worker.core.clock import Clock
from worker.core.errors import ExitCode, LedgerError
from worker.core.events import Event, OutcomesRecorded, RunFinished
from worker.ledger import Ledger
from worker.runner import EventDispatcher, Runner
from worker.settings import ApiKey, Settings

LOG: Final = Path("/logs/results.jsonl")
_EPOCH: Final = datetime(2026, 11, 23, tzinfo=UTC)
_KEY: Final = ApiKey("test_0aMiZu7o3Kq9f3a9")
_RESTART_S: Final = 0.5
_CALM_RUNS: Final = 3
_PROXIES: Final = frozenset({"proxy_page", "acts_proxy_page"})
_ENDS: Final = (ExitCode.OK, ExitCode.SOME_FAILED)


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


@dataclass
class Run:
    """What is known of one run: `finished` is None where it died or was never begun."""

    plan: RunPlan
    settings: Settings
    began_at: float
    finished: RunFinished | None = None
    sent: list[tuple[float, str]] = field(default_factory=list)
    ended_at: float = 0.0
    signalled: bool = False
    disk_failed: bool = False
    source_failed: bool = False
    may_be_misdirected: bool = False


class _Clock(Clock):
    """The clock of a simulated loop."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def now(self) -> float:
        return self._loop.time()

    def utc(self) -> datetime:
        return _EPOCH + timedelta(seconds=self.now())

    def timestamp(self) -> str:
        return self.utc().isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def nap(self, seconds: float) -> None:
        self._loop.skip(max(seconds, 1e-9))


class _Writer(Executor):
    """The ledger's writer: the loop does its jobs, and a shutdown waits for them."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        del cancel_futures
        if wait:
            self._loop.work_off_jobs()


class Night:
    """Carries a scenario out. Raises Violation at the first promise that is not kept."""

    def __init__(self, scenario: Scenario, figures: Figures) -> None:
        self._scenario = scenario
        self._figures = figures
        self._random = Random(scenario.seed)
        self._platter = Platter(self._random)
        self._api = Api(scenario, self._random)
        self._now = 0.0
        self._number = 0

    def pass_by(self) -> None:
        """Run after run until the last, which nothing disturbs, has settled everything."""
        self._figures.nights += 1
        for plan in self._scenario.runs:
            self._run(plan)
        self._api.is_calm = True
        run = self._run(RunPlan())
        for _ in range(_CALM_RUNS - 1):
            if run.finished is not None and run.finished.exit_code in _ENDS:
                break
            run = self._run(RunPlan())
        self._api.advance(self._now)
        checks.after_the_night(run.finished, self._platter, LOG, self._api)
        self._figures.faults += self._api.faults
        self._figures.virtual_s += self._now

    def _run(self, plan: RunPlan) -> Run:
        self._number += 1
        process = Process()
        loop = SimulatedLoop(process, self._random, self._now)  # type: ignore[abstract]
        run = Run(plan, _settings(self._scenario, plan), self._now)
        run.may_be_misdirected = not self._api.is_calm and bool(_PROXIES & self._scenario.kinds)
        disk = self._disk(plan, process, loop, run)
        self._figures.runs += 1
        if plan.dies_at_step is not None:
            process.at_step[plan.dies_at_step] = process.die
        with _throttler_on(loop):
            try:
                self._carry_out(run, loop, process, disk)
            except Died:
                self._figures.crashes += 1
                self._platter.free_locks()
                if plan.power_cut:
                    self._figures.power_cuts += 1
                    self._platter.cut_power()
        run.ended_at = loop.time()
        self._now = loop.time() + _RESTART_S
        self._figures.requests += len(run.sent)
        checks.after_a_run(run, loop, self._platter, LOG)
        return run

    def _disk(
        self, plan: RunPlan, process: Process, loop: SimulatedLoop, run: Run
    ) -> SimulatedDisk:
        def before(name: str) -> None:
            del name
            process.disk_operations += 1
            if process.disk_operations == plan.dies_at_operation:
                process.die()
            failing = plan.fails_at_operation
            if failing is not None and process.disk_operations >= failing:
                run.disk_failed = True
                raise OSError(self._random.choice((errno.ENOSPC, errno.EIO)), "the disk fails")

        return SimulatedDisk(
            self._platter, process, before, lambda: _EPOCH.timestamp() + loop.time()
        )

    def _carry_out(
        self, run: Run, loop: SimulatedLoop, process: Process, disk: SimulatedDisk
    ) -> None:
        try:
            ledger = Ledger.open(LOG, f"run-{self._number}", disk=disk, writer=_Writer(loop))
        except LedgerError as error:
            checks.expect(run.disk_failed, f"the ledger cannot be opened: {error}")
            return
        try:
            loop.run(self._in_loop(run, loop, process, ledger))
        finally:
            if process.is_alive:
                ledger.close()
        checks.after_the_ledger(run, disk, loop)

    def _in_loop(
        self, run: Run, loop: SimulatedLoop, process: Process, ledger: Ledger
    ) -> Coroutine[Any, Any, None]:
        async def main() -> None:
            clock = _Clock(loop)
            dispatcher = EventDispatcher([_DiskWatch(self._platter)])
            source = self._source(run.plan)
            client = SimulatedClient(
                self._api,
                process,
                run.settings.api.timeout,
                lambda at, method: run.sent.append((at, method)),
            )
            runner = Runner(
                run=f"run-{self._number}",
                results=str(LOG),
                source=source,
                client=client,
                pacer=make_pacer(run.settings, _KEY, clock, dispatcher.notice),
                ledger=ledger,
                dispatcher=dispatcher,
                clock=clock,
                policy=policy_of(run.settings),
                limits=limits_of(run.settings, clock, tick_s=30.0),
                random=self._random,
            )
            for delay in run.plan.signals_s:
                loop.call_later(delay, _signal(run, loop))
            with stop_on_signals(runner.stop, runner.abort):
                run.finished = await runner.run()
            run.source_failed = source.failed
            checks.expect(not runner.defects, f"defects: {runner.defects}")

        return main()

    def _source(self, plan: RunPlan) -> SimulatedSource:
        return SimulatedSource(
            [session.id for session in self._scenario.sessions],
            self._random,
            is_pipe=self._scenario.is_pipe,
            fails_after=plan.source_fails_after,
        )


class _DiskWatch:
    """Holds every outcome that is counted against the disk, at that moment."""

    def __init__(self, platter: Platter) -> None:
        self._platter = platter

    def notice(self, event: Event) -> None:
        if isinstance(event, OutcomesRecorded):
            checks.counted_is_durable(event, self._platter.durable(LOG))


def _signal(run: Run, loop: SimulatedLoop) -> Callable[[], None]:
    def send() -> None:
        run.signalled = run.signalled or run.finished is None
        loop.send_signal(signal.SIGTERM)

    return send


def _settings(scenario: Scenario, plan: RunPlan) -> Settings:
    replace, plain = msgspec.structs.replace, Settings()
    return replace(
        plain,
        pace=replace(
            plain.pace,
            rate=scenario.rate,
            concurrency=scenario.concurrency,
            window=scenario.window,
        ),
        stop=replace(plain.stop, limit=plan.limit, max_duration=plan.max_duration_s),
    )


@contextmanager
def _throttler_on(loop: SimulatedLoop) -> Iterator[None]:
    # asyncio-throttle asks the time module itself; no clock can be handed in.
    with patch("asyncio_throttle.throttler.time", SimpleNamespace(monotonic=loop.time)):
        yield


def simulate(scenario: Scenario, figures: Figures | None = None) -> None:
    """Carry `scenario` out. Raises where a promise is not kept, or the run never ends."""
    asyncio.set_event_loop(None)
    Night(scenario, figures if figures is not None else Figures()).pass_by()
