"""A source for the event loop: it is read on a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections import deque
from typing import Final

from worker.core.outcomes import Item
from worker.sources.source import Source

_BATCH = 1024

_log: Final = logging.getLogger(__name__)


class AsyncSource:
    """A source whose waits do not stop the loop. One `take` or `take_rest` at a time.

    What the thread reads comes into `_kept` first, so that a cancelled `take` loses nothing. It
    reads on while fewer than `ahead` items are there, whether somebody waits for them or not. The
    thread is a daemon: the interpreter's exit must not wait for one that waits for its input.
    """

    def __init__(self, source: Source, *, ahead: int = 0) -> None:
        self.name = source.name
        self._ahead = ahead
        self._source = source
        self._kept: deque[Item] = deque()
        self._failure: Exception | None = None
        self._over = False
        self._asked = False
        self._answered = asyncio.Event()
        self._requests: queue.SimpleQueue[asyncio.AbstractEventLoop | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def total(self) -> int | None:
        return self._source.total

    @property
    def notes(self) -> list[str]:
        """As `Source.notes`."""
        return self._source.notes

    @property
    def exhausted(self) -> bool:
        """Whether the end of the input was seen, and everything before it was taken."""
        return self._source.exhausted and not self._asked and not self._kept

    async def take(self, most: int) -> list[Item]:
        """As `Source.take`."""
        while not self._kept:
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            if self._over:
                return []
            self._ask()
            _log.debug("waiting for more of %s", self.name)
            await self._answered.wait()
        items = [self._kept.popleft() for _ in range(min(most, len(self._kept)))]
        self._read_ahead()
        return items

    async def take_rest(self, most: int) -> list[Item]:
        """As `take`, but never waits for a writer, from now on."""
        self.interrupt()
        return await self.take(most)

    def interrupt(self) -> None:
        """As `Source.interrupt`."""
        self._source.interrupt()

    def close(self) -> None:
        """As `Source.close`."""
        self._kept.clear()
        self._over = True
        self._source.close()
        self._requests.put(None)

    def _ask(self) -> None:
        if self._asked:
            return
        if self._thread is None:
            thread = threading.Thread(target=self._serve, name="source", daemon=True)
            thread.start()  # Where it cannot, nobody may wait for it.
            self._thread = thread
        self._asked = True
        self._answered.clear()
        self._requests.put(asyncio.get_running_loop())

    def _serve(self) -> None:
        while (loop := self._requests.get()) is not None:
            items, failure = self._read()
            try:
                loop.call_soon_threadsafe(self._answer, items, failure)
            except RuntimeError:  # The loop is closed: nobody waits any more.
                return

    def _read(self) -> tuple[list[Item], Exception | None]:
        try:
            return self._source.take(max(_BATCH, self._ahead)), None
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            return [], error

    def _answer(self, items: list[Item], failure: Exception | None) -> None:
        self._kept.extend(items)
        self._failure = failure
        self._over = not items
        self._asked = False
        self._answered.set()
        self._read_ahead()

    def _read_ahead(self) -> None:
        if len(self._kept) < self._ahead and not self._over and self._failure is None:
            self._ask()
