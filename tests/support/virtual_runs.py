"""Whole runs at the default settings, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import cast

from tests.support.run_harness import ids
from tests.support.virtual_time import VirtualClock, run_virtually
from worker.app.composition import limits_of, make_pacer, policy_of, statuses_of
from worker.core.events import Observer, RunFinished
from worker.core.outcomes import Item
from worker.core.tally import Tally
from worker.ledger import Ledger
from worker.reading.reader import ReadingClient
from worker.runner import EventDispatcher, Runner
from worker.runner.ports import ClientPort
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
    directory: Path,
    some: int | Sequence[str] | ListSource,
    api: ClientPort,
    settings: Settings | None = None,
    before: Callable[[Runner], None] = lambda _: None,
    *,
    clock: VirtualClock | None = None,
    observers: Sequence[Observer] = (),
) -> RunFinished:
    """Complete `some`, or so many, ids with the default settings, so at 8/s for a live key."""
    settings, clock = settings or Settings(), clock or VirtualClock()
    source = _source_of(some)

    async def go() -> RunFinished:
        dispatcher, tally = EventDispatcher(observers), Tally()
        key = ApiKey("live_0123456789abcdef")
        pacer = make_pacer(settings, key, clock, dispatcher.notice, first_probe=None)
        runner = Runner(
            run="r",
            results="r.jsonl",
            source=source,
            client=api,
            pacer=pacer,
            ledger=Ledger.open(directory / "r.jsonl", "r"),
            dispatcher=dispatcher,
            clock=clock,
            policy=policy_of(settings),
            limits=limits_of(settings, clock, tick_s=1.0),
            random=Random(1),
            tally=tally,
            statuses=statuses_of(
                settings, cast(ReadingClient, api), pacer, clock, tally, lambda _: None
            ),
        )
        before(runner)
        return await runner.run()

    return run_virtually(go())


def _source_of(some: int | Sequence[str] | ListSource) -> ListSource:
    if isinstance(some, ListSource):
        return some
    return ListSource(ids(some) if isinstance(some, int) else list(some))
