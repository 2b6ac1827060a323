"""An id on its way to its outcome: no clock, no loop."""

from __future__ import annotations

import math
from typing import Final

import msgspec
from msgspec.structs import replace

from worker.api.verdict import Settled
from worker.core.outcomes import Error, Item, Record, Via
from worker.pacing.permits import Permit

_NOT_SENT: Final = Permit(0, -math.inf)


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How often and how late an id is tried again; times in seconds."""

    max_attempts: int
    backoff_initial_s: float
    backoff_max_s: float
    throttle_initial_s: float
    throttle_max_s: float
    patience_s: float
    settle_s: float
    on_ambiguous: str
    check_first: bool
    check_valid_s: float
    check_ahead: int


class Job(msgspec.Struct, frozen=True, gc=False):
    """What a run remembers of an id until its outcome is known.

    `attempts` counts the POSTs sent; `failures` and `check_failures` are the moments (see
    `Moments`) of the POSTs and of the GETs that failed. `unresolved` says that a POST may have
    arrived and that no GET has told yet; the backend may be at work on it until `settled_at`;
    `was_ambiguous` says that there was such a POST at all. `throttled_since` is when the first 429
    came, quiet hours left aside; `let_through` is how many requests had been let through at the
    last, `throttle_delay_s` how long that has the job wait, and `throttled_s` the sum of those
    waits in which others were let through. A session that was read as started is sent as such till
    `valid_until`, and then read again. `by_list`: a list said so, which may lag behind; `rejected`
    says that such a job's POST was. `last_reached`: the API itself gave the last error. `permit` is
    that of the last request.
    """

    id: str
    line: int
    check_next: bool = False
    unresolved: bool = False
    was_ambiguous: bool = False
    via: Via = Via.COMPLETE
    attempts: int = 0
    failures: tuple[int, ...] = ()
    check_failures: tuple[int, ...] = ()
    throttles: int = 0
    throttled_since: float | None = None
    let_through: int = 0
    throttle_delay_s: float = 0.0
    throttled_s: float = 0.0
    first_sent_at: float | None = None
    posted_at: float = -math.inf
    settled_at: float = -math.inf
    valid_until: float = math.inf
    by_list: bool = False
    rejected: bool = False
    permit: Permit = _NOT_SENT
    latency_ms: float = 0.0
    last_error: Error | None = None
    last_http_status: int | None = None
    last_reached: bool = False

    @classmethod
    def of(
        cls,
        item: Item,
        *,
        check_first: bool = False,
        unresolved: bool = False,
        was_ambiguous: bool = False,
    ) -> Job:
        """The job of an item, before its first request. Where an earlier run may have sent it, it
        `was_ambiguous`, and `unresolved` unless it is to be sent without being read."""
        return cls(
            item.id,
            item.line,
            check_next=check_first or unresolved,
            unresolved=unresolved,
            was_ambiguous=unresolved or was_ambiguous,
        )

    def begun(self, permit: Permit) -> Job:
        """The job whose request leaves with this permit; what is known of the session may be too
        old for it."""
        now = permit.at
        first_sent_at = now if self.first_sent_at is None else self.first_sent_at
        if self.check_next or now > self.valid_until:
            return replace(
                self, permit=permit, first_sent_at=first_sent_at, via=Via.CHECK, check_next=True
            )
        return replace(
            self,
            permit=permit,
            first_sent_at=first_sent_at,
            via=Via.COMPLETE,
            attempts=self.attempts + 1,
            posted_at=now,
        )

    def known_started(self, valid_until: float, *, by_list: bool = False) -> Job:
        """The job whose session was read, and is to be completed; it is read again after
        `valid_until`."""
        return replace(self, check_next=False, valid_until=valid_until, by_list=by_list)

    def ended(self, permit: Permit, latency_ms: float) -> Job:
        """The job whose request left with the permit as it is now, and ended after so long."""
        if permit is self.permit:
            return replace(self, latency_ms=latency_ms)
        is_check = self.via is Via.CHECK
        posted_at = self.posted_at if is_check else permit.at
        return replace(self, permit=permit, posted_at=posted_at, latency_ms=latency_ms)

    def failed(self, moment: int) -> Job:
        """The job whose request has failed; of a moment no more than one failure counts."""
        if moment in self.failures or moment in self.check_failures:
            return self
        if self.check_next:
            return replace(self, check_failures=(*self.check_failures, moment))
        return replace(self, failures=(*self.failures, moment))

    def throttled(self, now: float, let_through: int) -> Job:
        """The job whose request was answered 429, when so many others had been let through. Its
        wait since the last 429 was its own, unless nobody was let through meanwhile."""
        own_s = 0.0 if let_through == self.let_through else self.throttle_delay_s
        return replace(
            self,
            throttles=self.throttles + 1,
            throttled_since=now if self.throttled_since is None else self.throttled_since,
            let_through=let_through,
            throttled_s=self.throttled_s + own_s,
        )


def record_of(job: Job, settled: Settled, *, now: float, at: str, run: str) -> Record:
    """The line of the results log for a job that is settled at `now`."""
    first_sent_at = now if job.first_sent_at is None else job.first_sent_at
    return Record(
        id=job.id,
        outcome=settled.outcome,
        session_status=settled.session_status,
        http_status=settled.http_status,
        error=settled.error,
        attempts=job.attempts,
        via=job.via,
        latency_ms=round(job.latency_ms, 1),
        elapsed_ms=round((now - first_sent_at) * 1000, 1),
        at=at,
        run=run,
        line=job.line,
    )
