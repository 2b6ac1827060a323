"""Whole runs at the default settings, in virtual time."""

from __future__ import annotations

from pathlib import Path
from random import Random

from tests.support.run_harness import ids
from tests.support.virtual_time import VirtualClock, run_virtually
from worker.app.run import limits_of, make_pacer, policy_of
from worker.core.events import RunFinished
from worker.core.outcomes import Item
from worker.ledger import Ledger
from worker.runner import EventDispatcher, Runner
from worker.runner.ports import Client
from worker.settings import ApiKey, Settings


class ListSource:
    """Ids from memory."""

    name = "list"
    exhausted = False

    def __init__(self, some: list[str]) -> None:
        self._items = [Item(session_id, line) for line, session_id in enumerate(some, 1)]
        self.total = len(some)

    async def take(self, most: int) -> list[Item]:
        taken, self._items = self._items[:most], self._items[most:]
        self.exhausted = not self._items
        return taken

    take_rest = take

    def interrupt(self) -> None:
        """Never waits."""


def run_by_default(
    directory: Path, count: int, api: Client, settings: Settings | None = None
) -> RunFinished:
    """Complete `count` ids with the default settings, so at 8/s for a live key."""
    settings = settings or Settings()

    async def go() -> RunFinished:
        clock, dispatcher = VirtualClock(), EventDispatcher([])
        runner = Runner(
            run="r",
            results="r.jsonl",
            source=ListSource(ids(count)),
            client=api,
            pacer=make_pacer(settings, ApiKey("live_0123456789abcdef"), clock, dispatcher.notice),
            ledger=Ledger.open(directory / "r.jsonl", "r"),
            dispatcher=dispatcher,
            clock=clock,
            policy=policy_of(settings),
            limits=limits_of(settings, clock, tick_s=1.0),
            random=Random(1),
        )
        return await runner.run()

    return run_virtually(go())
