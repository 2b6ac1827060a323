"""What a client asks before it sends a request for which a connection is open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Departure(Protocol):
    """When a request may leave, once its connection is open."""

    async def __call__(self, is_open: Callable[[], bool], *, at_once: bool) -> bool:
        """Wait until the request may leave.

        `is_open` tells whether its connection still is; `at_once`, that there was one without
        waiting. Returns False where it is not to be sent any more. Where True is returned and the
        connection has been closed meanwhile, this is asked again with another one.
        """
        ...
