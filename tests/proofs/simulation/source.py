"""A source that gives its ids at once or one by one, and may break off."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random

from worker.core.errors import SourceError
from worker.core.outcomes import Item


class SimulatedSource:
    """`ids` as a file or, with `is_pipe`, by and by; `fails_after` so many of them it fails."""

    name = "simulated"

    def __init__(
        self, ids: Sequence[str], random: Random, *, is_pipe: bool, fails_after: int | None
    ) -> None:
        self._left = [Item(text, line) for line, text in enumerate(ids, 1)]
        self._fails = fails_after is not None and fails_after < len(ids)
        if self._fails:
            del self._left[fails_after:]
        self._random = random
        self._is_pipe = is_pipe
        self._interrupted = asyncio.Event()
        self.total = None if is_pipe else len(ids)
        self.failed = False
        self.given = 0

    @property
    def exhausted(self) -> bool:
        return not self._left and not self._fails and not self.failed

    async def take(self, most: int) -> list[Item]:
        if self._is_pipe and self._left and not self._interrupted.is_set():
            try:
                async with asyncio.timeout(self._random.expovariate(1.0)):
                    await self._interrupted.wait()
            except TimeoutError:
                most = min(most, 1)
        return self._give(most)

    async def take_rest(self, most: int) -> list[Item]:
        return self._give(most)

    def interrupt(self) -> None:
        self._interrupted.set()

    def _give(self, most: int) -> list[Item]:
        items, self._left = self._left[:most], self._left[most:]
        if not items and self._fails:
            self._fails, self.failed = False, True
            raise SourceError("the simulated source breaks off")
        self.given += len(items)
        return items
