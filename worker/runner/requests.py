"""The requests of a run: each is sent, judged, and followed by what its answer asks for."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from worker.api.verdict import (
    Answer,
    Settled,
    Throttled,
    Verdict,
    judge_check,
    judge_completion,
)
from worker.core.clock import Clock
from worker.core.errors import ExitCode, WorkerError
from worker.core.events import Event, RetryScheduled
from worker.core.tally import Tally
from worker.pacing.pacer import Pacer
from worker.pacing.permits import Permit
from worker.runner.backlog import Backlog
from worker.runner.ending import Ending
from worker.runner.failure_attribution import FailureAttribution
from worker.runner.job import Job, Policy
from worker.runner.ports import ClientPort
from worker.runner.recorder import Recorder
from worker.runner.steps import Again, next_step
from worker.runner.suspicion import Suspicion


class Requests:
    """`in_flight` holds the numbers of the permits whose requests may have left and are not
    answered: one id may be sent twice, where its lease was lost and came back."""

    def __init__(
        self,
        client: ClientPort,
        pacer: Pacer,
        backlog: Backlog,
        recorder: Recorder,
        ending: Ending,
        suspicion: Suspicion,
        *,
        policy: Policy,
        tally: Tally,
        clock: Clock,
        random: Random,
        notify: Callable[[Event], None],
    ) -> None:
        self.in_flight: set[int] = set()
        self._client = client
        self._pacer = pacer
        self._backlog = backlog
        self._recorder = recorder
        self._ending = ending
        self._failures = FailureAttribution(pacer, tally, notify, max_attempts=policy.max_attempts)
        self._suspicion = suspicion
        self._policy = policy
        self._tally = tally
        self._clock = clock
        self._random = random
        self._notify = notify

    async def send(self, job: Job, permit: Permit) -> bool:
        """Send the job's next request, and do what follows; returns whether it was answered.

        `in_flight` must hold the permit already. Where this raises, it stays there.
        """
        begun = job.begun(permit)
        is_check = begun.check_next
        # What is known of a session must not grow too old while a connection is waited for.
        departure = self._pacer.departure(permit if is_check else permit.until(job.valid_until))
        send = self._client.check if is_check else self._client.complete
        reply = await send(job.id, departure)
        now = self._clock.now()
        self.in_flight.remove(permit.number)
        if departure.is_refused:
            self._pacer.release(permit)
            self._backlog.retry(job, now)
            return False
        latency_ms = (now - departure.permit.at) * 1000
        self._tally.count_request(reply.label, latency_ms, is_check=is_check)
        judge = judge_check if is_check else judge_completion
        ended = begun.ended(departure.permit, latency_ms)
        self._follow(ended, judge(reply, job.id), now)
        return isinstance(reply, Answer)

    def on_page(self) -> None:
        """A page of a list of statuses was read."""
        self._failures.on_page()

    def settle(self, job: Job, settled: Settled, now: float) -> None:
        """Record an outcome, and look at what all of them say of the run."""
        self._recorder.record(job, settled, now)
        self._stop_for(self._suspicion.judge(settled))

    def settle_ended(self, job: Job, settled: Settled, now: float) -> None:
        """Record what a session had come to before the run, as a list told it."""
        self._recorder.record(job, settled, now)
        self._stop_for(self._suspicion.count_ended(settled))

    def _stop_for(self, cause: WorkerError | None) -> None:
        if cause is not None:
            self._ending.stop(cause)

    def _follow(self, job: Job, verdict: Verdict, now: float) -> None:
        job, cause = self._failures.learn(job, verdict, now)
        if cause is not None:
            self._ending.stop(cause)
            if cause.exit_code is ExitCode.UNAVAILABLE:
                self._backlog.retry(job, now)
                return
        moments = self._failures.moments
        step = next_step(job, verdict, self._policy, moments, now=now, random=self._random)
        if isinstance(step, Settled):
            self.settle(job, step, now)
        else:
            self._schedule_again(step, verdict, now)

    def _schedule_again(self, step: Again, verdict: Verdict, now: float) -> None:
        job, due = step.job, now + step.delay_s
        is_told = isinstance(verdict, Throttled) and verdict.retry_after_s is not None
        if not step.settling and not is_told:
            due = self._not_past_patience(due, now)
        self._backlog.retry(job, due, settling=step.settling)
        if step.error is None:
            return
        self._tally.retries += 1
        request = "check" if job.check_next else "complete"
        self._notify(RetryScheduled(job.id, job.line, job.attempts, request, due - now, step.error))

    def _not_past_patience(self, due: float, now: float) -> float:
        """While nothing is answered the last probe goes when patience ends, and not after it."""
        last_at = self._pacer.last_probe_at
        return min(due, last_at) if now < last_at else due
