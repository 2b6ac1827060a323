"""How many files, connections and threads this process may have at once."""

from __future__ import annotations

import resource
import threading
from contextlib import ExitStack
from typing import Final

from worker.core.errors import UsageError, WorkerError

_FILES: Final = 64
"""What a run opens apart from its connections, with room to spare."""


_THREADS: Final = 8
"""For the source, the log, what is shown, the metrics, and the four that libuv aborts without."""


def allow_threads() -> None:
    """Raise WorkerError where the threads of a run cannot be started, before anything is begun."""
    over = threading.Event()
    with ExitStack() as stack:
        stack.callback(over.set)
        for _ in range(_THREADS):
            try:
                threading.Thread(target=over.wait, name="trial", daemon=True).start()
            except RuntimeError as error:
                raise WorkerError(
                    f"this user may start no more threads: {error}",
                    "Raise the limit of processes (ulimit -u; TasksMax, pids.max of a container)",
                ) from error


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
