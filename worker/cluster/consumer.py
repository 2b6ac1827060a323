"""One run's share of a queue: the ids it works on, as a source, and their leases."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Iterable, Sequence
from typing import Final, TypeVar

import msgspec

from worker.cluster.queue import Queue, QueueEntry, QueueGoneError
from worker.core.clock import Clock
from worker.core.outcomes import Item, Record

_T = TypeVar("_T")

RENEWALS: Final = 6
"""How often a lease is renewed before it would be over."""

_POLL_S: Final = 1.0

_log: Final = logging.getLogger(__name__)


class LeaseClock(Clock):
    """Goes on while the machine sleeps, as leases do, where the system has such a clock."""

    _ID: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

    def now(self) -> float:
        return time.clock_gettime(self._ID)


class _Held(msgspec.Struct, frozen=True):
    """The run works on the id, or is about to."""

    place: str


class _Lost(msgspec.Struct, frozen=True):
    """The run works on the id, and another may do so, too: the lease was over."""


class _Back(msgspec.Struct, frozen=True):
    """An id that was lost was given to this run anew; once `is_free` it no longer works on it."""

    place: str
    item: Item
    is_free: bool = False


_State = _Held | _Lost | _Back


class Consumer:
    """What a run holds of a queue: a source of ids, whose leases it renews until they are settled.

    `slots` is how many ids it holds at most, `request_s` how long a request may take. An id whose
    lease was lost may belong to another run; `handed_over` counts those. Where the queue is worked
    off it ends, once nobody adds to it any more; one that `stays` waits for more. `clock` is what
    leases are counted by: a `LeaseClock`.
    """

    def __init__(
        self,
        queue: Queue,
        consumer: str,
        *,
        slots: int,
        lease_s: float,
        request_s: float,
        stays: bool,
        clock: Clock,
    ) -> None:
        self.name = f"queue {queue.name}"
        self.handed_over = 0
        self.stopped = False
        self._queue = queue
        self._consumer = consumer
        self._slots = slots
        self._lease_s = lease_s
        self._request_s = request_s
        self._stays = stays
        self._clock = clock
        self._states: dict[str, _State] = {}
        self._leases: dict[str, float] = {}
        self._sure_until = -math.inf
        self._ended = False
        self._wake = asyncio.Event()

    @property
    def total(self) -> int | None:
        """Unknown: others work on the queue as well."""
        return None

    @property
    def exhausted(self) -> bool:
        return self._ended

    async def take(self, most: int) -> list[Item]:
        """Ids as soon as there are any, and slots for them; [] when the queue is worked off.

        While others hold the last ids it waits: they may yet have to be taken over. So it does
        while somebody adds ids.
        """
        while not (self.stopped or self._ended):
            self._wake.clear()
            room = min(most, self._slots - len(self._places()))
            items = await self._fetch(room) if room > 0 else self._take_free()
            if items or self._ended:
                return items
            _log.debug(
                "no id is taken from the queue: %s",
                "none is free" if room > 0 else f"{self._slots} are in hand, and no more may be",
            )
            await self._clock.wait(self._wake, self._clock.now() + min(_POLL_S, self._lease_s / 4))
        return []

    async def take_rest(self, most: int) -> list[Item]:
        """Nothing: what this run does not take, others do."""
        del most
        return []

    def interrupt(self) -> None:
        self.stopped = True
        self._wake.set()

    def owns(self, id: str) -> bool:
        """Whether the id is this run's to send. A False is said once: the runner forgets it then,
        and may be given it anew."""
        match self._states.get(id):
            case _Held():
                return True
            case _Lost():
                del self._states[id]
                self.handed_over += 1
            case _Back(place, item):
                self._states[id] = _Back(place, item, is_free=True)
                self.handed_over += 1
        return False

    async def is_sure(self) -> bool:
        """Whether a request that leaves now ends before its lease does, so that it cannot meet
        another run's. If it might not, renews the leases before it says so."""
        if self._clock.now() + self._request_s < self._sure_until:
            return True
        _log.debug("nothing is sent before the leases are renewed: one may end before a request")
        await self.renew()
        return False

    async def renew(self) -> None:
        """Begin the leases anew, and learn which ids others have taken over."""
        began_at = self._clock.now()
        ids = {place: session_id for session_id, place in self._places().items()}
        for place in await self._unless_gone(self._queue.renew(self._consumer, list(ids))):
            self._lose(ids[place], place)
        self._begin_leases(ids, began_at)

    def _begin_leases(self, places: Iterable[str], asked_at: float) -> None:
        """The leases of these places began when that was asked for, or later.

        A call may know nothing of what another one brought while it was on its way: each lease ends
        by itself, and the run is sure until the first one does.
        """
        until, known = asked_at + self._lease_s, self._leases
        begun = {place: max(until, known.get(place, until)) for place in places}
        self._leases = {
            place: begun.get(place, known.get(place, -math.inf))
            for place in self._places().values()
        }
        self._sure_until = min(self._leases.values(), default=until)

    async def renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / RENEWALS)
            await self.renew()

    async def settle(self, records: Sequence[Record]) -> None:
        """Tell the queue of outcomes that are on disk here; may be repeated."""
        places = self._places()
        held = [(places[one.id], one) for one in records if one.id in places]
        if held:
            await self._unless_gone(self._queue.settle(self._consumer, held))
        for record in records:
            self._states.pop(record.id, None)
        self._wake.set()

    async def hand_back(self) -> None:
        """Let others go on at once with what is not settled here, and not in flight any more."""
        await self._queue.release(self._consumer)

    async def _fetch(self, room: int) -> list[Item]:
        began_at = self._clock.now()
        entries, is_open = await self._unless_gone(
            self._queue.fetch(self._consumer, self._lease_s, room)
        )
        items = [entry.item for entry in entries if self._is_new(entry)]
        self._begin_leases([entry.place for entry in entries], began_at)
        self._ended = not (is_open or self._stays)
        return self._take_free() + items

    def _is_new(self, entry: QueueEntry) -> bool:
        """Whether to work on it. A lease that was over may also give back what is in hand, even at
        its old place: others may have sent it meanwhile. That waits until the runner has let it
        go."""
        session_id, place = entry.item.id, entry.place
        state = self._states.get(session_id)
        if state is None:
            self._states[session_id] = _Held(place)
            return True
        is_free = isinstance(state, _Back) and state.is_free
        item = Item(session_id, entry.item.line, check_first=True)
        self._states[session_id] = _Back(place, item, is_free)
        return False

    def _take_free(self) -> list[Item]:
        """What has come back and nobody works on any more, to be worked on now."""
        free = [one for one in self._states.values() if isinstance(one, _Back) and one.is_free]
        for one in free:
            self._states[one.item.id] = _Held(one.place)
        return [one.item for one in free]

    def _lose(self, session_id: str, place: str) -> None:
        state = self._states.get(session_id)
        # While Redis was asked the id may have been settled, or have come back at another place.
        if state is None or isinstance(state, _Lost) or state.place != place:
            return
        if isinstance(state, _Back) and state.is_free:
            del self._states[session_id]
        else:
            self._states[session_id] = _Lost()

    def _places(self) -> dict[str, str]:
        """Where the ids that this run has stand in the queue."""
        return {
            session_id: state.place
            for session_id, state in self._states.items()
            if not isinstance(state, _Lost)
        }

    async def _unless_gone(self, answer: Awaitable[_T]) -> _T:
        try:
            return await answer
        except QueueGoneError:
            for session_id, place in self._places().items():
                self._lose(session_id, place)
            raise
