"""The run itself: put together, carried out, accounted for."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Final

from msgspec.structs import replace

from worker.api.verdict import Settled
from worker.core.clock import Clock
from worker.core.errors import ExitCode, WorkerError
from worker.core.events import RunFinished, Snapshot, StopRequested, Ticked
from worker.core.outcomes import Item, Via
from worker.core.tally import Tally
from worker.pacing.pacer import Pacer
from worker.runner import causes
from worker.runner.backlog import Backlog
from worker.runner.dispatcher import Dispatcher
from worker.runner.ending import Ending
from worker.runner.event_dispatcher import EventDispatcher
from worker.runner.intake import Intake
from worker.runner.job import Job, Policy
from worker.runner.limits import Limits
from worker.runner.look_ahead import LookAhead
from worker.runner.ports import ClientPort, LedgerPort, SourcePort, Statuses
from worker.runner.recorder import Recorder
from worker.runner.requests import Requests
from worker.runner.slots import Slots, concurrency_of
from worker.runner.steps import give_up
from worker.runner.suspicion import Suspicion
from worker.runner.view import RunView

_COUNT_REST_S: Final = 5.0
"""Whoever stopped a run waits for its end: a longer source is counted as far as this reaches."""


class Runner:
    """One run over one source. `run` is called once; `stop` and `abort` may be called meanwhile.

    It sends nothing without a permit of the pacer, no id that was not entered with the ledger, and
    counts no outcome before the ledger has it on disk.
    """

    def __init__(
        self,
        *,
        run: str,
        results: str,
        source: SourcePort,
        client: ClientPort,
        pacer: Pacer,
        ledger: LedgerPort,
        dispatcher: EventDispatcher,
        clock: Clock,
        policy: Policy,
        limits: Limits,
        random: Random,
        tally: Tally,
        statuses: Statuses | None,
    ) -> None:
        self._results = results
        self._source = source
        self._pacer = pacer
        self._ledger = ledger
        self._events = dispatcher
        self._notify = dispatcher.notice
        self._clock = clock
        self._limits = limits
        self._policy = policy
        self.tally = tally
        self._over = asyncio.Event()
        self._given_up = False
        self._ending = Ending(self._on_stop)
        self._backlog = self._make_backlog(statuses)
        self._recorder = Recorder(run, ledger, self._backlog, tally, clock, self._notify)
        self._requests = self._make_requests(client, random)
        self._slots = Slots(concurrency_of(limits), lambda: pacer.rate_allowed, clock)
        self._dispatcher = self._make_dispatcher()
        self._view = self._make_view(run)

    def _make_backlog(self, statuses: Statuses | None) -> Backlog:
        """What holds the jobs; where there are `statuses`, they are asked for before."""
        policy = self._policy
        intake = Intake(
            self._source,
            self._ledger,
            self.tally,
            policy,
            limit=self._limits.limit,
            on_invalid=self._record_invalid,
            look_ahead=None if statuses is None else self._look_ahead(statuses),
            ahead=policy.check_ahead,
        )
        return Backlog(
            intake,
            window=self._limits.window,
            clock=self._clock,
            settle_s=policy.settle_s,
            doubt_since=self._doubt_since(),
        )

    def _make_requests(self, client: ClientPort, random: Random) -> Requests:
        return Requests(
            client,
            self._pacer,
            self._backlog,
            self._recorder,
            self._ending,
            Suspicion(self._limits.suspicious_after, self._limits.max_failures),
            policy=self._policy,
            tally=self.tally,
            clock=self._clock,
            random=random,
            notify=self._notify,
        )

    def _make_dispatcher(self) -> Dispatcher:
        return Dispatcher(
            self._requests,
            self._backlog,
            self._pacer,
            self._ledger,
            self._ending,
            self._slots,
            limits=self._limits,
            tally=self.tally,
            clock=self._clock,
        )

    def _make_view(self, run: str) -> RunView:
        return RunView(
            run,
            self._source,
            self._pacer,
            self._backlog,
            self._requests,
            self._ending,
            self._slots,
            limits=self._limits,
            tally=self.tally,
            clock=self._clock,
        )

    def _look_ahead(self, statuses: Statuses) -> LookAhead:
        return LookAhead(
            statuses,
            self._clock,
            valid_s=self._policy.check_valid_s,
            on_settled=self._record_ended,
            on_page=self._on_page,
        )

    def _on_page(self) -> None:
        self._requests.on_page()

    def _record_invalid(self, item: Item) -> None:
        self._recorder.record_invalid(item)

    def _record_ended(self, job: Job, settled: Settled) -> None:
        """Record what was read of a session, with others, before anything was sent for it."""
        self._backlog.in_hand += 1
        self._requests.settle_ended(replace(job, via=Via.CHECK), settled, self._clock.now())

    # --- from outside -------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """How many requests may have left and are not answered."""
        return len(self._requests.in_flight)

    @property
    def defects(self) -> list[Exception]:
        """The exceptions that nobody foresaw."""
        return [*self._ending.defects, *self._events.defects]

    def stop(self, cause: WorkerError) -> None:
        """Send nothing new, finish what is in flight, and end with the cause's exit code."""
        self._ending.stop(cause)

    def abort(self, cause: WorkerError) -> None:
        """End at once: what is in flight stays in the journal, for the next run to read first."""
        self._ending.abort(cause)

    async def run(self) -> RunFinished:
        """Carry the run out, from its first event to its last, which is returned.

        Whatever fails meanwhile is told by that event; what nobody foresaw is in `defects`, too.
        """
        self._notify(self._view.begin(self._results, self._ledger.recovered))
        guard = self._ending.guard
        serving = asyncio.create_task(guard(self._ledger.serve(self._recorder.on_durable)))
        background = [
            asyncio.create_task(guard(work)) for work in (self._tick(), self._watch_deadline())
        ]
        await self._ending.complete(self._backlog.fill(), self._dispatcher.run())
        self._over.set()
        await guard(self._wind_up())
        serving.cancel()
        await asyncio.gather(serving, *background, return_exceptions=True)
        return self._finish()

    # --- the end --------------------------------------------------------------------------------

    def _on_stop(self, cause: WorkerError) -> None:
        self._notify(StopRequested(cause.exit_code, str(cause), self.in_flight, cause.error_type))
        self._source.interrupt()
        self._pacer.stop()
        self._backlog.interrupt()

    async def _watch_deadline(self) -> None:
        if self._limits.deadline is None:
            return
        if not await self._clock.wait(self._over, self._limits.deadline):
            self._end_at_deadline()  # pragma: no cover - see pyproject.toml

    def _end_at_deadline(self) -> None:
        self.stop(causes.deadline_reached(self._limits.deadline_name))

    async def _wind_up(self) -> None:
        """Account for everything that is left, and make it durable."""
        now = self._clock.now()
        for job in self._backlog.clear():
            self._given_up = True
            if self._is_to_be_recorded(job):
                self._recorder.record(job, give_up(job), now)
        try:
            await self._count_rest()
            # After a defect nobody can tell what left: the next run reads all that might have.
            in_good_order = not self._requests.in_flight and not self._ending.defects
            await self._ledger.finish(good_order=in_good_order)
        finally:
            self.tally.not_attempted += self._backlog.in_hand
            self.tally.paused_s = self._pacer.paused_s
            self.tally.short_of_slots_s = self._slots.held_up_s(now)

    def _is_to_be_recorded(self, job: Job) -> bool:
        """Whether the log must say of an id that is not settled that it was sent: where it may have
        arrived, or the API has said something of it. One that an outage kept is not attempted."""
        if job.first_sent_at is None or job.unresolved:
            return job.first_sent_at is not None
        is_outage = ExitCode.UNAVAILABLE in self._ending.causes
        return job.attempts > 0 and job.last_reached and not is_outage

    async def _count_rest(self) -> None:
        """Count what was never taken from the source; a long one not to its end."""
        ending, enough = self._ending, self._clock.now() + _COUNT_REST_S
        if not ending.is_aborted:
            await self._backlog.intake.count_rest(
                lambda: ending.is_aborted or self._clock.now() > enough
            )

    def _finish(self) -> RunFinished:
        found = self._ending.causes
        for error in self._events.defects[:1]:
            found.setdefault(ExitCode.DEFECT, causes.defect(error))
        if self._is_all_settled():
            # A deadline or a limit that came with the last ids has kept nothing back.
            found.pop(ExitCode.STOPPED, None)
        finished = self._view.finish()
        self._notify(finished)
        return finished

    def _is_all_settled(self) -> bool:
        is_rest = self.tally.not_attempted or self._given_up
        return self._backlog.intake.complete and not is_rest

    def _doubt_since(self) -> float | None:
        """When an earlier run may have sent its last request, on this run's clock."""
        since = self._ledger.doubt_since
        if since is None:
            return None
        return self._clock.now() - max(self._clock.utc().timestamp() - since, 0.0)

    # --- what is shown --------------------------------------------------------------------------

    async def _tick(self) -> None:
        while not await self._clock.wait(self._over, self._clock.now() + self._limits.tick_s):
            self._notify(Ticked(self.snapshot()))  # pragma: no cover - see pyproject.toml

    def snapshot(self) -> Snapshot:
        """The run at this moment."""
        return self._view.snapshot()
