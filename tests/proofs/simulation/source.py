"""A source that gives its ids at once or one by one, may grow while it is read, or break off."""

from __future__ import annotations

import asyncio
from random import Random

from tests.proofs.simulation.scenario import Scenario
from worker.core.errors import SourceError
from worker.core.outcomes import Item


class SimulatedSource:
    """The ids of `scenario` as a file or, if it is a pipe, by and by.

    `fails_after` so many of them it fails. Of a file that grows, the last ids are there only when
    the others were read.
    """

    name = "simulated"

    def __init__(self, scenario: Scenario, random: Random, fails_after: int | None) -> None:
        ids = [session.id for session in scenario.sessions]
        if scenario.repeats:
            ids += ids[::3]
        items = [Item(text, line) for line, text in enumerate(ids, 1)]
        self._fails = fails_after is not None and fails_after < len(ids)
        if self._fails:
            del items[fails_after:]
        there = max(len(items) - scenario.grows, 1)
        self._left, self._later = items[:there], items[there:]
        self._random = random
        self._gap_s = scenario.pipe_gap_s if scenario.is_pipe else None
        self._interrupted = asyncio.Event()
        self.total = None if scenario.is_pipe else there
        self.failed = False
        self.gave_at = 0.0

    @property
    def exhausted(self) -> bool:
        return not self._left and not self._fails and not self.failed

    async def take(self, most: int) -> list[Item]:
        if self._gap_s is not None and self._left and not self._interrupted.is_set():
            try:
                async with asyncio.timeout(self._random.expovariate(1.0 / self._gap_s)):
                    await self._interrupted.wait()
            except TimeoutError:
                most = min(most, 1)
        return self._give(most)

    async def take_rest(self, most: int) -> list[Item]:
        return self._give(most)

    def interrupt(self) -> None:
        self._interrupted.set()

    def _give(self, most: int) -> list[Item]:
        items, self._left = _split(self._left, most)
        if items and not self._interrupted.is_set():
            self.gave_at = asyncio.get_running_loop().time()
        if not self._left:
            self._left, self._later = self._later, []
        if not items and self._fails:
            self._fails, self.failed = False, True
            raise SourceError("the simulated source breaks off")
        return items


def _split(items: list[Item], most: int) -> tuple[list[Item], list[Item]]:
    return items[:most], items[most:]
