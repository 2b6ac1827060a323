"""The stand-in of the API as a process of its own, for proofs that outlast one event loop."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def sandbox_process(*options: str) -> Iterator[str]:
    """One without a limit, that answers after 2 to 40 ms and has three faults for an id at most;
    gives its URL."""
    command = [sys.executable, "-m", "worker", "sandbox", "--port", "0", "--limit", "0"]
    command += ["--latency", "2ms-40ms", "--fault-limit", "3", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()
            process.communicate(timeout=10)


def stats_of(url: str) -> dict[str, Any]:
    """What it has counted so far."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/sandbox/stats") as answer:  # noqa: S310
        content: dict[str, Any] = json.load(answer)
    return content
