"""The vendor's client: one after the other with a sleep between, or on threads.

URL FILE RATE THREADS: with one thread it sleeps for 1 / RATE after each request; with more, never.
"""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import complycube
from complycube.error import ComplyCubeAPIError

_own = threading.local()


def complete(session_id: str) -> None:
    if not hasattr(_own, "client"):
        _own.client = complycube.ComplyCubeClient("test_benchmark0000")
    try:
        _own.client.workflow_sessions.complete(session_id)
    except ComplyCubeAPIError as error:
        sys.stderr.write(f"{session_id}: {error}\n")


def one_by_one(ids: list[str], rate: float) -> None:
    for session_id in ids:
        complete(session_id)
        time.sleep(1 / rate)


def on_threads(ids: list[str], threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(complete, ids):
            pass


def main() -> None:
    url, file, rate, threads = sys.argv[1:]
    complycube._base_url = url
    ids = Path(file).read_text().split()
    if int(threads) == 1:
        one_by_one(ids, float(rate))
    else:
        on_threads(ids, int(threads))


if __name__ == "__main__":
    main()
