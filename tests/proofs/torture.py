"""Kill the program at random moments, run it again till it is done, and count what came of it.

`python -m tests.proofs.torture --seeds 20 --ids 2000` is `make torture`; a short one is in the
suite. Each seed has a sandbox of its own, with faults switched on, whose count of triggered checks
is the proof; ids, faults and the moments of the kills all follow from the seed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.support.sandbox_process import sandbox_process, stats_of

FAULTS = (
    "http_500=0.02",
    "http_503_after=0.02",
    "http_502_html=0.02",
    "reset_before=0.02",
    "reset_after=0.02",
    "reset_midway=0.02",
    "malformed_json=0.01",
    "empty_body=0.01",
    "foreign_200=0.01",
    "throttle=0.01",
)
_MOST_RUNS = 60


@dataclass
class Verdict:
    """What one seed came to; `problems` is empty where every promise was kept."""

    seed: int
    kills: int = 0
    runs: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


def torture(
    seed: int,
    ids: int,
    kills: int,
    directory: Path,
    lives_s: tuple[float, float] = (0.3, 4.0),
) -> Verdict:
    """One seed: `kills` SIGKILLs over a backlog of `ids`, then runs until one exits with 0.

    A run that is to be killed lives for a time within `lives_s`, in seconds.
    """
    random = Random(seed)
    verdict = Verdict(seed)
    backlog = directory / "backlog.txt"
    backlog.write_text("".join(f"{random.getrandbits(96):024x}\n" for _ in range(ids)))
    started = time.monotonic()
    faults = [f"--fault={fault}" for fault in FAULTS]
    held = ("--sessions", str(backlog), "--seed", str(seed))
    with sandbox_process(*held, *faults) as url:
        while verdict.runs < _MOST_RUNS:
            verdict.runs += 1
            kill_after = random.uniform(*lives_s) if verdict.kills < kills else None
            code = _run(url, backlog, kill_after)
            verdict.kills += code == -9
            if code == 0:
                break
            if code not in (-9, 1):
                verdict.problems.append(f"run {verdict.runs} exited with {code}")
        else:
            verdict.problems.append(f"not done after {_MOST_RUNS} runs")
        verdict.problems += check(backlog, stats_of(url))
    verdict.seconds = time.monotonic() - started
    return verdict


def check(backlog: Path, counted: dict[str, Any]) -> Iterator[str]:
    """Hold the results log against the sandbox's own count."""
    ids = set(backlog.read_text().split())
    last: dict[str, str] = {}
    log = backlog.with_suffix(".results.jsonl").read_text()
    for number, line in enumerate(log.splitlines(), 1):
        try:
            record = json.loads(line)
            last[record["id"]] = record["outcome"]
        except (ValueError, KeyError):
            yield f"line {number} is no record: {line[:80]!r}"
    if not log.endswith("\n"):
        yield "the last line has no newline"
    if lost := ids - last.keys():
        yield f"{len(lost)} ids have no outcome, as {min(lost)}"
    if wrong := {key for key, outcome in last.items() if outcome != "processing"}:
        yield f"{len(wrong)} ids ended otherwise than processing, as {min(wrong)}"
    if twice := counted["triggered_twice"]:
        yield f"{len(twice)} sessions were triggered twice, as {min(twice)}"
    if counted["triggered"] != len(ids):
        yield f"{counted['triggered']} of {len(ids)} sessions were triggered"
    if backlog.with_suffix(".results.jsonl.inflight").exists():
        yield "the journal was left behind"


def _run(url: str, backlog: Path, kill_after: float | None) -> int:
    environ = os.environ | {
        "COMPLYCUBE_API_KEY": "test_torture0000",
        "WORKER_RETRY_BACKOFF_INITIAL": "20ms",
        "WORKER_RETRY_BACKOFF_MAX": "200ms",
        "WORKER_RETRY_THROTTLE_INITIAL": "50ms",
        "WORKER_RETRY_THROTTLE_MAX": "200ms",
        "WORKER_RETRY_SETTLE": "0s",
        "WORKER_STOP_OUTAGE_AFTER": "100",
        "WORKER_API_TIMEOUT": "5s",
    }
    command = [sys.executable, "-m", "worker", "run", str(backlog), "-q"]
    command += ["--base-url", url, "--rate", "400", "--max-attempts", "8"]
    with subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL) as process:
        try:
            return process.wait(kill_after)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="make torture")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--ids", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=7)
    options = parser.parse_args()
    failed = 0
    for seed in range(1, options.seeds + 1):
        with tempfile.TemporaryDirectory() as directory:
            verdict = torture(seed, options.ids, options.kills, Path(directory))
        failed += bool(verdict.problems)
        sys.stdout.write(
            f"seed {seed:>3}: {options.ids} ids, {verdict.kills} kills, {verdict.runs} runs,"
            f" {verdict.seconds:5.1f} s: {'; '.join(verdict.problems) or 'kept every promise'}\n"
        )
        sys.stdout.flush()
    sys.stdout.write(f"{options.seeds - failed} of {options.seeds} seeds kept every promise\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
