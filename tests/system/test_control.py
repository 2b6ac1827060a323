"""A run without a terminal, watched and steered from another shell."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import Finished, Process, run, started
from tests.support.run_harness import backlog, ids, results, sessions
from tests.support.sandbox_caller import until
from worker.app.control.address import socket_path
from worker.core.errors import ExitCode
from worker.ledger.disk import Disk
from worker.ledger.journal import Header, Journal, journal_path
from worker.sandbox.server import Sandbox

SLOW = ("--rate", "20")


async def told(log: Path) -> dict[str, Any]:
    done = await run("status", log, "--json")
    assert (done.code, done.err) == (0, "")
    answer: dict[str, Any] = json.loads(done.out)
    return answer


async def control(log: Path, *what: str) -> Finished:
    done = await run("control", log, *what)
    assert (done.code, done.err) == (0, "")
    return done


async def begun(process: Process) -> None:
    await process.says("run_started")


async def test_run_is_slowed_paused_resumed_and_stopped_from_another_shell(tmp_path: Path) -> None:
    log = results(tmp_path)
    async with (
        Sandbox(sessions(ids(5000))) as sandbox,
        started("run", backlog(tmp_path, *ids(5000)), "--base-url", sandbox.url, *SLOW) as process,
    ):
        await begun(process)
        await until(lambda: sandbox.sessions.triggered > 3)
        before = await told(log)
        assert (before["running"], before["pid"]) == (True, process.pid)
        assert (before["total"], before["rate_allowed"], before["pause"]) == (5000, 20.0, None)
        while (await told(log))["eta_s"] is None:
            pass
        slowed = (await control(log, "--rate", "2")).out
        assert "asked for: 2" in slowed
        assert "left" not in slowed, "what was estimated for another rate is not told"
        assert (await told(log))["rate_allowed"] == 2.0
        await control(log, "--pause")
        paused = await told(log)
        assert paused["pause"] == {"reason": "held", "until": None}
        assert (paused["rate_allowed"], paused["eta_s"]) == (0.0, None)
        triggered = sandbox.sessions.triggered
        await control(log, "--resume", "--rate", "00:00,500")
        await until(lambda: sandbox.sessions.triggered > triggered + 20)
        assert (await told(log))["rate_asked"] == "500"
        assert "stopping" in (await control(log, "--stop")).out
        ended = await process.ends()
    assert ended.code == ExitCode.TERMINATED
    assert "asked the run to end" in ended.last["reason"]
    changes = [event for event in ended.events if event["event"] == "controlled"]
    assert [event["change"] for event in changes] == [
        "the rate is 2 from now on",
        "the run pauses",
        "the rate is 500 from now on",
        "the run goes on",
        "the run ends",
    ]
    assert all("(process " in event["by"] for event in changes)
    assert not socket_path(log).exists()
    after = await told(log)
    assert (after["running"], after["exit_code"], after["run"]) == (False, 143, before["run"])
    assert sandbox.sessions.triggered_twice == {}


async def test_nothing_leaves_a_run_that_is_held(tmp_path: Path) -> None:
    log = results(tmp_path)
    async with (
        Sandbox(sessions(ids(5000))) as sandbox,
        started("run", backlog(tmp_path, *ids(5000)), "--base-url", sandbox.url, *SLOW) as process,
    ):
        await begun(process)
        await control(log, "--pause")
        at_rest = sandbox.stats()["requests"]["total"]
        for _ in range(3):
            await told(log)
        assert sandbox.stats()["requests"]["total"] <= at_rest + 1
        process.signal(signal.SIGTERM)
        assert (await process.ends()).code == ExitCode.TERMINATED


async def test_control_without_a_run_says_so(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    done = await run("control", tmp_path / "log", "--pause")
    assert (done.code, done.out) == (ExitCode.SOME_FAILED, "")
    assert "no run is on that writes to" in done.err


@pytest.mark.parametrize(
    "wrong", [[], ["--pause", "--resume"], ["--rate", "nonsense"], ["--rate", "00:00,0"]]
)
async def test_control_that_makes_no_sense_is_wrong_usage(tmp_path: Path, wrong: list[str]) -> None:
    assert (await run("control", tmp_path / "log", *wrong)).code == ExitCode.USAGE


async def test_run_that_was_killed_is_told_of(tmp_path: Path) -> None:
    log = results(tmp_path)
    async with Sandbox(sessions(ids(5000))) as sandbox:
        given = ("run", backlog(tmp_path, *ids(5000)), "--base-url", sandbox.url, *SLOW)
        async with started(*given) as process:
            await begun(process)
            await until(lambda: sandbox.sessions.triggered > 3)
            process.signal(signal.SIGKILL)
            await process.ends()
        assert socket_path(log).exists()
        after = await told(log)
        assert (after["running"], after["exit_code"]) == (False, None)
        assert after["reason"].startswith("it died, or had no room")
        async with started(*given) as again:
            await begun(again)
            assert (await told(log))["pid"] == again.pid


async def test_a_run_on_another_host_is_told_of_and_has_not_died(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    header = Header("r1", 2**22 + 1, "2026-11-26T01:02:03.456Z", host="another")
    journal = Journal(Disk(), journal_path(log), header, ids(3))
    there = await told(log)
    assert (there["running"], there["pid"], there["host"]) == (True, 2**22 + 1, "another")
    said = await run("status", log)
    assert said.out.startswith("run r1 is on: process 4194305 on another, since ")
    journal.close()
    after = await told(log)
    assert (after["running"], after["pid"]) == (False, None)
    assert after["reason"].startswith("it died, or had no room")


async def test_sigusr1_says_where_the_run_stands_and_never_ends_it(tmp_path: Path) -> None:
    async with (
        Sandbox(sessions(ids(5000))) as sandbox,
        started(
            "run", backlog(tmp_path, *ids(5000)), "--base-url", sandbox.url, *SLOW, "-q"
        ) as process,
    ):
        await until(lambda: sandbox.sessions.triggered > 3)
        process.signal(signal.SIGUSR1)
        line = await process.says("status")
        assert " of 5,000 done, 0 failed, " in line
        process.signal(signal.SIGTERM)
        assert (await process.ends()).code == ExitCode.TERMINATED
