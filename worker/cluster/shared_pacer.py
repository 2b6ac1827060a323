"""A pacer whose permits are the account's, and what it needs of the budget for that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from worker.cluster.budget import Budget
from worker.cluster.reservations import EVEN, PROBING, Reservation
from worker.cluster.shared_rate import SharedRate
from worker.core.clock import Clock
from worker.core.errors import UnavailableError
from worker.core.events import Event, Pause
from worker.core.timetable import Timetable
from worker.pacing.burst_probe import REALLY_EARLY, EarlyRequests
from worker.pacing.pacer import Pacer
from worker.pacing.pacer_rules import PacerRules


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


class AccountBursts:
    """The account's burst probe: Redis says which permits are early, and for whom.

    One run's probe is everybody's, and so are the rounds that follow from it: permits have their
    gaps, and the run's own are even.
    """

    is_tolerated = False
    stretch = 1.0

    def __init__(self, permits: AccountPermits, on_tolerated: Callable[[], None]) -> None:
        self._permits = permits
        self._on_tolerated = on_tolerated
        self._sent = EarlyRequests()
        self._was_probe = False

    def resize(self, longest_round: int) -> None:
        """Redis knows the rate."""

    def departed(self, number: int, gaps: float, rate: float) -> None:
        """The request `number` left, so many even gaps after the last one."""
        del rate
        kind = self._permits.last_kind
        is_probe = kind == PROBING
        if is_probe and not self._was_probe:
            self._sent.begin_probe()
        self._was_probe = is_probe
        # A round's permits may be several runs', of whose gaps one run knows only its own.
        is_early = gaps < REALLY_EARLY if is_probe else kind != EVEN
        if is_early:
            self._sent.departed(number, in_probe=is_probe)

    def answered(self, number: int) -> None:
        """The request `number` was let through: all are told where the probe has passed with it."""
        if self._sent.answered(number):
            self._on_tolerated()

    def refused(self, number: int) -> bool:
        """The request `number` was answered 429: whether for being early, in a probe."""
        return self._sent.refused(number)

    def held_up(self, number: int) -> None:
        """The request `number` leaves later than it was to: it shows nothing, if it was early."""
        self._sent.refused(number)

    def was_early(self, number: int) -> bool:
        """Whether the request `number` left early in a round, lately."""
        return self._sent.was_early(number)


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
        bursts=AccountBursts(permits, budget.tolerates_bursts),
    )
