"""What verdicts say of the run as a whole: whether to slow down, to wait, or to stop."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from worker.api.refusals import refusal
from worker.api.verdict import Foreign, Refused, Throttled, Transient, Verdict
from worker.core.errors import WorkerError
from worker.core.events import Event, RequestThrottled
from worker.core.outcomes import Error
from worker.core.tally import Tally
from worker.pacing.pacer import Pacer
from worker.runner import causes
from worker.runner.job import Job
from worker.runner.moments import Moments

_FOREIGN_AT_FIRST: Final = 5
"""One or two pages of a proxy that restarts are no wrong address; five before any answer are."""

_REFUNDS: Final = 4
"""How often an id is refunded the beginning of an outage, for each of its attempts: an API that
comes and goes makes such a beginning every few seconds. Found by
`test_an_api_that_comes_and_goes_costs_no_session`."""


class FailureAttribution:
    """Passes each verdict on to the pacer, and finds the causes that end a run.

    It also counts failures against ids. While nothing is answered an id pays no more than once: an
    outage is nobody's own. Neither are the failures while it is known to last, nor those in the row
    that it began with.
    """

    def __init__(
        self, pacer: Pacer, tally: Tally, notify: Callable[[Event], None], *, max_attempts: int
    ) -> None:
        self.moments = Moments(_REFUNDS * max_attempts)
        self._let_through = 0
        self._let_through_at = -math.inf
        self._pacer = pacer
        self._tally = tally
        self._notify = notify
        self._foreign_at_first: int | None = 0

    def learn(self, job: Job, verdict: Verdict, now: float) -> tuple[Job, WorkerError | None]:
        """Learn from one verdict at `now`; returns the job that counts it, and why the run must
        end, if it must."""
        match verdict:
            case Transient():
                return self._on_failure(job, verdict.error, verdict.retry_after_s), None
            case Foreign():
                return self._on_failure(job, verdict.error, None), self._on_foreign(verdict)
        self.moments.answered()
        self._foreign_at_first = None
        if isinstance(verdict, Throttled):
            return self._on_throttle(job, verdict, now)
        self._let_through += 1
        self._let_through_at = now - self._pacer.quiet_s
        self._pacer.answered(job.permit)
        return job, refusal(verdict) if isinstance(verdict, Refused) else None

    def on_page(self) -> None:
        """A page of a list was read: the API is at this address."""
        self._foreign_at_first = None

    def _on_failure(self, job: Job, error: Error, retry_after_s: float | None) -> Job:
        self._pacer.failed(job.permit, error=error, retry_after_s=retry_after_s)
        if self._pacer.is_down:
            self.moments.begin_outage()
        return job.failed(self.moments.current)

    def _on_foreign(self, verdict: Foreign) -> WorkerError | None:
        """At the start the address is wrong; later something before the API is in trouble."""
        if self._foreign_at_first is None:
            return None
        self._foreign_at_first += 1
        if self._foreign_at_first < _FOREIGN_AT_FIRST:
            return None
        return causes.wrong_address(verdict, self._foreign_at_first)

    def _on_throttle(
        self, job: Job, verdict: Throttled, now: float
    ) -> tuple[Job, WorkerError | None]:
        self._tally.throttled += 1
        self._pacer.throttled(job.permit, error=verdict.error, retry_after_s=verdict.retry_after_s)
        self._notify(RequestThrottled(job.id, verdict.retry_after_s, self._pacer.rate_allowed))
        awake_s = now - self._pacer.quiet_s
        counted = job.throttled(awake_s, self._let_through)
        if job.throttled_since is None or job.let_through != self._let_through:
            return counted, None
        waited_s = awake_s - max(job.throttled_since, self._let_through_at)
        return counted, causes.throttled_out() if waited_s >= self._pacer.patience_s else None
