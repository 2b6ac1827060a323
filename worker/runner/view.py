"""What a run tells its observers of itself: its beginning, where it stands, its end."""

from __future__ import annotations

from typing import Final

from worker.core.clock import Clock
from worker.core.errors import WorkerError
from worker.core.events import RunFinished, RunStarted, Snapshot
from worker.core.rate_window import RateWindow
from worker.core.tally import Tally
from worker.pacing.pacer import Pacer
from worker.runner import causes
from worker.runner.backlog import Backlog
from worker.runner.ending import Ending
from worker.runner.limits import Limits
from worker.runner.ports import SourcePort
from worker.runner.requests import Requests
from worker.runner.slots import Slots

_RATE_SPAN_S: Final = 5.0
"""A choice: at 1/s and less it still holds a few requests, and what it shows is of the moment."""

_WORTH_SAYING: Final = 0.05
"""The part of the rate that a bound costs before it is spoken of. A choice: for less nobody
would change a setting."""


class RunView:
    """The run `run` as those see it who do not carry it out."""

    def __init__(
        self,
        run: str,
        source: SourcePort,
        pacer: Pacer,
        backlog: Backlog,
        requests: Requests,
        ending: Ending,
        slots: Slots,
        *,
        limits: Limits,
        tally: Tally,
        clock: Clock,
    ) -> None:
        self._run = run
        self._source = source
        self._pacer = pacer
        self._backlog = backlog
        self._requests = requests
        self._ending = ending
        self._slots = slots
        self._limits = limits
        self._tally = tally
        self._clock = clock
        self._departures = RateWindow(_RATE_SPAN_S)
        self._held_up_s = RateWindow(_RATE_SPAN_S)
        self._started_at = clock.now()

    def begin(self, results: str, recovered: int) -> RunStarted:
        """The run begins now."""
        self._started_at = self._clock.now()
        return RunStarted(
            run=self._run,
            source=self._source.name,
            results=results,
            total=self._source.total,
            rate=self._pacer.rate_asked,
            concurrency=self._limits.concurrency,
            recovered=recovered,
        )

    def snapshot(self) -> Snapshot:
        """The run at this moment."""
        now, tally = self._clock.now(), self._tally
        tally.paused_s = self._pacer.paused_s
        self._departures.read(now, tally.requests.total())
        return Snapshot(
            tally=tally,
            elapsed_s=now - self._started_at,
            total=tally.input if self._backlog.intake.complete else self._source.total,
            in_flight=len(self._requests.in_flight),
            waiting=self._backlog.waiting,
            rate_allowed=self._pacer.rate_allowed,
            rate_now=self._departures.per_second,
            pause=self._pacer.pause(now),
            draining=self._ending.is_near,
            rates=self._pacer.rates,
            utc_s=self._clock.utc().timestamp(),
            limit=self._limits.limit,
            deadline_in_s=self._limits.seconds_left(now),
            concurrency_bound=self._concurrency_bound(now),
        )

    def _concurrency_bound(self, now: float) -> int | None:
        """How many in flight bounded the rate over the last seconds; None where something else did,
        or nothing new is sent."""
        self._held_up_s.read(now, self._slots.held_up_s(now))
        is_sending = self._pacer.pause(now) is None and not self._ending.is_near
        is_bound = is_sending and self._held_up_s.per_second >= _WORTH_SAYING
        return self._slots.bound(now) if is_bound else None

    def finish(self) -> RunFinished:
        """The run has ended."""
        code = causes.exit_code(self._ending.causes, self._tally)
        cause = self._ending.causes.get(code)
        return RunFinished(
            run=self._run,
            exit_code=code,
            reason=self._reason(cause),
            advice=cause.advice if cause else "",
            tally=self._tally,
            elapsed_s=self._clock.now() - self._started_at,
            rate=self._pacer.rate_asked,
            complete_input=self._backlog.intake.complete,
            error_type=cause.error_type if cause else None,
        )

    def _reason(self, cause: WorkerError | None) -> str:
        cut_off = len(self._requests.in_flight) if self._ending.is_aborted else 0
        return causes.reason(cause, cut_off)
