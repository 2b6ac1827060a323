"""How many files and connections this process may have open at once."""

from __future__ import annotations

import resource
from typing import Final

from worker.errors import UsageError

_FILES: Final = 64
"""What a run opens apart from its connections, with room to spare."""


def allow_connections(count: int) -> None:
    """See to it that so many connections can be open, or raise UsageError.

    A connection that this process may not open would count as the API's failure; and a log that
    could not be put away in the end, as a full disk.
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
