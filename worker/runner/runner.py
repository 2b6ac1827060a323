"""The run itself: slots that take a job, wait for a permit, send, and settle or retry it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine, Sequence
from random import Random

from worker.api.verdict import (
    Settled,
    Throttled,
    Verdict,
    judge_check,
    judge_completion,
)
from worker.core.clock import Clock
from worker.core.errors import ExitCode, WorkerError
from worker.core.events import (
    OutcomesRecorded,
    RetryScheduled,
    RunFinished,
    RunStarted,
    Snapshot,
    StopRequested,
    Ticked,
)
from worker.core.outcomes import Error, ErrorType, Item, Outcome, Record, Via
from worker.core.rate_window import RateWindow
from worker.core.tally import Tally
from worker.pacing.pacer import Pacer
from worker.pacing.permits import Permit
from worker.runner import causes
from worker.runner.backlog import Backlog
from worker.runner.event_dispatcher import EventDispatcher
from worker.runner.failures import FailureAttribution
from worker.runner.intake import Intake
from worker.runner.job import Again, Job, Policy, give_up, next_step, record_of
from worker.runner.limits import Limits
from worker.runner.look_ahead import LookAhead
from worker.runner.ports import Client, Ledger, Source, Statuses
from worker.runner.suspicion import Suspicion

_COUNT_REST_S = 5.0
_RATE_SPAN_S = 5.0
_PARDONS = 4
"""How often an id is pardoned the beginning of an outage, for each of its attempts: an API that
comes and goes makes such a beginning every few seconds."""


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
        source: Source,
        client: Client,
        pacer: Pacer,
        ledger: Ledger,
        dispatcher: EventDispatcher,
        clock: Clock,
        policy: Policy,
        limits: Limits,
        random: Random,
        tally: Tally | None = None,
        statuses: Statuses | None = None,
    ) -> None:
        self._run = run
        self._results = results
        self._source = source
        self._client = client
        self._pacer = pacer
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._notify = dispatcher.notice
        self._clock = clock
        self._policy = policy
        self._limits = limits
        self._random = random
        self.tally = tally or Tally()
        intake = Intake(
            source,
            ledger,
            self.tally,
            policy,
            limit=limits.limit,
            on_invalid=self._record_invalid,
            look_ahead=None if statuses is None else self._look_ahead(statuses),
            ahead=policy.check_ahead,
        )
        self._backlog = Backlog(
            intake,
            window=limits.window,
            clock=clock,
            settle_s=policy.settle_s,
            doubt_since=self._doubt_since(),
        )
        pardons = _PARDONS * policy.max_attempts
        self._failures = FailureAttribution(pacer, self.tally, self._notify, pardons=pardons)
        self._suspicion = Suspicion(limits.suspicious_after, limits.max_failures)
        self._turn = asyncio.Lock()
        self._over = asyncio.Event()
        self._in_flight: dict[str, Job] = {}
        self._causes: dict[ExitCode, WorkerError] = {}
        self._defects: list[Exception] = []
        self._aborted = False
        self._given_up = False
        self._tasks: list[asyncio.Task[None]] = []
        self._departures = RateWindow(_RATE_SPAN_S)
        self._started_at = 0.0

    def _doubt_since(self) -> float | None:
        since = self._ledger.doubt_since
        if since is None:
            return None
        return self._clock.now() - max(self._clock.utc().timestamp() - since, 0.0)

    def _look_ahead(self, statuses: Statuses) -> LookAhead:
        return LookAhead(
            statuses,
            self._clock,
            valid_s=self._policy.check_valid_s,
            on_settled=self._record_known,
        )

    # --- from outside -------------------------------------------------------------------------

    @property
    def stopping(self) -> bool:
        return bool(self._causes)

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    @property
    def defects(self) -> list[Exception]:
        """The exceptions that nobody foresaw."""
        return [*self._defects, *self._dispatcher.defects]

    def stop(self, cause: WorkerError) -> None:
        """Send nothing new, finish what is in flight, and end with the cause's exit code."""
        if cause.exit_code in self._causes:
            return
        first = not self._causes
        self._causes[cause.exit_code] = cause
        if not first:
            return
        self._notify(StopRequested(cause.exit_code, str(cause), self.in_flight))
        self._source.interrupt()
        self._pacer.stop()
        self._backlog.interrupt()

    def abort(self, cause: WorkerError) -> None:
        """End at once: what is in flight stays in the journal, for the next run to read first."""
        self._aborted = True
        self.stop(cause)
        for task in self._tasks:
            task.cancel()

    async def run(self) -> RunFinished:
        self._started_at = self._clock.now()
        self._announce()
        serving = asyncio.create_task(self._guard(self._ledger.serve(self._on_durable)))
        slots = [self._work() for _ in range(self._limits.concurrency)]
        background = [
            asyncio.create_task(self._guard(work))
            for work in (self._tick(), self._watch_deadline())
        ]
        self._tasks = [
            asyncio.create_task(self._guard(work)) for work in (self._backlog.fill(), *slots)
        ]
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._over.set()
        await self._guard(self._wind_up())
        serving.cancel()
        await asyncio.gather(serving, *background, return_exceptions=True)
        return self._finish()

    # --- tasks --------------------------------------------------------------------------------

    async def _guard(self, work: Coroutine[None, None, None]) -> None:
        """Turn an error that ends the run into its cause, so that the others end in good order."""
        try:
            await work
        except WorkerError as error:
            self._end(error)
        except Exception as error:  # noqa: BLE001 - a defect must not cost the account of the run
            self._defects.append(error)
            self._end(causes.defect(error))

    def _end(self, error: WorkerError) -> None:
        self.stop(error)
        if error.exit_code is ExitCode.LOG_UNWRITABLE:
            self.abort(error)

    async def _work(self) -> None:
        """One slot."""
        while True:
            async with self._turn:
                job = await self._next_job()
            if job is None:
                return
            await self._attempt(job)

    async def _next_job(self) -> Job | None:
        """The next job with its permit; None when there is nothing more to do."""
        while not self.stopping:
            now = self._clock.now()
            job = self._backlog.take(now)
            if job is not None:
                if await self._permitted(job):
                    return job
            elif self._backlog.in_hand:
                await self._wait_for_due(now)
            elif await self._backlog.is_used_up():
                self._judge_end()
                return None
        return None

    def _judge_end(self) -> None:
        """Everything that was admitted is settled: was that all?"""
        intake = self._backlog.intake
        if intake.failure is not None:
            self.stop(intake.failure)
        if intake.limit_reached or not intake.ended:
            self.stop(causes.limit_reached(intake.admitted))

    async def _permitted(self, job: Job) -> bool:
        try:
            permit = await self._pacer.permit()
        except BaseException:
            self._backlog.put_back(job)
            raise
        return self._begin(job, permit)

    def _begin(self, job: Job, permit: Permit | None) -> bool:
        """Whether the job leaves now: with a permit, and unless another run has taken it over."""
        if permit is None:
            self._backlog.put_back(job)
            return False
        if not self._ledger.owns(job.id):
            # An id that another run has taken over is no input of this one any more.
            self._pacer.release(permit)
            self.tally.input -= 1
            self._backlog.let_go()
            return False
        job.begin(permit)
        self._in_flight[job.id] = job
        return True

    async def _wait_for_due(self, now: float) -> None:
        self._pacer.check_patience(now)
        due, deadline = self._backlog.next_due, self._limits.deadline
        if deadline is not None and deadline < due < math.inf and self._backlog.only_retries_left:
            self._end_at_deadline()
            return
        patience_s = self._pacer.patience_s
        if now + patience_s < due < math.inf and self._backlog.only_told_to_wait:
            self.stop(causes.too_long_a_wait(due - now, patience_s))
            return
        await self._backlog.wait(min(due, self._pacer.gives_up_at))

    async def _attempt(self, job: Job) -> None:
        checking = job.check_next
        reply = await (self._client.check(job.id) if checking else self._client.complete(job.id))
        now = self._clock.now()
        del self._in_flight[job.id]
        job.latency_ms = (now - job.sent_at) * 1000
        self.tally.count_request(reply.label, job.latency_ms, is_check=checking)
        judge = judge_check if checking else judge_completion
        self._follow(job, judge(reply, job.id), now)

    def _follow(self, job: Job, verdict: Verdict, now: float) -> None:
        cause = self._failures.heed(job, verdict, now)
        if cause is not None:
            self.stop(cause)
            if cause.exit_code is ExitCode.UNAVAILABLE:
                self._backlog.retry(job, now)
                return
        step = next_step(job, verdict, self._policy, now=now, random=self._random)
        if isinstance(step, Settled):
            self._record(job, step, now)
            self._suspect(step)
        else:
            self._schedule_again(job, step, verdict, now)

    # --- what follows from an answer ------------------------------------------------------------

    def _schedule_again(self, job: Job, step: Again, verdict: Verdict, now: float) -> None:
        due = now + step.delay_s
        is_told = isinstance(verdict, Throttled) and verdict.retry_after_s is not None
        if not step.settling and not is_told:
            due = self._not_past_patience(due, now)
        self._backlog.retry(job, due, settling=step.settling)
        if step.error is None:
            return
        self.tally.retries += 1
        request = "check" if job.check_next else "complete"
        self._notify(RetryScheduled(job.id, job.line, job.attempts, request, due - now, step.error))

    def _not_past_patience(self, due: float, now: float) -> float:
        """While nothing is answered the last probe goes when patience ends, and not after it."""
        due, last_at = min(due, now + self._pacer.patience_s), self._pacer.last_probe_at
        return min(due, last_at) if now < last_at else due

    def _suspect(self, settled: Settled) -> None:
        cause = self._suspicion.judge(settled)
        if cause is not None:
            self.stop(cause)

    def _record(self, job: Job, settled: Settled, now: float) -> None:
        at = self._clock.timestamp()
        self._ledger.append(record_of(job, settled, now=now, at=at, run=self._run))
        self._backlog.now_written()

    def _record_invalid(self, item: Item) -> None:
        self._backlog.in_hand += 1
        error = Error(ErrorType.INVALID_ID.value, item.problem or "")
        self._record(Job(item), Settled(Outcome.FAILED, None, None, error), self._clock.now())

    def _record_known(self, job: Job, settled: Settled) -> None:
        """Record what was read of a session, with others, before anything was sent for it."""
        job.via = Via.CHECK
        self._backlog.in_hand += 1
        self._record(job, settled, self._clock.now())
        self._suspect(settled)

    def _on_durable(self, records: Sequence[Record]) -> None:
        self.tally.count(records)
        self._notify(OutcomesRecorded(records))
        self._backlog.now_durable(len(records))

    # --- the end --------------------------------------------------------------------------------

    async def _wind_up(self) -> None:
        """Account for everything that is left, and make it durable."""
        now = self._clock.now()
        for job in self._backlog.clear():
            self._given_up = True
            if self._is_to_be_recorded(job):
                self._record(job, give_up(job), now)
        try:
            await self._count_rest()
            # After a defect nobody can tell what left: the next run reads all that might have.
            in_good_order = not self._in_flight and not self._defects
            await self._ledger.finish(good_order=in_good_order)
        finally:
            self.tally.not_attempted += self._backlog.in_hand
            self.tally.paused_s = self._pacer.paused_s

    def _is_to_be_recorded(self, job: Job) -> bool:
        """Whether the log must say of an id that is not settled that it was sent: where it may have
        arrived, or the API has said something of it. One that an outage kept is not attempted."""
        if job.first_sent_at is None or job.unresolved:
            return job.first_sent_at is not None
        is_outage = ExitCode.UNAVAILABLE in self._causes
        return job.attempts > 0 and job.last_reached and not is_outage

    async def _count_rest(self) -> None:
        """Count what was never taken from the source; a long one not to its end."""
        if self._aborted:
            return
        enough = self._clock.now() + _COUNT_REST_S
        await self._backlog.intake.count_rest(lambda: self._aborted or self._clock.now() > enough)

    def _end_at_deadline(self) -> None:
        self.stop(causes.deadline_reached(self._limits.deadline_name))

    async def _watch_deadline(self) -> None:
        if self._limits.deadline is None:
            return
        if not await self._clock.wait(self._over, self._limits.deadline):
            self._end_at_deadline()

    def _finish(self) -> RunFinished:
        tally = self.tally
        for error in self._dispatcher.defects[:1]:
            self._causes.setdefault(ExitCode.DEFECT, causes.defect(error))
        if self._is_all_settled():
            # A deadline or a limit that came with the last ids has kept nothing back.
            self._causes.pop(ExitCode.STOPPED, None)
        code = causes.exit_code(self._causes, tally)
        cause = self._causes.get(code)
        finished = RunFinished(
            run=self._run,
            exit_code=code,
            reason=self._reason(cause),
            advice=cause.advice if cause else "",
            tally=tally,
            elapsed_s=self._clock.now() - self._started_at,
            rate=self._pacer.rate_asked,
            complete_input=self._backlog.intake.complete,
        )
        self._notify(finished)
        return finished

    def _reason(self, cause: WorkerError | None) -> str:
        if cause is None:
            return ""
        if not self._aborted or not self._in_flight:
            return cause.message
        count = self.in_flight
        cut_off = f"{count} request{'s were' if count > 1 else ' was'} cut off"
        return f"{cause.message}; {cut_off}, and the next run reads those sessions first"

    def _is_all_settled(self) -> bool:
        is_rest = self.tally.not_attempted or self._given_up
        return self._backlog.intake.complete and not is_rest

    # --- what is shown --------------------------------------------------------------------------

    def _announce(self) -> None:
        self._notify(
            RunStarted(
                run=self._run,
                source=self._source.name,
                results=self._results,
                total=self._source.total,
                rate=self._pacer.rate_asked,
                concurrency=self._limits.concurrency,
                recovered=self._ledger.recovered,
            )
        )

    async def _tick(self) -> None:
        while not await self._clock.wait(self._over, self._clock.now() + self._limits.tick_s):
            self._notify(Ticked(self.snapshot()))

    def snapshot(self) -> Snapshot:
        now = self._clock.now()
        intake = self._backlog.intake
        self.tally.paused_s = self._pacer.paused_s
        self._departures.read(now, self.tally.requests.total())
        return Snapshot(
            tally=self.tally,
            elapsed_s=now - self._started_at,
            total=self.tally.input if intake.complete else self._source.total,
            in_flight=self.in_flight,
            waiting=self._backlog.waiting,
            rate_allowed=self._pacer.rate_allowed,
            rate_now=self._departures.per_second,
            pause=self._pacer.pause(now),
            draining=self.stopping,
            limit=self._limits.limit,
            deadline_in_s=self._limits.seconds_left(now),
        )
