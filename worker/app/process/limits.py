"""How many files and connections this process may have open at once."""

from __future__ import annotations

import resource
from typing import Final

from worker.core.errors import UsageError

_FILES: Final = 64
"""What a run opens apart from its connections, with room to spare."""


def allow_connections(count: int) -> None:
    """See to it that so many connections can be open, or raise UsageError.

    Without room for its connections a run would blame the API for those that it cannot open, and
    the disk for the journal that it cannot put away at its end.
    """
    needed = count + _FILES
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY or needed <= allowed:
        return
    if most != resource.RLIM_INFINITY and needed > most:
        raise UsageError(
            f"{count} requests in flight need {needed} open files, and no more than {most} may be",
            "Lower --concurrency (pace.concurrency), or raise the limit (ulimit -n)",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, most))
