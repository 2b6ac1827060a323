"""`complete-sessions find`, against the stand-in: what it prints, what it costs, how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis

from tests.support.program import environment, run, started
from tests.support.redis_server import needs_redis, redis_server
from tests.support.sandbox_caller import until
from worker.core.errors import ExitCode
from worker.sandbox.config import OutageMode, SandboxConfig
from worker.sandbox.faults import parse_faults
from worker.sandbox.server import Sandbox
from worker.sandbox.sessions import Status

SECOND = 0x68000000  # 2025-04-16


def made_at(second: int, number: int = 0) -> str:
    return f"{second:08x}{number:016x}"


IDS = [made_at(SECOND + number) for number in range(6)]
HELD = dict.fromkeys(IDS[:4], Status.STARTED) | {
    IDS[4]: Status.COMPLETE,
    IDS[5]: Status.CANCELLED,
}


async def found(server: Sandbox, *args: str, code: int = 0) -> list[str]:
    finished = await run("find", "--base-url", server.url, *args)
    assert finished.code == code, finished.err
    return finished.out.splitlines()


async def test_it_prints_started_sessions_the_newest_first_and_changes_nothing() -> None:
    async with Sandbox(SandboxConfig(sessions=HELD, limit=0)) as server:
        assert await found(server) == IDS[3::-1]
        assert server.stats()["requests"]["by_method"] == {"GET": 1}
        assert server.stats()["triggered"] == 0


async def test_thousands_of_sessions_cost_a_request_for_each_thousand() -> None:
    ids = [made_at(SECOND + number // 1500, number) for number in range(4200)]
    config = SandboxConfig(sessions=dict.fromkeys(ids, Status.STARTED), limit=0)
    async with Sandbox(config) as server:
        assert sorted(await found(server)) == sorted(ids)
        assert server.stats()["requests"]["total"] <= 8


async def test_filters_narrow_down_what_is_printed() -> None:
    async with Sandbox(SandboxConfig(sessions=HELD, limit=0)) as server:
        assert await found(server, "--status", "complete", "--status", "cancelled") == [
            IDS[5],
            IDS[4],
        ]
        assert await found(server, "--limit", "2") == [IDS[3], IDS[2]]
        span = ("--created-after", "2025-04-16T19:07:45Z", "--created-before", "2025-04-17")
        assert await found(server, *span) == IDS[3:0:-1]


async def test_a_session_that_was_touched_lately_is_left_alone() -> None:
    async with Sandbox(SandboxConfig(sessions=HELD, limit=0)) as server:
        server.sessions[IDS[3]].updated_ms = 4_000_000_000_000
        assert await found(server) == IDS[2::-1]
        assert await found(server, "--idle", "0") == IDS[3::-1]


async def test_json_lines_hold_the_fields_of_the_list() -> None:
    async with Sandbox(SandboxConfig(sessions=HELD, limit=0)) as server:
        first = json.loads((await found(server, "--json"))[0])
        assert (first["id"], first["status"]) == (IDS[3], "started")
        assert first["createdAt"] == first["updatedAt"]


async def test_faults_are_waited_out() -> None:
    faults = parse_faults("http_500=0.2", "throttle=0.2", "reset_after=0.2", limit=6)
    async with Sandbox(SandboxConfig(sessions=HELD, limit=0, faults=faults)) as server:
        for _ in range(3):
            assert await found(server) == IDS[3::-1]


async def test_an_outage_beyond_patience_ends_with_4() -> None:
    async with Sandbox(SandboxConfig(sessions=HELD, limit=0)) as server:
        await server.begin_outage(OutageMode.UNAVAILABLE)
        env = environment(STOP_PATIENCE="0.3", STOP_OUTAGE_AFTER="3")
        finished = await run("find", "--base-url", server.url, env=env)
    assert finished.code == ExitCode.UNAVAILABLE
    assert "stayed unavailable for longer than --patience" in finished.err
    assert "the API is away" in finished.err


async def test_quiet_hours_say_until_when() -> None:
    now = datetime.now().astimezone()
    begun, over = (f"{now + timedelta(hours=hours):%H:00}" for hours in (0, 2))
    async with Sandbox(SandboxConfig(sessions=HELD, limit=0)) as server:
        arguments = ("find", "--base-url", server.url, "--rate", f"{begun},0 {over},50")
        async with started(*arguments) as process:
            said = await process.says("nothing is sent")
            process.signal(signal.SIGTERM)
            assert (await process.ends()).code == ExitCode.TERMINATED
    assert said.strip().endswith(over)
    assert server.stats()["requests"]["total"] == 0


@needs_redis
async def test_with_shared_it_takes_its_requests_from_the_common_budget(tmp_path: Path) -> None:
    config = SandboxConfig(sessions=HELD, limit=0)
    async with Sandbox(config) as server:
        with redis_server(tmp_path) as redis:
            shared = ("--shared", redis.url, "--account", "ours")
            assert await found(server, *shared) == IDS[3::-1]
            with contextlib.closing(Redis.from_url(redis.url)) as client:
                assert b"complete-sessions:{account:ours}:budget" in client.keys("*")
        finished = await run(
            "find", *shared, "--base-url", server.url, env=environment(STOP_PATIENCE="0.3")
        )
    assert finished.code == ExitCode.UNAVAILABLE
    assert "Redis is away" in finished.err
    assert server.stats()["requests"]["total"] == 1


async def test_a_list_that_is_refused_ends_with_3() -> None:
    config = SandboxConfig(sessions=HELD, limit=0, list_refused=True)
    async with Sandbox(config) as server:
        finished = await run("find", "--base-url", server.url)
    assert finished.code == ExitCode.REFUSED
    assert "the API refuses its list: unauthorized: Your plan does not include" in finished.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--created-after", "soon"], "--created-after is 'soon'; it must be a date or a time"),
        (["--created-after", "0001-01-01"], "--created-after is '0001-01-01'; it must be a date"),
        (["--created-before", "9999-12-31T23:59:59-10:00"], "it must be a date or a time"),
        (["--idle", "long"], "--idle is 'long'; it must be a duration"),
        (["--status", "open"], "'open' is not one of"),
        (["--limit", "0"], "--limit"),
    ],
)
async def test_an_option_that_cannot_be_meant_is_a_usage_error(args: list[str], said: str) -> None:
    finished = await run("find", *args)
    assert finished.code == ExitCode.USAGE
    assert said in finished.err


async def test_sessions_that_are_older_than_the_calendar_are_none() -> None:
    async with Sandbox(SandboxConfig(sessions=HELD, limit=0)) as server:
        finished = await run("find", "--base-url", server.url, "--idle", "800000000h")
    assert (finished.code, finished.out) == (ExitCode.OK, "")


async def test_a_signal_ends_it_with_its_own_code() -> None:
    async with Sandbox(SandboxConfig(sessions=HELD, limit=0)) as server:
        await server.begin_outage(OutageMode.BLACKHOLE)
        async with started("find", "--base-url", server.url) as process:
            await until(lambda: server.stats()["in_flight"] == 1)
            process.signal(signal.SIGTERM)
            finished = await process.ends()
    assert finished.code == ExitCode.TERMINATED
    assert "SIGTERM was received" in finished.err


async def test_find_and_run_are_one_pipeline_that_may_be_killed_and_run_again(
    tmp_path: Path,
) -> None:
    ids = [made_at(SECOND + number) for number in range(300)]
    config = SandboxConfig(
        sessions=dict.fromkeys(ids, Status.STARTED), limit=0, latency_s=(0.01, 0.01)
    )
    log = tmp_path / "night.results.jsonl"
    async with Sandbox(config) as server:
        worker = f"{sys.executable} -m worker"
        url = f"--base-url {server.url}"
        line = f"{worker} find {url} | {worker} run - {url} --results {log}"
        async with started(program=("sh", "-c", line), start_new_session=True) as process:
            await until(lambda: server.sessions.triggered >= 20)
            os.killpg(process.pid, signal.SIGKILL)
            await process.ends()
        finished = await run(program=("sh", "-c", line))
        assert finished.code == 0, finished.err
        assert server.sessions.triggered == len(ids)
        assert server.sessions.triggered_twice == {}
