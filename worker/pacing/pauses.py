"""How long nothing but probes left. Time is an argument."""

from __future__ import annotations

import math


class Pauses:
    """Adds up the run's own pauses, and those of what it shares: what holds the run up twice counts
    once. Seconds of one clock."""

    def __init__(self) -> None:
        self._own_s = 0.0
        self._began_at = math.inf
        self._shared_s = 0.0
        self._asked: tuple[float, float] | None = None

    @property
    def is_own(self) -> bool:
        """Whether the run itself has paused."""
        return self._began_at != math.inf

    def begin(self, now: float) -> None:
        """The run itself pauses."""
        self._began_at = now

    def end(self, now: float) -> None:
        """The run goes on."""
        self._own_s += now - self._began_at
        self._began_at = math.inf

    def begin_shared(self, now: float, shared_s: float) -> None:
        """A shared permit is asked for, after so many seconds in which there was none."""
        self._asked = self._own_so_far(now), shared_s

    def end_shared(self, now: float, shared_s: float) -> None:
        """It was given, after so many seconds in which there was none."""
        self._shared_s += self._held_up_s(now, shared_s)
        self._asked = None

    def total_s(self, now: float, shared_s: float) -> float:
        """Seconds so far, where nobody got a shared permit for `shared_s` of them."""
        return self._own_so_far(now) + self._shared_s + self._held_up_s(now, shared_s)

    def _own_so_far(self, now: float) -> float:
        return self._own_s + max(now - self._began_at, 0.0)

    def _held_up_s(self, now: float, shared_s: float) -> float:
        """How long the permit that is asked for was held up, if this run was not anyway."""
        if self._asked is None:
            return 0.0
        own_before_s, shared_before_s = self._asked
        own_s = self._own_so_far(now) - own_before_s
        return max(shared_s - shared_before_s - own_s, 0.0)
