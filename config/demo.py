"""`make demo`: a whole run against a local stand-in of the API that fails now and then.

Nothing is sent beyond this machine, and nothing is left behind. Own settings and keys play no part.
"""

from __future__ import annotations

import json
import os
import signal
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
SANDBOX = "sandbox --port 0 --sessions sessions.txt --limit 20 --latency 20ms-200ms --seed 1"
FAULTS = "--fault http_500=0.02 --fault http_502_html=0.01 --fault reset_after=0.02"
RUN = "run ids.txt --rate 16 --log-format console"


def main() -> int:
    # Ctrl-C is for the run alone, to show how it stops; whatever ends this ends the sandbox too.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
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
        code = call(f"{RUN} --base-url {url}")
        call("report ids.results.jsonl")
        triggered_twice = show_stats(url)
    return code or int(triggered_twice > 0)


@contextmanager
def sandbox() -> Iterator[str]:
    """Runs the stand-in on a free port; yields its URL."""
    with subprocess.Popen(
        command(f"{SANDBOX} {FAULTS} &"),
        env=environment(),
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
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
    # The sandbox never acts late: nothing need settle for half a minute.
    return kept | {"COMPLYCUBE_API_KEY": "test_rehearsal", "WORKER_RETRY_SETTLE": "1s"}


def show_stats(url: str) -> int:
    """Prints what the stand-in has seen; returns how many sessions were triggered twice."""
    address = url.removesuffix("/v1") + "/sandbox/stats"
    print(f"\n$ curl {address}")
    with urlopen(address, timeout=10) as answer:
        stats: dict[str, Any] = json.load(answer)
    print(json.dumps(stats))
    twice = len(stats["triggered_twice"])
    print(
        f"\nThe sandbox ran the checks of {stats['triggered']} sessions, of {twice} more than once."
    )
    return twice


if __name__ == "__main__":
    sys.exit(main())
