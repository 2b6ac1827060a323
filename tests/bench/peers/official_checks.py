"""The vendor's client, on threads: reads each session, and completes it if it is still started.

URL FILE THREADS.
"""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import complycube

_own = threading.local()


def complete_if_started(session_id: str) -> None:
    if not hasattr(_own, "client"):
        _own.client = complycube.ComplyCubeClient("test_benchmark0000")
    sessions = _own.client.workflow_sessions
    if sessions.get(session_id).status == "started":
        sessions.complete(session_id)


def main() -> None:
    url, file, threads = sys.argv[1:]
    complycube._base_url = url
    with ThreadPoolExecutor(int(threads)) as pool:
        for _ in pool.map(complete_if_started, Path(file).read_text().split()):
            pass


if __name__ == "__main__":
    main()
