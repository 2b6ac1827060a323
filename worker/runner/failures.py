"""What verdicts say of the run as a whole: whether to slow down, to wait, or to stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from worker.api.verdict import Misdirected, Refused, Throttled, Transient, Verdict
from worker.core.errors import WorkerError
from worker.core.events import Event
from worker.core.events import Throttled as ThrottledEvent
from worker.core.tally import Tally
from worker.pacing.pacer import Pacer, Signal
from worker.runner import causes
from worker.runner.job import Job

_MISDIRECTED_AT_FIRST: Final = 5


class FailureAttribution:
    """Passes each verdict on to the pacer, and finds the causes that end a run.

    It also charges ids for their failures. Those of an outage are nobody's own: neither the ones
    while it lasts nor the row that it began with; the latter an id is pardoned `pardons` times, for
    an API that answers some requests and never others must not keep a run going for ever.
    """

    def __init__(
        self, pacer: Pacer, tally: Tally, notify: Callable[[Event], None], *, pardons: int
    ) -> None:
        self._pacer = pacer
        self._tally = tally
        self._notify = notify
        self._pardons = pardons
        self._row: list[tuple[Job, bool]] = []
        self._address_proven = False
        self._misdirected = 0
        self._gave_up_throttled = False

    def heed(self, job: Job, verdict: Verdict) -> WorkerError | None:
        """Learn from one verdict; returns why the run must end, if it must."""
        if isinstance(verdict, Transient):
            self._heed_failure(job, verdict)
            return None
        self._row.clear()
        if isinstance(verdict, Throttled):
            self._heed_throttle(job, verdict)
            return None
        self._pacer.heard(Signal.ANSWERED, sent_at=job.sent_at)
        self._gave_up_throttled = False
        if isinstance(verdict, Refused):
            return causes.refusal(verdict)
        if isinstance(verdict, Misdirected) and not self._address_proven:
            return self._doubt_address(verdict)
        self._address_proven = True
        return None

    def gave_up(self, verdict: Verdict) -> None:
        """The id of this verdict is not tried again."""
        self._gave_up_throttled = self._gave_up_throttled or isinstance(verdict, Throttled)

    def at_the_end(self) -> WorkerError | None:
        """Whether the last ids of the run were given up because nothing but 429 came."""
        return causes.throttled_out() if self._gave_up_throttled else None

    def _hear(self, signal: Signal, job: Job, verdict: Transient | Throttled) -> None:
        self._pacer.heard(
            signal, sent_at=job.sent_at, retry_after_s=verdict.retry_after_s, error=verdict.error
        )

    def _heed_failure(self, job: Job, verdict: Transient) -> None:
        was_open = self._pacer.outage_open
        self._hear(Signal.FAILED, job, verdict)
        if was_open:
            return
        job.charge()
        self._row.append((job, job.check_next))
        if self._pacer.outage_open:
            for charged, check in self._row:
                charged.pardon(check=check, most=self._pardons)
            self._row.clear()

    def _heed_throttle(self, job: Job, verdict: Throttled) -> None:
        self._tally.throttled += 1
        self._address_proven = True
        self._hear(Signal.THROTTLED, job, verdict)
        self._notify(ThrottledEvent(job.id, verdict.retry_after_s, self._pacer.rate_allowed))

    def _doubt_address(self, verdict: Misdirected) -> WorkerError | None:
        self._misdirected += 1
        if self._misdirected < _MISDIRECTED_AT_FIRST:
            return None
        return causes.wrong_address(verdict, self._misdirected)
