"""A pacer whose permits are the account's, and what it needs of the budget for that."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from worker.cluster.budget import Budget
from worker.cluster.reservations import EVEN, Reservation
from worker.cluster.shared_rate import SharedRate
from worker.core.clock import Clock
from worker.core.errors import UnavailableError
from worker.core.events import Event, Pause
from worker.core.timetable import Timetable
from worker.pacing.burst_probe import BurstProbe
from worker.pacing.pacer import Pacer, PacerRules

_PROBES: Final = 3
_EARLY_KEPT: Final = 256


class AccountPermits:
    """The account's permits for one run, as its pacer takes them.

    `is_sure` is asked after each: where it says no, the permit waits until it says yes.
    """

    def __init__(
        self, budget: Budget, rate: SharedRate, is_sure: Callable[[], Awaitable[bool]] | None
    ) -> None:
        self._budget = budget
        self._rate = rate
        self._is_sure = is_sure
        self._used: Reservation | None = None

    async def take(self) -> None:
        """Wait for a permit, or until `stop`. Raises UnavailableError where Redis stays away."""
        try:
            while (used := await self._budget.take(self._rate)) is not None:
                if self._is_sure is None or await self._is_sure():
                    break
                self._budget.give_back(used)
            self._used = used
        except UnavailableError:
            # A run that ends needs no permit: what it ends for is not this.
            if not self._budget.is_stopped:
                raise

    def give_back(self) -> None:
        """The permit that was taken last was not used."""
        if self._used is not None:
            self._budget.give_back(self._used)
            self._used = None

    @property
    def last_kind(self) -> str:
        """Of the permit that was taken last: `Reservation.kind`."""
        return EVEN if self._used is None else self._used.kind

    def stop(self) -> None:
        """End a `take` that waits, now and from now on."""
        self._budget.stop()

    @property
    def paused_s(self) -> float:
        """Seconds for which there was no permit for this run, so far."""
        return self._budget.paused_s

    def pause(self, now: float) -> Pause | None:
        """Why there is none at the moment; None where nothing is in the way."""
        return self._budget.pause(now)


class AccountBursts(BurstProbe):
    """The account's burst probe: Redis says which permits are early, and for whom.

    One run's probe is everybody's, and so are the rounds that follow from it.
    """

    def __init__(self, permits: AccountPermits, on_tolerated: Callable[[], None]) -> None:
        super().__init__()
        self._permits = permits
        self._on_tolerated = on_tolerated
        self._probes: set[int] = set()
        self._let_through = 0
        self._lately: deque[int] = deque(maxlen=_EARLY_KEPT)

    def departed(self, number: int, gaps: float, rate: float) -> None:
        del gaps, rate
        if self._permits.last_kind == "probe":
            self._probes.add(number)
        elif self._permits.last_kind == "early":
            self._lately.append(number)

    def answered(self, number: int) -> None:
        if number not in self._probes:
            return
        self._probes.remove(number)
        self._let_through += 1
        if self._let_through == _PROBES:
            self._on_tolerated()
        if not self._probes:
            self._let_through = 0

    def refused(self, number: int) -> bool:
        is_probe = number in self._probes
        self._probes.discard(number)
        return is_probe

    def was_early(self, number: int) -> bool:
        return number in self._lately


def shared_pacer(
    budget: Budget,
    rates: Timetable,
    rules: PacerRules,
    *,
    clock: Clock,
    notify: Callable[[Event], None],
    is_sure: Callable[[], Awaitable[bool]] | None,
    first_probe: int | None,
) -> Pacer:
    """A pacer whose permits are the account's as well: its own word first, then the budget's.

    `is_sure` is that of `AccountPermits`, and None where no leases are held; `first_probe` counts
    the account's requests; the rest is as for any pacer.
    """

    def tell(event: Event) -> None:
        budget.notice(event)
        notify(event)

    shared_rate = SharedRate(rates.highest_rate, budget.cut)
    permits = AccountPermits(budget, shared_rate, is_sure)
    budget.probe_after = first_probe or 0
    return Pacer(
        rates,
        rules,
        clock=clock,
        notify=tell,
        adaptive=shared_rate,
        shared=permits,
        burst_probe=AccountBursts(permits, budget.tolerates_bursts),
    )
