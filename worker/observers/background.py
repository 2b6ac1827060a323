"""What may be held up for any length of time, done in a thread that nobody has to wait for."""

from __future__ import annotations

import atexit
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, Generic, TypeVar

_MOST_WAITING: Final = 10_000
_MOST_AT_ONCE: Final = 64
_PATIENCE_S: Final = 2.0

Item = TypeVar("Item")


class Background(Generic[Item]):
    """Passes items on to `consume`, in their order, in a daemon thread of its own.

    A terminal that is held, a pipe that nobody reads or a share that hangs holds up that thread
    alone, and a daemon thread does not hold up the exit. `consume` is given some of what waits,
    says how many it has dealt with, one at least, and must not raise.
    """

    def __init__(self, consume: Callable[[Sequence[Item]], int]) -> None:
        self._consume = consume
        self._waiting: deque[Item] = deque()
        self._changed = threading.Condition()
        self._moved_at = 0.0
        self._thread: threading.Thread | None = None

    @property
    def is_behind(self) -> bool:
        """Whether anything waits, or is being dealt with."""
        return bool(self._waiting)

    def put(self, item: Item) -> bool:
        """Whether the item was taken: no more than 10,000 may wait."""
        with self._changed:
            if len(self._waiting) >= _MOST_WAITING:
                return False
            if not self._waiting:
                self._moved_at = time.monotonic()
            self._waiting.append(item)
            self._changed.notify_all()
            if self._thread is None:
                self._start()
        return True

    def drain(self) -> bool:
        """Wait until nothing waits, but no longer than 2 s in which nothing has moved."""
        with self._changed:
            while self._waiting:
                left_s = self._moved_at + _PATIENCE_S - time.monotonic()
                if left_s <= 0:
                    return False
                self._changed.wait(left_s)
        return True

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name="background", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # The system grants no more threads: better held up than silent.
            self._work_off()
            return
        self._thread = thread
        atexit.register(self.drain)

    def _work_off(self) -> None:
        while self._waiting:
            for _ in range(self._consume(list(islice(self._waiting, _MOST_AT_ONCE)))):
                self._waiting.popleft()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                items = list(islice(self._waiting, _MOST_AT_ONCE))
            done = self._consume(items)
            with self._changed:
                for _ in range(done):
                    self._waiting.popleft()
                self._moved_at = time.monotonic()
                self._changed.notify_all()
