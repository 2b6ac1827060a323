"""A model of Redis' streams and consumer groups, as far as the scripts use them.

Source: the reference of the commands at redis.io, held against a real server by a test.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

Place = tuple[int, int]
"""An entry's id: milliseconds and a number within them."""

NO_PLACE: Final = (0, 0)
_ATTEMPTS: Final = 10
"""XAUTOCLAIM looks at so many pending entries for each that it may claim."""


def parse(text: str) -> Place:
    if text == "-":
        return NO_PLACE
    if text == "+":
        return (2**64, 0)
    first, _, second = text.removeprefix("(").partition("-")
    return int(first), int(second or 0) + text.startswith("(")


def show(place: Place) -> str:
    return f"{place[0]}-{place[1]}"


class Pending(msgspec.Struct):
    """Who was given an entry, when, and how often."""

    consumer: str
    delivered_ms: int
    count: int


class Group:
    """The consumers of a stream, and what they were given and have not acknowledged."""

    def __init__(self, last: Place) -> None:
        self.last = last
        self.read = 0
        self.consumers: set[str] = set()
        self.pending: dict[Place, Pending] = {}

    def places(self) -> list[Place]:
        return sorted(self.pending)


class Stream:
    """Entries in the order of their places. Times are milliseconds of the server's clock."""

    def __init__(self) -> None:
        self.entries: dict[Place, list[str]] = {}
        self.groups: dict[str, Group] = {}
        self._last: Place = NO_PLACE
        self._added = 0

    def add(self, fields: list[str], now_ms: int) -> str:
        is_later = now_ms > self._last[0]
        self._last = (now_ms, 0) if is_later else (self._last[0], self._last[1] + 1)
        self.entries[self._last] = fields
        self._added += 1
        return show(self._last)

    def delete(self, places: list[str]) -> int:
        return sum(self.entries.pop(parse(place), None) is not None for place in places)

    def between(self, first: str, last: str) -> list[Any]:
        begin, end = parse(first), parse(last)
        return [self._entry(place) for place in self.entries if begin <= place <= end]

    def read(self, group: Group, consumer: str, most: int, now_ms: int) -> list[Any]:
        """Entries that the group was never given."""
        group.consumers.add(consumer)
        fresh = [place for place in self.entries if place > group.last][:most]
        for place in fresh:
            group.pending[place] = Pending(consumer, now_ms, 1)
            group.last = place
        group.read += len(fresh)
        return [self._entry(place) for place in fresh]

    def claim_idle(
        self, group: Group, consumer: str, idle_ms: int, start: str, most: int, now_ms: int
    ) -> list[Any]:
        """XAUTOCLAIM: where to go on, what was claimed, and what has been deleted meanwhile."""
        group.consumers.add(consumer)
        claimed: list[Any] = []
        deleted: list[str] = []
        attempts = _ATTEMPTS * most
        waiting = [place for place in group.places() if place >= parse(start)]
        while waiting and attempts and len(claimed) + len(deleted) < most:
            attempts -= 1
            place = waiting.pop(0)
            pending = group.pending[place]
            if place not in self.entries:
                del group.pending[place]
                deleted.append(show(place))
            elif now_ms - pending.delivered_ms >= idle_ms:
                group.pending[place] = Pending(consumer, now_ms, pending.count + 1)
                claimed.append(self._entry(place))
        return [show(waiting[0] if waiting else NO_PLACE), claimed, deleted]

    def claim(
        self, group: Group, consumer: str, idle_ms: int, places: list[str], given_ms: int
    ) -> Iterator[str]:
        """XCLAIM with JUSTID: the entries are the consumer's as if given at `given_ms`."""
        for text in places:
            place = parse(text)
            pending = group.pending.get(place)
            if pending is None:
                continue
            if place not in self.entries:
                del group.pending[place]
            elif given_ms - pending.delivered_ms >= idle_ms or idle_ms == 0:
                group.consumers.add(consumer)
                group.pending[place] = Pending(consumer, given_ms, pending.count)
                yield text

    def describe(self, name: str, group: Group) -> list[Any]:
        """One group, as XINFO GROUPS tells of it."""
        return [
            *("name", name, "consumers", len(group.consumers), "pending", len(group.pending)),
            *("last-delivered-id", show(group.last), "entries-read", group.read),
            *("lag", self._lag(group)),
        ]

    def _lag(self, group: Group) -> int:
        return sum(place > group.last for place in self.entries)

    def _entry(self, place: Place) -> list[Any]:
        return [show(place), self.entries[place]]
