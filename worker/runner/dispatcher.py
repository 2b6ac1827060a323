"""What is sent next: one task that waits for work, a slot and a permit, and starts the request."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Final

from worker.core.clock import Clock
from worker.core.tally import Tally
from worker.pacing.pacer import Pacer
from worker.pacing.permits import Permit
from worker.runner import causes
from worker.runner.backlog import Backlog
from worker.runner.ending import Ending
from worker.runner.job import Job
from worker.runner.limits import Limits
from worker.runner.ports import LedgerPort
from worker.runner.requests import Requests
from worker.runner.slots import Slots

_log: Final = logging.getLogger(__name__)


class Dispatcher:
    """Starts one request after the other, no more than `limits` allow at a time.

    A slot is waited for before a permit, so that a permit is used at once. Which job goes is
    decided once both are there: nobody else takes jobs, so one that was due still is.
    """

    def __init__(
        self,
        requests: Requests,
        backlog: Backlog,
        pacer: Pacer,
        ledger: LedgerPort,
        ending: Ending,
        slots: Slots,
        *,
        limits: Limits,
        tally: Tally,
        clock: Clock,
    ) -> None:
        self._requests = requests
        self._backlog = backlog
        self._pacer = pacer
        self._ledger = ledger
        self._ending = ending
        self._limits = limits
        self._tally = tally
        self._clock = clock
        self._slots = slots

    async def run(self) -> None:
        """Send until nothing more comes or the run is to end, and wait for what is in flight."""
        async with asyncio.TaskGroup() as under_way:
            # What ends the run must not cancel the requests that are under way.
            await self._ending.guard(self._dispatch(under_way))
            _log.debug(
                "nothing more is sent; requests in flight: %d", len(self._requests.in_flight)
            )

    async def _dispatch(self, under_way: asyncio.TaskGroup) -> None:
        while await self._is_any_due():
            await self._slots.acquire()
            permit = await self._pacer.permit()
            if permit is None:
                return
            job = self._next_job(permit)
            if job is None:
                self._slots.release()
            else:
                self._slots.begin(permit)
                self._requests.in_flight.add(permit.number)
                under_way.create_task(self._send(job, permit))

    async def _send(self, job: Job, permit: Permit) -> None:
        is_answered = None
        try:
            is_answered = await self._ending.guard(self._requests.send(job, permit))
        finally:
            self._slots.end(permit, answered=bool(is_answered))

    def _next_job(self, permit: Permit) -> Job | None:
        """The job that leaves now; None where others have taken over what was due."""
        while (job := self._backlog.take(permit.at)) is not None:
            if self._ledger.owns(job.id):
                return job
            # An id that another run has taken over is no input of this one any more.
            self._tally.input -= 1
            self._backlog.let_go()
        self._pacer.release(permit)
        return None

    async def _is_any_due(self) -> bool:
        """Wait until a job is due; False when there is nothing more to do."""
        while not self._ending.is_near:
            now = self._clock.now()
            if self._backlog.is_any_due(now):
                return True
            if self._backlog.in_hand:
                await self._wait_for_due(now)
            elif await self._backlog.is_used_up():
                self._judge_end()
                return False
        return False

    async def _wait_for_due(self, now: float) -> None:
        self._pacer.check_patience(now)
        due, deadline = self._backlog.next_due, self._limits.deadline
        if deadline is not None and deadline < due < math.inf and self._backlog.only_retries_left:
            self._ending.stop(causes.deadline_reached(self._limits.deadline_name))
            return
        patience_s = self._pacer.patience_s
        if now + patience_s < due < math.inf and self._backlog.only_told_to_wait:
            self._ending.stop(causes.too_long_a_wait(due - now, patience_s))
            return
        if _log.isEnabledFor(logging.DEBUG):
            self._say_what_is_waited_for(due - now)
        await self._backlog.wait(min(due, self._pacer.gives_up_at))

    def _say_what_is_waited_for(self, due_in_s: float) -> None:
        backlog = self._backlog
        retries, unsynced = backlog.waiting, backlog.unsynced
        _log.debug(
            "nothing is due%s; ids that wait: %d for a retry, %d for an answer, %d for the disk",
            "" if due_in_s == math.inf else f" for {due_in_s:.3f} s",
            retries,
            backlog.in_hand - retries - unsynced,
            unsynced,
        )

    def _judge_end(self) -> None:
        """Everything that was admitted is settled: was that all?"""
        intake = self._backlog.intake
        if intake.failure is not None:
            self._ending.stop(intake.failure)
        if intake.limit_reached or not intake.ended:
            self._ending.stop(causes.limit_reached(intake.admitted))
