"""One budget of requests for all runs on an account: the rate, what a 429 taught, and pauses."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from worker.cluster import scripts
from worker.cluster.connection import REASON, Connection
from worker.core.clock import Clock
from worker.core.errors import UnavailableError
from worker.core.events import Event, OutageBegan, OutageEnded, Pause, ProbeFailed
from worker.core.timetable import Timetable
from worker.pacing.adaptive import AdaptiveRate
from worker.pacing.pacer import Pacer

_SLICE_SHARE: Final = 0.02
_SLACK: Final = 1.05
"""A slice is a little longer than its permits need: what arrives late from one slice and early from
another must not add up to more than the limit within any second."""

_VOLLEY_SLACK: Final = 1.07
"""The same where several permits leave together, and so are late together."""

_PROBE_GRACE_S: Final = 10.0
"""How long after a pause the others wait for the run whose 429s began it to try alone."""

_LONGEST_SLEEP_S: Final = 1.0


def default_account(key: str) -> str:
    """A name for the account that tells nothing of the key."""
    return hashlib.sha256(b"complete-sessions account " + key.encode()).hexdigest()[:16]


def slice_of(rate: float) -> tuple[int, float]:
    """How many permits a slice of time holds, and its seconds, for `rate` requests a second."""
    size = max(1, math.ceil(rate * _SLICE_SHARE))
    return size, (_SLACK if size == 1 else _VOLLEY_SLACK) * size / rate


class SharedRate(AdaptiveRate):
    """The adaptive rate as all runs on the account see it: whoever is throttled cuts it for all."""

    def __init__(self, ceiling: float, on_cut: Callable[[int, str], None]) -> None:
        super().__init__(ceiling)
        self._on_cut = on_cut
        self._cuts = 0

    def throttled(self, now: float, sent_at: float, *, may_be_stray: bool = True) -> bool:
        is_cut = super().throttled(now, sent_at, may_be_stray=may_be_stray)
        if is_cut:
            self._on_cut(self._cuts, f"{self._start} {self._plateau} {self._recovery_s}")
        return is_cut

    def follow(self, now: float, cuts: int, curve: str, age_s: float) -> None:
        """Adopt the curve of the account's last cut, if that is news."""
        if cuts == self._cuts:
            return
        self._cuts = cuts
        if not curve:
            # Redis has lost its data: what this run has learnt still holds.
            return
        start, plateau, self._recovery_s = map(float, curve.split())
        self._start = min(start, self._ceiling)
        self._plateau = min(plateau, self._ceiling)
        self._cut_at = now - age_s


class Budget:
    """This run's access to the account's permits. `member` names the run."""

    def __init__(self, connection: Connection, account: str, member: str, clock: Clock) -> None:
        self._connection = connection
        self._keys = [f"complete-sessions:{{account:{account}}}:budget"]
        self._member = member
        self._clock = clock
        self._stock = 0
        self._stock_ends_at = -math.inf
        self._resumes_at = -math.inf
        self._refused_s = 0.0
        self._stopped = asyncio.Event()
        self._telling: set[asyncio.Task[Any]] = set()
        self._in_turn = asyncio.Lock()

    @property
    def is_stopped(self) -> bool:
        return self._stopped.is_set()

    def stop(self) -> None:
        """End a wait for a permit, now and from now on."""
        self._stopped.set()
        self._connection.stop()

    async def take(self, rate: SharedRate) -> None:
        """Wait until one request may leave, or until `stop`. One task at a time may call this.

        Several permits are taken at once where the rate is high, and used up within one slice.
        """
        while not self._stopped.is_set():
            if self._stock and self._clock.now() < self._stock_ends_at:
                self._stock -= 1
                return
            size, length_s = slice_of(rate.rate(self._clock.now()))
            args = (size, round(length_s * 1e6), max(1, size // 4), self._member)
            granted, wait_us, cuts, curve, age_us = await self._connection.call(
                scripts.TAKE, self._keys, *args
            )
            now = self._clock.now()
            rate.follow(now, cuts, curve, age_us / 1e6)
            until = now + wait_us / 1e6
            self._resumes_at = -math.inf if granted else until
            await self._clock.wait(
                self._stopped, until if granted else min(until, now + _LONGEST_SLEEP_S)
            )
            if not granted:
                self._refused_s += self._clock.now() - now
            self._stock, self._stock_ends_at = granted, until + length_s

    @property
    def paused_s(self) -> float:
        """Seconds for which Redis was away, or gave no permit to this run, so far."""
        return self._refused_s + self._connection.down_s

    def pause(self, now: float) -> Pause | None:
        """Why nobody gets a permit; None where nothing is in the way."""
        if self._connection.is_down:
            return Pause(REASON, 0.0)
        return Pause("throttled", self._resumes_at - now) if self._resumes_at > now else None

    def cut(self, cuts: int, curve: str) -> None:
        """This run was answered 429 and has cut its rate: so must the others."""
        self._tell(scripts.CUT, cuts, curve)

    def notice(self, event: Event) -> None:
        """Where 429s close this run's gate, they close it for all, and this run probes alone."""
        match event:
            case OutageBegan(reason="throttled") | ProbeFailed(reason="throttled"):
                pause_us = round((event.next_probe_s + _PROBE_GRACE_S) * 1e6)
                self._tell(scripts.PAUSE, pause_us, self._member)
            case OutageEnded(reason="throttled"):
                self._tell(scripts.RESUME, self._member)

    def _tell(self, script: str, *args: str | int) -> None:
        task = asyncio.create_task(self._tell_in_turn(script, args))
        self._telling.add(task)
        task.add_done_callback(self._told)

    async def _tell_in_turn(self, script: str, args: Sequence[str | int]) -> None:
        # Each call takes a connection of its own: a pause must not overtake its end.
        async with self._in_turn:
            await self._connection.call(script, self._keys, *args)

    def _told(self, task: asyncio.Task[Any]) -> None:
        self._telling.discard(task)
        if not task.cancelled():
            # Where Redis stays away, whoever asks for the next permit is told so.
            task.exception()


class AccountPermits:
    """The account's permits for one run, as its pacer takes them.

    `is_sure` is asked after each: where it says no, the permit has become too old to be used.
    """

    def __init__(
        self, budget: Budget, rate: SharedRate, is_sure: Callable[[], Awaitable[bool]] | None
    ) -> None:
        self._budget = budget
        self._rate = rate
        self._is_sure = is_sure

    async def take(self) -> None:
        """Wait for a permit, or until `stop`. Raises UnavailableError where Redis stays away."""
        try:
            await self._budget.take(self._rate)
            while self._is_sure is not None and not await self._is_sure():
                await self._budget.take(self._rate)
        except UnavailableError:
            # A run that ends needs no permit: what it ends for is not this.
            if not self._budget.is_stopped:
                raise

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


def shared_pacer(
    budget: Budget,
    rates: Timetable,
    *,
    notify: Callable[[Event], None],
    is_sure: Callable[[], Awaitable[bool]] | None = None,
    **options: Any,
) -> Pacer:
    """A pacer whose permits are the account's as well: its own word first, then the budget's.

    `is_sure` is that of `AccountPermits`; `options` are the pacer's.
    """

    def tell(event: Event) -> None:
        budget.notice(event)
        notify(event)

    shared_rate = SharedRate(rates.highest_rate, budget.cut)
    permits = AccountPermits(budget, shared_rate, is_sure)
    return Pacer(rates, notify=tell, adaptive=shared_rate, shared=permits, **options)
