"""One budget of requests for all runs on an account: the rate, what a 429 taught, and pauses."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from worker.cluster import scripts
from worker.cluster.connection import REASON, Connection
from worker.cluster.reservations import Reservation, Reservations, ServerClock
from worker.cluster.shared_rate import SharedRate
from worker.core.clock import Clock
from worker.core.events import Event, OutageBegan, OutageEnded, Pause, PauseReason, ProbeFailed
from worker.pacing.alarm import Alarm
from worker.pacing.spacing import STRICT_GAP_S

_PROBE_GRACE_S: Final = 10.0
"""How long after a pause the others wait for the run whose 429s began it to try alone."""

_LONGEST_SLEEP_S: Final = 1.0
_FAREWELL_S: Final = 1.0

_LEAD: Final = 1.5
_LEAD_S: Final = 0.015
"""Permits are asked for so many round trips, and so much for the loop, before they are needed."""

_log: Final = logging.getLogger(__name__)


def default_account(key: str) -> str:
    """A name for the account that tells nothing of the key."""
    return hashlib.sha256(b"complete-sessions account " + key.encode()).hexdigest()[:16]


class Granted(NamedTuple):
    """What `scripts.TAKE` answers; `first_us` is when to come again where there are none."""

    permits: int
    first_us: int
    gap_us: int
    now_us: int
    slack_ppm: int
    members: int
    lowest: str
    cuts: int
    curve: str
    offsets_us: list[int]
    kinds: str
    cut_age_us: int

    @property
    def times_us(self) -> list[float]:
        """When each permit may be used."""
        offsets = self.offsets_us or [number * self.gap_us for number in range(self.permits)]
        return [self.first_us + offset for offset in offsets]


class Budget:
    """This run's access to the account's permits. `member` names the run.

    A permit is a time. They are asked for ahead, while earlier ones are waited for, so that it does
    not matter how long Redis takes to answer. `warn` is told where another run's rate holds.
    """

    def __init__(
        self,
        connection: Connection,
        account: str,
        member: str,
        clock: Clock,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._connection = connection
        prefix = f"complete-sessions:{{account:{account}}}"
        self._keys = [f"{prefix}:budget", f"{prefix}:members"]
        self._member = member
        self._clock = clock
        self._warn = warn
        self.probe_after = 0
        """After how many permits of the account this run may probe for bursts; 0: never."""
        self._server = ServerClock()
        self._permits = Reservations()
        self._gap_s = 0.0
        self._members = 1
        self._asking: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self._resumes_at = self._ask_again_at = -math.inf
        self._refused_s = 0.0
        self._stopped = False
        self._alarm = Alarm(clock)
        self._telling: set[asyncio.Task[Any]] = set()
        self._in_turn = asyncio.Lock()

    @property
    def is_stopped(self) -> bool:
        return self._stopped

    def stop(self) -> None:
        """End a wait for a permit, now and from now on."""
        self._stopped = True
        self._alarm.ring()
        self._connection.stop()

    async def aclose(self) -> None:
        """Tell the others what is still to be told, where that is quick, and ask no more."""
        self.stop()
        if self._telling:
            await asyncio.wait(self._telling, timeout=_FAREWELL_S)
        tasks = [*self._telling, *filter(None, [self._asking])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def take(self, rate: SharedRate) -> Reservation | None:
        """Wait until one request may leave; None after `stop`. One task at a time may call this."""
        while not self._stopped:
            now = self._clock.now()
            due = self._permits.next_at(now, rate.rate(now))
            self._ask_ahead(rate)
            if due is None:
                await self._wait_for_answer()
            elif due > now:
                _log.debug("%s has its next permit in %.3f s", self._member, due - now)
                is_exact = self._gap_s >= STRICT_GAP_S
                await self._alarm.wait(now, min(due, self._asks_at(now)), is_exact=is_exact)
            else:
                used = self._permits.use(now, rate.rate(now))
                self._ask_ahead(rate)
                return used
        return None

    def give_back(self, unused: Reservation) -> None:
        """The permit was not used: it is good for the next request, if that comes soon enough."""
        self._permits.give_back(unused)

    async def _wait_for_answer(self) -> None:
        if self._failure is not None:
            raise self._failure
        now = self._clock.now()
        if self._asking is None:
            self._log_refusal(now)
            await self._alarm.wait(now, self._ask_again_at, is_exact=False)
            self._refused_s += self._clock.now() - now  # pragma: no cover - see pyproject.toml
        else:
            _log.debug("%s waits for Redis to answer with permits of the account", self._member)
            await self._alarm.wait(now, math.inf, is_exact=False)

    def _log_refusal(self, now: float) -> None:
        _log.debug(
            "the account has no permit for %s for %.3f s, and is asked again in %.3f s: %s",
            self._member,
            max(self._resumes_at - now, 0.0),
            max(self._ask_again_at - now, 0.0),
            "429s of another run pause it" if self._resumes_at > now else "its rate was cut",
        )

    def _ask_ahead(self, rate: SharedRate) -> None:
        """Have permits asked for, where those that there are do not last until an answer comes."""
        now = self._clock.now()
        is_held_up = self._failure is not None or now < self._ask_again_at
        if self._asking is not None or is_held_up or self._stopped:
            return
        if self._permits.ahead_s(now) < self._lead_s:
            self._asking = asyncio.create_task(self._ask(rate))

    def _asks_at(self, now: float) -> float:
        """When the next permits are to be asked for; inf while some are."""
        if self._asking is not None:
            return math.inf
        return max(now + self._permits.ahead_s(now) - self._lead_s, self._ask_again_at)

    @property
    def _lead_s(self) -> float:
        return self._server.round_trip_s * _LEAD + _LEAD_S

    async def _ask(self, rate: SharedRate) -> None:
        try:
            await self._ask_once(rate)
        except Exception as error:  # noqa: BLE001 - whoever waits for a permit is told, a defect too
            self._failure = error
        finally:
            self._asking = None
            self._alarm.ring()
        self._ask_ahead(rate)

    async def _look_at_clock(self) -> None:
        """A call that does nothing else, and so is quick."""
        began_at = self._clock.now()
        seconds, microseconds = await self._connection.call(scripts.NOW, self._keys)
        server_time = int(seconds) + int(microseconds) / 1e6
        self._server.observe(began_at, server_time, self._clock.now())

    async def _ask_once(self, rate: SharedRate) -> None:
        while not self._server.is_known:
            await self._look_at_clock()
        began_at = self._clock.now()
        per_s = rate.rate(began_at)
        wanted = max(1, math.ceil(per_s / self._members * self._lead_s))
        args = (
            *(self._member, repr(per_s), repr(rate.asked), wanted),
            round(self._server.round_trip_s / 2 * 1e6),
            round(self._permits.lateness.slack * 1e6),
            self.probe_after,
            rate.cuts,
        )
        answer = Granted(*await self._connection.call(scripts.TAKE, self._keys, *args))
        now = self._clock.now()
        if not self._server.observe(began_at, answer.now_us / 1e6, now):
            self._permits.drop()
        self._members, self._gap_s = answer.members, answer.gap_us / 1e6
        if self._server.is_known:
            times = [self._server.local(at_us / 1e6) for at_us in answer.times_us]
            self._permits.add(times, answer.slack_ppm / 1e6, answer.kinds.split())
        first = self._server.local(answer.first_us / 1e6)
        self._resumes_at = -math.inf if answer.permits else first
        self._ask_again_at = min(self._resumes_at, now + _LONGEST_SLEEP_S)
        # An answer that may be older than this run's own cut must not take that back.
        if not self._telling:
            rate.follow(now, answer.cuts, answer.curve, answer.cut_age_us / 1e6)
        self._hold_to(rate, float(answer.lowest))

    def _hold_to(self, rate: SharedRate, lowest: float) -> None:
        if lowest < min(rate.asked, rate.limit):
            self._warn(
                f"another run on the account has --rate {lowest:g}: the lowest holds for all, here"
                f" instead of {rate.asked:g}"
            )
        rate.limit = lowest

    @property
    def paused_s(self) -> float:
        """Seconds for which Redis was away, or gave no permit to this run, so far."""
        return self._refused_s + self._connection.down_s

    def pause(self, now: float) -> Pause | None:
        """Why nobody gets a permit; None where nothing is in the way."""
        if self._connection.is_down:
            return Pause(REASON, 0.0)
        return (
            Pause(PauseReason.THROTTLED, self._resumes_at - now) if self._resumes_at > now else None
        )

    def cut(self, cuts: int, curve: str) -> None:
        """This run was answered 429 and has cut its rate: so must the others."""
        self._tell(scripts.CUT, cuts, curve)

    def tolerates_bursts(self) -> None:
        """This run's probe was let through: all may leave early now and then."""
        self._tell(scripts.TOLERATED)

    def notice(self, event: Event) -> None:
        """Where 429s pause this run, they pause all, and this run probes alone."""
        match event:
            case (
                OutageBegan(reason=PauseReason.THROTTLED)
                | ProbeFailed(reason=PauseReason.THROTTLED)
            ):
                pause_us = round((event.next_probe_s + _PROBE_GRACE_S) * 1e6)
                self._tell(scripts.PAUSE, pause_us, self._member)
            case OutageEnded(reason=PauseReason.THROTTLED):
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
