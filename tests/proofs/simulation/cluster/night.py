"""One simulated night of several runs on one queue and one budget, and what must be true of it."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Final, TypeVar
from unittest.mock import patch

import msgspec

from tests.proofs.simulation import endings
from tests.proofs.simulation.api import Api, Session
from tests.proofs.simulation.checks import Violation, expect, outcomes_of
from tests.proofs.simulation.cluster.redis import SimulatedRedis
from tests.proofs.simulation.cluster.scenario import ClusterScenario, MemberPlan
from tests.proofs.simulation.disk import Platter
from tests.proofs.simulation.loop import JITTER_S, DeadlockError, SimulatedLoop, Timeline
from tests.proofs.simulation.night import Figures
from tests.proofs.simulation.process import Died, Process
from tests.proofs.simulation.run import KEY, SimulatedClock, SimulatedRun, World
from tests.proofs.simulation.scenario import RunPlan
from worker.app.cluster_session import ClusterSession
from worker.cluster.connection import Connection
from worker.cluster.queue import Queue
from worker.core.clock import Clock
from worker.core.errors import UnavailableError
from worker.core.events import Event
from worker.core.outcomes import ErrorType, Item, Outcome, Record
from worker.ledger import Ledger
from worker.pacing.pacer import MakePacer
from worker.runner.ports import LedgerPort, SourcePort

_T = TypeVar("_T")

_URL: Final = "redis://127.0.0.1:1/0"
_QUEUE: Final = "night"
_LONGEST_S: Final = 50_000.0
_CALM_RUNS: Final = 3
_decode: Final = msgspec.json.Decoder(Record).decode


class ClusterRun(SimulatedRun):
    """A run with its part in the queue."""

    @asynccontextmanager
    async def meet(
        self, log: Ledger, notify: Callable[[Event], None]
    ) -> AsyncIterator[tuple[SourcePort, LedgerPort, MakePacer]]:
        settings = self.facts.settings
        async with Connection(
            _URL, clock=self.clock, patience_s=settings.stop.patience, notify=notify
        ) as connection:
            session = ClusterSession(connection, settings, KEY, self.name, self.clock)
            yield await session.work_on(_QUEUE, log)


class Host:
    """A machine with a disk of its own, and the process on it."""

    def __init__(self, world: World, name: str, plan: MemberPlan) -> None:
        self.world = world
        self.name = name
        self.plan = plan
        self.run: ClusterRun | None = None
        self.is_still = False
        self.ledger: Ledger | None = None
        self._number = 0

    def begin(self, plan: RunPlan) -> ClusterRun:
        self._number += 1
        self.run = run = ClusterRun(self.world, f"{self.name}.{self._number}", plan)
        try:
            self.ledger = run.open()
        except Died:
            self.bury()
            return run
        assert self.ledger is not None
        run.loop.start(run.main(self.ledger))
        return run

    def bury(self) -> None:
        self.ledger = None
        self.world.platter.free_locks()


class ClusterNight:
    """Carries a scenario out. Raises Violation at the first promise that is not kept."""

    def __init__(self, scenario: ClusterScenario, figures: Figures) -> None:
        base = scenario.base
        self._scenario = scenario
        self._figures = figures
        self._random = random = Random(base.seed)
        self._time = Timeline()
        self._api = Api(base, random)
        self._redis = SimulatedRedis(scenario.redis, random, self._time, self._later)
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._order = 0
        self._runs: list[ClusterRun] = []
        self._hosts = [
            Host(World(base, random, self._time, Platter(random), self._api), f"host{number}", plan)
            for number, plan in enumerate(scenario.members)
        ]

    def pass_by(self) -> None:
        self._figures.nights += 1
        with self._patched():
            self._enqueue()
            for host in self._hosts:
                self._later(host.plan.starts_at, partial(self._begin, host, host.plan.run))
                if host.plan.stands_still is not None:
                    begin, seconds = host.plan.stands_still
                    at = host.plan.starts_at + begin
                    self._later(at, partial(self._hold, host, seconds))
            self._go_on()
            self._end_calmly()
            self._api.settle()
            self._check()
        self._figures.faults += self._api.faults
        self._figures.virtual_s += self._time.now

    # --- what happens -----------------------------------------------------------------------------

    def _enqueue(self) -> None:
        """Ids are queued before the night begins."""
        sessions = self._scenario.base.sessions
        items = [Item(one.id, line) for line, one in enumerate(sessions, 1)]
        expect(self._ask(lambda queue: queue.add(items)) == len(items), "not all were queued")

    def _ask(self, question: Callable[[Queue], Awaitable[_T]]) -> _T:
        """What the queue answers while nothing is wrong."""
        world = self._hosts[0].world
        loop = SimulatedLoop(Process(), self._random, self._time)  # type: ignore[abstract]

        async def ask() -> _T:
            clock = SimulatedClock(loop, world)
            async with Connection(_URL, clock=clock, patience_s=60.0) as connection:
                return await question(Queue(connection, _QUEUE))

        was_calm, self._redis.is_calm = self._redis.is_calm, True
        try:
            return loop.run(ask())
        finally:
            self._redis.is_calm = was_calm

    def _begin(self, host: Host, plan: RunPlan) -> ClusterRun:
        run = host.begin(plan)
        self._figures.runs += 1
        redis = self._scenario.redis
        run.facts.may_miss_redis = bool(redis.trouble or redis.away)
        self._runs.append(run)
        if host.ledger is None:
            self._on_end(host)
        return run

    def _hold(self, host: Host, seconds: float) -> None:
        if host.run is None or host.ledger is None:
            return
        host.is_still = True
        self._later(self._time.now + seconds, partial(self._thaw, host))

    def _thaw(self, host: Host) -> None:
        host.is_still = False

    def _on_end(self, host: Host) -> None:
        """A run has ended or died; some are begun anew by whoever watches over them."""
        run = host.run
        assert run is not None
        run.facts.ended_at = self._time.now
        run.facts.witness.measure(self._time.now)
        self._figures.requests += len(run.facts.witness.sent)
        self._figures.crashes += not run.process.is_alive
        if host.ledger is not None and run.process.is_alive:
            host.ledger.close()
            self._end(run)
        host.bury()
        host.run = None
        endings.check(run.facts)
        if host.plan.begins_anew and not run.facts.is_over:
            self._later(self._time.now + 1.0, partial(self._begin, host, RunPlan()))

    def _end(self, run: ClusterRun) -> None:
        """One that never met Redis has not begun."""
        try:
            run.loop.result()
        except UnavailableError:
            expect(run.facts.finished is None and not self._redis.is_calm, "Redis was there")

    def _end_calmly(self) -> None:
        """Whoever comes last, and is not disturbed, finishes what is left."""
        self._api.is_calm = self._redis.is_calm = True
        last = Host(self._hosts[0].world, "last", MemberPlan())
        self._hosts = [last]
        for _ in range(_CALM_RUNS):
            run = self._begin(last, RunPlan())
            self._go_on()
            if run.facts.is_over:
                return
        raise Violation("no undisturbed run came to its end")

    # --- time -------------------------------------------------------------------------------------

    def _later(self, time: float, act: Callable[[], object]) -> None:
        self._order += 1
        heapq.heappush(self._events, (time, self._order, act))

    def _go_on(self) -> None:
        """Until nobody runs any more and nothing is to come."""
        while True:
            running = [host for host in self._hosts if host.run is not None]
            if not running and not self._events:
                return
            ready = [host for host in running if host.run.loop.is_ready and not host.is_still]  # type: ignore[union-attr]
            if ready:
                self._step(self._random.choice(ready))
            else:
                self._jump([host for host in running if not host.is_still])

    def _step(self, host: Host) -> None:
        assert host.run is not None
        try:
            host.run.loop.step()
        except Died:
            host.bury()
        if host.run.loop.is_over:
            self._on_end(host)

    def _jump(self, awake: list[Host]) -> None:
        dues = [host.run.loop.next_due for host in awake if host.run is not None]
        due = min([*dues, self._events[0][0] if self._events else math.inf])
        if due == math.inf:
            raise DeadlockError(f"nobody has anything to do at {self._time.now} s")
        expect(due < _LONGEST_S, "the night does not end")
        if due > self._time.now:
            self._time.now = due + self._random.random() * JITTER_S
        while self._events and self._events[0][0] <= self._time.now:
            heapq.heappop(self._events)[2]()
        for host in awake:
            if host.run is not None:
                host.run.loop.wake()

    @contextmanager
    def _patched(self) -> Iterator[None]:
        """What takes no clock and no client of its own."""
        time = self._time
        redis = SimpleNamespace(from_url=lambda *_, **__: self._redis.client())
        with (
            patch("asyncio_throttle.throttler.time", SimpleNamespace(monotonic=lambda: time.now)),
            patch("worker.cluster.connection.Redis", redis),
            patch("worker.cluster.consumer.LeaseClock", lambda: _LeaseClock(time)),
        ):
            yield

    # --- what must be true ------------------------------------------------------------------------

    def _check(self) -> None:
        status = self._ask(lambda queue: queue.status())
        expect(status.left == 0 and status.adds_up, f"the queue does not add up: {status}")
        told: dict[str, list[Record]] = {}
        for _, text in self._ask(lambda queue: queue.outcomes()):
            record = _decode(text.encode())
            told.setdefault(record.id, []).append(record)
        for session in self._api.sessions.values():
            self._check_session(session, told.get(session.id, []))
        self._never_above_the_rate()

    def _check_session(self, session: Session, records: list[Record]) -> None:
        expect(len(records) == 1, f"{session.id} has {len(records)} outcomes in the queue")
        many = f"{session.id} was triggered {session.triggers} times"
        expect(session.triggers <= 1 or session.excuse is not None, many)
        wanted, record = outcomes_of(session, 0, self._scenario.base), records[0]
        told = f"{session.id} is {session.status}, and its outcome {record.outcome}: {record.error}"
        expect(record.outcome in wanted or self._had_to_fail(session, record), told)

    def _had_to_fail(self, session: Session, record: Record) -> bool:
        """Whether an id's attempts came to an end, which a queue takes for its outcome; one that
        may have been completed is told as ambiguous, so that it is read when it is queued again."""
        base = self._scenario.base
        had_trouble = bool(base.spells) or any(
            plan.treatments for plan in base.sessions if plan.id == session.id
        )
        is_unknown = record.error is not None and record.error.type == ErrorType.AMBIGUOUS
        return (
            had_trouble
            and record.outcome is Outcome.FAILED
            and (is_unknown or not session.triggers)
        )

    def _never_above_the_rate(self) -> None:
        rate = self._scenario.base.rate
        assert isinstance(rate, float)
        most = int(rate) if self._scenario.is_smooth else int(rate) + len(self._hosts)
        times = sorted(sent.at for run in self._runs for sent in run.facts.witness.sent)
        for first, beyond in zip(times, times[most:], strict=False):
            took = beyond - first
            expect(took >= 1.0 - 1e-6, f"{most + 1} requests in {took:.4f} s at {first:.4f} s")


class _LeaseClock(Clock):
    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline

    def now(self) -> float:
        return self._timeline.now


def simulate(scenario: ClusterScenario, figures: Figures | None = None) -> None:
    """Carry `scenario` out. Raises where a promise is not kept, or the night never ends."""
    asyncio.set_event_loop(None)
    ClusterNight(scenario, figures if figures is not None else Figures()).pass_by()
