"""What verdicts say of the run as a whole: whether to slow down, to wait, or to stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from worker.api.verdict import Foreign, Refused, Throttled, Transient, Verdict
from worker.core.errors import WorkerError
from worker.core.events import Event
from worker.core.events import Throttled as ThrottledEvent
from worker.core.outcomes import Error
from worker.core.tally import Tally
from worker.pacing.pacer import Pacer
from worker.runner import causes
from worker.runner.job import Job

_FOREIGN_AT_FIRST: Final = 5
"""One or two pages of a proxy that restarts are no wrong address; five before any answer are."""


class FailureAttribution:
    """Passes each verdict on to the pacer, and finds the causes that end a run.

    It also charges ids for their failures. While nothing is answered an id pays no more than once:
    an outage is nobody's own. Neither are the failures while it is known to last, nor the row that
    it began with; the latter an id is pardoned `pardons` times, for an API that answers some
    requests and never others must not keep a run going for ever.
    """

    def __init__(
        self, pacer: Pacer, tally: Tally, notify: Callable[[Event], None], *, pardons: int
    ) -> None:
        self._pacer = pacer
        self._tally = tally
        self._notify = notify
        self._pardons = pardons
        self._row: list[tuple[Job, bool]] = []
        self._answers = 0
        self._let_through = 0
        self._foreign_at_first: int | None = 0

    def heed(self, job: Job, verdict: Verdict, now: float) -> WorkerError | None:
        """Learn from one verdict at `now`; returns why the run must end, if it must."""
        if isinstance(verdict, Transient):
            self._heed_failure(job, verdict.error, verdict.retry_after_s)
            return None
        if isinstance(verdict, Foreign):
            return self._heed_foreign(job, verdict)
        self._row.clear()
        self._answers += 1
        self._foreign_at_first = None
        if isinstance(verdict, Throttled):
            return self._heed_throttle(job, verdict, now)
        self._let_through += 1
        self._pacer.answered(job.permit)
        return causes.refusal(verdict) if isinstance(verdict, Refused) else None

    def _heed_failure(self, job: Job, error: Error, retry_after_s: float | None = None) -> None:
        was_open = self._pacer.outage_open
        self._pacer.failed(job.permit, error=error, retry_after_s=retry_after_s)
        if job.charged + job.check_failures == 0:
            job.silent_since = self._answers
        job.is_silent = job.silent_since == self._answers
        if was_open:
            return
        if job.charged_after != self._answers:
            job.charged_after = self._answers
            job.charge()
            self._row.append((job, job.check_next))
        if self._pacer.outage_open:
            for charged, check in self._row:
                charged.pardon(check=check, most=self._pardons)
            self._row.clear()

    def _heed_foreign(self, job: Job, verdict: Foreign) -> WorkerError | None:
        """At the start the address is wrong; later something before the API is in trouble."""
        self._heed_failure(job, verdict.error)
        if self._foreign_at_first is None:
            return None
        self._foreign_at_first += 1
        if self._foreign_at_first < _FOREIGN_AT_FIRST:
            return None
        return causes.wrong_address(verdict, self._foreign_at_first)

    def _heed_throttle(self, job: Job, verdict: Throttled, now: float) -> WorkerError | None:
        self._tally.throttled += 1
        self._pacer.throttled(job.permit, error=verdict.error, retry_after_s=verdict.retry_after_s)
        self._notify(ThrottledEvent(job.id, verdict.retry_after_s, self._pacer.rate_allowed))
        if job.throttled_since is None or job.throttled_after != self._let_through:
            job.throttled_after = self._let_through
            return None
        waited_s = now - job.throttled_since
        return causes.throttled_out() if waited_s >= self._pacer.patience_s else None
