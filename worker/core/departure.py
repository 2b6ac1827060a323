"""What a client asks before it sends a request for which a connection is open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Departure(Protocol):
    """When a request may leave, once its connection is open."""

    def leaves_at_once(self) -> bool:
        """Let the request leave now: asked first, where a connection was there without waiting.

        False where it must wait for its turn.
        """
        ...

    async def __call__(self, is_open: Callable[[], bool]) -> bool:
        """Wait until the request may leave.

        `is_open` tells whether its connection still is. Returns False where it is not to be sent
        any more. Where True is returned and the connection has been closed meanwhile, this is asked
        again with another one.
        """
        ...
