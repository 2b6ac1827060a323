"""Outages and throttling cost time and no session; beyond patience they end the run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.run_harness import (
    RunHarness,
    faulty,
    harness,
    ids,
    sessions,
)
from tests.support.sandbox_caller import until
from worker.core.errors import ExitCode
from worker.core.events import (
    OutageBegan,
    OutageEnded,
)
from worker.sandbox.config import OutageMode
from worker.sandbox.faults import Faults

QUICK: dict[str, Any] = {
    "stop_outage_after": 3,
    "retry_backoff_initial": "5ms",
    "retry_backoff_max": "20ms",
}


@pytest.mark.parametrize("mode", OutageMode)
async def test_an_outage_costs_time_and_no_session(tmp_path: Path, mode: OutageMode) -> None:
    some = ids(60)
    given = QUICK | {"retry_max_attempts": 4, "api_timeout": "500ms", "pace_concurrency": 8}
    async with harness(tmp_path, sessions(some, latency_s=(0.005, 0.01)), **given) as (
        here,
        sandbox,
    ):
        run = asyncio.create_task(here.run(some))
        await until(lambda: sandbox.sessions.triggered >= 10)
        await sandbox.begin_outage(mode)
        await until(lambda: here.runner.snapshot().pause is not None)
        await until(lambda: here.runner.tally.retries > 15)
        assert here.runner.snapshot().tally.paused_s > 0
        await sandbox.end_outage()
        ended = await run
        assert (ended.code, ended.outcomes) == (ExitCode.OK, {"processing": 60})
        assert sandbox.sessions.triggered_twice == {}
        assert ended.seen.of(OutageBegan)
        assert ended.seen.of(OutageEnded)
        assert ended.finished.tally.paused_s > 0


async def test_an_outage_beyond_patience_stops_the_run_and_the_next_goes_on(
    tmp_path: Path,
) -> None:
    some = ids(60)
    given = QUICK | {"stop_patience": "200ms"}
    async with harness(tmp_path, sessions(some), **given) as (here, sandbox):
        await sandbox.begin_outage(OutageMode.REFUSE)
        first = await here.run(some)
        assert first.code is ExitCode.UNAVAILABLE
        assert "stayed unavailable for longer than" in first.finished.reason
        assert "connect_failed" in first.finished.reason
        assert set(first.outcomes) <= {"connect_failed"}
        assert first.finished.tally.not_attempted > 20
        assert first.seen.of(OutageBegan)
        await sandbox.end_outage()
        assert (await here.run()).outcomes == {"processing": 60}
        assert sandbox.sessions.triggered_twice == {}


@pytest.mark.parametrize("count", [1, 3, 60])
async def test_who_is_throttled_for_good_is_told_so(tmp_path: Path, count: int) -> None:
    some = ids(count)
    async with harness(tmp_path, faulty(some, "throttle=1"), stop_patience="150ms") as (
        here,
        sandbox,
    ):
        first = await here.run(some)
        assert first.code is ExitCode.UNAVAILABLE
        told = f"{first.finished.reason} {first.finished.advice}"
        assert "quota is exhausted" in told
        assert first.outcomes == {}
        sandbox.service.faults = Faults()
        again = await here.run()
        assert (again.code, again.outcomes) == (ExitCode.OK, {"processing": count})


@pytest.mark.parametrize("retry_after", ["86400", "date+86400"])
@pytest.mark.parametrize("count", [1, 60])
async def test_nobody_waits_longer_than_patience_because_a_server_says_so(
    tmp_path: Path, count: int, retry_after: str
) -> None:
    config = faulty(ids(count), "throttle=1", retry_after=retry_after)
    async with harness(tmp_path, config, stop_patience="1h") as (here, _):
        ended = await here.run(ids(count))
        assert ended.code is ExitCode.UNAVAILABLE
        assert ended.finished.elapsed_s < 30


async def test_a_deadline_ends_an_outage_too(tmp_path: Path) -> None:
    given = QUICK | {"stop_max_duration": "1s", "stop_patience": "1h"}
    ended = await RunHarness(tmp_path, **given).run(ids(50))
    assert ended.code is ExitCode.STOPPED
    assert ended.finished.tally.paused_s > 0
    assert ended.finished.tally.not_attempted > 0
