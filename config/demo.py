"""`make demo`: a whole run against a local stand-in of the API that fails now and then.

Nothing is sent beyond this machine, and nothing is left behind. Own settings and keys play no part.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

IDS = Path(__file__).with_name("demo-ids.txt")
UNKNOWN_PREFIX = "00000000"
SANDBOX = "sandbox --port 0 --sessions sessions.txt --latency 80ms --seed 1"
FAULTS = "--fault http_500=0.02 --fault http_502_html=0.02 --fault reset_after=0.02"


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="complete-sessions-") as directory:
        write_input(Path(directory))
        os.chdir(directory)
        return rehearse()


def write_input(directory: Path) -> None:
    """The ids to complete, and those of them that exist."""
    ids = IDS.read_text(encoding="utf-8").splitlines(keepends=True)
    known = [line for line in ids if not line.startswith(UNKNOWN_PREFIX)]
    (directory / "ids.txt").write_text("".join(ids), encoding="utf-8")
    (directory / "sessions.txt").write_text("".join(known), encoding="utf-8")


def rehearse() -> int:
    with sandbox() as url:
        code = call(f"run ids.txt --base-url {url}")
        call("report ids.results.jsonl")
        triggered_twice = show_stats(url)
    return code or int(triggered_twice)


@contextmanager
def sandbox() -> Iterator[str]:
    """Runs the stand-in on a free port; yields its URL."""
    with subprocess.Popen(
        command(f"{SANDBOX} {FAULTS} &"), env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            announcement = process.stdout.readline()
            print(announcement, end="")
            yield announcement.split()[-1]
        finally:
            process.terminate()


def call(arguments: str) -> int:
    return subprocess.run(command(arguments), env=environment(), check=False).returncode


def command(arguments: str) -> list[str]:
    print(f"\n$ complete-sessions {arguments}", flush=True)
    return [sys.executable, "-m", "worker", *arguments.removesuffix(" &").split()]


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WORKER_")}
    return kept | {"COMPLYCUBE_API_KEY": "live_rehearsal"}


def show_stats(url: str) -> bool:
    """Prints what the stand-in has seen; returns whether a session was triggered twice."""
    address = url.removesuffix("/v1") + "/sandbox/stats"
    print(f"\n$ curl {address}")
    with urlopen(address, timeout=10) as answer:
        stats: dict[str, Any] = json.load(answer)
    print(json.dumps(stats, indent=2))
    return bool(stats["triggered_twice"])


if __name__ == "__main__":
    sys.exit(main())
