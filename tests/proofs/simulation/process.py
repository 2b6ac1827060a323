"""A process that may die at any step of its loop, and at any operation of its disk."""

from __future__ import annotations

from collections.abc import Callable


class Died(BaseException):
    """The process is dead: nothing of it may act any more."""


class Process:
    """Alive until `die`. `at_step` says what befalls it before which step of its loop."""

    def __init__(self) -> None:
        self.is_alive = True
        self.disk_operations = 0
        self.at_step: dict[int, Callable[[], None]] = {}

    def die(self) -> None:
        self.is_alive = False
        raise Died

    def check(self) -> None:
        """Raise Died where the process is dead."""
        if not self.is_alive:
            raise Died

    def before_step(self, number: int) -> None:
        act = self.at_step.get(number)
        if act is not None:
            act()
