"""The rows, how one is played, and what must be true afterwards."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tests.proofs.crash_matrix import troubles
from tests.proofs.crash_matrix.scene import KILLED, PATIENCE_S, Row, Scene, scene_for
from worker.core.errors import ExitCode

FAULTS: Final = ("http_503_after=0.02", "reset_after=0.02", "reset_before=0.02", "throttle=0.01")
_SLOW: Final = (10.0,) * 4
_REFUSED: Final = frozenset({ExitCode.REFUSED})
_GONE: Final = frozenset({ExitCode.UNAVAILABLE})

ROWS: Final = (
    Row("nothing, 10/s", troubles.nothing, _SLOW, share=0.1),
    Row("nothing, 200/s", troubles.nothing),
    Row("Redis 5 ms away", troubles.nothing, delay_ms=5),
    Row("Redis 50 ms away", troubles.nothing, delay_ms=50),
    Row("Redis 200 ms away", troubles.nothing, delay_ms=200),
    Row("rates 200, 100, 50, 50", troubles.nothing, (200.0, 100.0, 50.0, 50.0), share=0.3),
    Row("worker killed", troubles.kill_worker),
    Row("worker stopped", troubles.stop_worker),
    Row("worker terminated", troubles.terminate_worker),
    Row("late worker", troubles.late_worker),
    Row("late ids, by a pipe", troubles.live_pipe),
    Row("Redis killed", troubles.kill_redis),
    Row("Redis stalled", troubles.stall_redis),
    Row("Redis read-only", troubles.read_only),
    Row("Redis full", troubles.fill_memory),
    Row("Redis failed over", troubles.fail_over, delay_ms=0),
    Row("rights taken", troubles.take_rights, codes=_REFUSED),
    Row("queue evicted", troubles.evict, codes=_GONE),
    Row("queue dropped", troubles.drop, codes=_GONE),
    Row("everything", troubles.everything),
    Row("everything, and faults", troubles.everything, faults=FAULTS),
    Row("everything, 10/s", troubles.everything, _SLOW, share=0.1),
)


@dataclass
class Result:
    """What one run of a row came to; `problems` is empty where every promise was kept."""

    seconds: float
    per_s: float
    most_per_s: int
    problems: list[str] = field(default_factory=list)


def play(row: Row, ids: int, directory: Path, down_s: float = 4.0) -> Result:
    """Run a row with so many ids; Redis is away for `down_s` where the row says so."""
    with scene_for(row, directory) as scene:
        scene.down_s = down_s
        lines = [f"5eb2b61e02df0a00{one:08x}\n" for one in range(ids)]
        if row.happens is troubles.live_pipe:
            ids //= 2
        scene.backlog.write_text("".join(lines[:ids]))
        # Two at once, of which each id must be added by one.
        for process in (scene.enqueue(), scene.enqueue()):
            assert process.wait(PATIENCE_S) == 0
        scene.backlog.write_text("".join(lines))
        started = time.monotonic()
        for _ in row.rates:
            scene.work()
        row.happens(scene, ids)
        codes = {process.wait(PATIENCE_S) for process in scene.workers}
        seconds = time.monotonic() - started
        outcomes, most = scene.outcomes(), scene.stats()["max_accepted_per_s"]
        problems = list(_problems(scene, len(lines), codes, outcomes))
    return Result(seconds, _per_s(outcomes), most, problems)


def _per_s(outcomes: list[dict[str, Any]]) -> float:
    """Outcomes a second, without the beginning and the end, in which not all take part."""
    times = sorted(datetime.fromisoformat(one["at"]).timestamp() for one in outcomes)
    middle = times[len(times) // 10 : len(times) * 9 // 10]
    return (len(middle) - 1) / (middle[-1] - middle[0]) if len(middle) > 1 else 0.0


def _problems(
    scene: Scene, ids: int, codes: set[int], outcomes: list[dict[str, Any]]
) -> Iterator[str]:
    stats, status = scene.stats(), scene.status()
    counts = Counter(outcome["id"] for outcome in outcomes)
    if missing := ids - len(counts):
        yield f"{missing} ids have no outcome"
    if more := [one for one, count in counts.items() if count > 1]:
        yield f"{len(more)} ids have more than one outcome, as {more[0]}"
    if wrong := [one for one in outcomes if one["outcome"] != "processing"]:
        yield f"{len(wrong)} ids ended otherwise than processing, as {wrong[0]}"
    if twice := stats["triggered_twice"]:
        yield f"{len(twice)} sessions were triggered twice, as {min(twice)}"
    if stats["triggered"] != ids:
        yield f"{stats['triggered']} of {ids} sessions were triggered"
    if status["queued"] != status["settled"] or status["missing"] or status["left"]:
        yield f"the queue does not add up: {status}"
    if unexpected := codes - scene.row.codes - {0, KILLED, ExitCode.TERMINATED}:
        yield f"exit codes {sorted(unexpected)}: {_errors(scene)}"


def _errors(scene: Scene) -> str:
    lines = (scene.directory / "errors.log").read_text().splitlines()
    return "\n".join(line for line in lines if '"level": "error"' in line) or lines[-1]
