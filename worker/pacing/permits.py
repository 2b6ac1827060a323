"""The right to send one request, and whoever else has a say in it."""

from __future__ import annotations

import math
from typing import Protocol

import msgspec

from worker.core.events import Pause


class Permit(msgspec.Struct, frozen=True, gc=False):
    """The right to send one request from `at` until `latest`, in seconds of the pacer's clock.

    `number` grows with each permit of a pacer, and tells its requests apart. `gap_s` is the time
    since the permit before it.
    """

    number: int
    at: float
    gap_s: float = math.inf
    latest: float = math.inf

    def until(self, latest: float) -> Permit:
        """The permit, which may not be used later than at `latest` either."""
        return self if latest >= self.latest else msgspec.structs.replace(self, latest=latest)


class Permits(Protocol):
    """Permits that a run shares with others, and needs beside its own."""

    async def take(self) -> None:
        """Wait for one, or until `stop`. One task at a time may call this."""
        ...

    def give_back(self) -> None:
        """The one that was taken last was not used after all."""
        ...

    def stop(self) -> None:
        """End a `take` that waits, now and from now on."""
        ...

    @property
    def paused_s(self) -> float:
        """Seconds in which nobody of this run got one, so far."""
        ...

    def pause(self, now: float) -> Pause | None:
        """Why nobody gets one at the moment; None where nothing is in the way."""
        ...
