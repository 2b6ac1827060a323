"""A part of a source, for one of several machines: which ids are its own follows from each id."""

from __future__ import annotations

import hashlib
import re
from typing import Final, NamedTuple, Self

from worker.core.outcomes import Item
from worker.sources.asynchronous import AsyncSource

_match: Final = re.compile(r"([1-9][0-9]{0,4})/([1-9][0-9]{0,4})").fullmatch


class Shard(NamedTuple):
    """The `number`-th of so many `parts`, counted from 1."""

    number: int
    parts: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `3/8`; ValueError where it is no such thing."""
        match = _match(text)
        if match is None or int(match[1]) > int(match[2]):
            raise ValueError("a part of a whole, such as 3/8")
        return cls(int(match[1]), int(match[2]))

    def holds(self, session_id: str) -> bool:
        """The same on every machine and in every version: the first 8 bytes of SHA-256."""
        digest = hashlib.sha256(session_id.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") % self.parts == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.parts}"


class ShardedSource:
    """What of a source belongs to a shard. `passed_over` counts the rest, which is no input."""

    def __init__(self, source: AsyncSource, shard: Shard) -> None:
        self.name = f"{source.name}, shard {shard}"
        self.passed_over = 0
        self._source = source
        self._shard = shard

    @property
    def total(self) -> int | None:
        """About how many lines are in the shard."""
        total = self._source.total
        return None if total is None else round(total / self._shard.parts)

    @property
    def notes(self) -> list[str]:
        return self._source.notes

    @property
    def exhausted(self) -> bool:
        return self._source.exhausted

    async def take(self, most: int) -> list[Item]:
        """As `AsyncSource.take`; ids of other parts are read, and left out."""
        while items := await self._source.take(most):
            if own := self._own(items):
                return own
        return []

    async def take_rest(self, most: int) -> list[Item]:
        """As `AsyncSource.take_rest`, in the same way."""
        while items := await self._source.take_rest(most):
            if own := self._own(items):
                return own
        return []

    def interrupt(self) -> None:
        self._source.interrupt()

    def close(self) -> None:
        self._source.close()

    def _own(self, items: list[Item]) -> list[Item]:
        own = [item for item in items if self._shard.holds(item.id)]
        self.passed_over += len(items) - len(own)
        return own
