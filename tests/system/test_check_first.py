"""`run --check-first` by pages of the list, against the stand-in: what is sent, at what cost."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tests.support.program import environment, run, started
from tests.support.redis_server import SAFE, needs_redis, redis_server
from tests.support.run_harness import records_in
from tests.support.sandbox_caller import until
from worker.core.clock import Clock
from worker.core.outcomes import Outcome, Record, Via
from worker.sandbox.config import SandboxConfig
from worker.sandbox.server import Sandbox
from worker.sandbox.sessions import Status

SECOND = 0x68000000  # 2025-04-16


def made(count: int, every_s: int = 30) -> list[str]:
    return [f"{SECOND + number * every_s:08x}{number:016x}" for number in range(count)]


def sandbox(held: dict[str, Status], **given: Any) -> Sandbox:
    return Sandbox(msgspec.structs.replace(SandboxConfig(sessions=held, limit=0), **given))


def has_triggered(server: Sandbox, number: int) -> Callable[[], bool]:
    return lambda: server.sessions.triggered >= number


async def check_first(
    server: Sandbox, directory: Path, ids: Sequence[str], *more: str, code: int = 0, **env: str
) -> dict[str, Record]:
    """One run over the ids; what it recorded."""
    backlog = directory / "backlog.txt"
    backlog.write_text("".join(f"{each}\n" for each in ids))
    finished = await run(
        "run", backlog, "--check-first", "--base-url", server.url, *more, env=environment(**env)
    )
    assert finished.code == code, finished.err
    assert finished.last["balanced"]
    records = records_in(directory / "backlog.results.jsonl")
    return {record.id: record for record in records}


async def test_five_thousand_ids_of_which_nine_tenths_are_done_cost_620_requests_at_most(
    tmp_path: Path,
) -> None:
    ids = made(5000)
    done = set(random.Random(1).sample(ids, 4500))
    held = {each: Status.COMPLETE if each in done else Status.STARTED for each in ids}
    shuffled = random.Random(2).sample(ids, 5000)
    async with sandbox(held) as server:
        records = await check_first(server, tmp_path, shuffled)
        stats = server.stats()
        assert stats["requests"]["by_method"]["POST"] == 500
        assert stats["requests"]["total"] <= 620
        assert (stats["triggered"], stats["triggered_twice"]) == (500, {})
    assert {record.via for each, record in records.items() if each in done} == {Via.CHECK}
    assert {record.outcome for record in records.values()} == {Outcome.PROCESSING}
    assert len(records) == 5000


async def test_each_status_has_its_outcome_and_only_what_is_started_is_completed(
    tmp_path: Path,
) -> None:
    ids = made(60)
    held = {each: list(Status)[at % 5] for at, each in enumerate(ids[:50])}
    async with sandbox(held) as server:
        records = await check_first(server, tmp_path, ids, code=1)
        assert server.stats()["requests"]["by_method"] == {"GET": 1 + 10, "POST": 10}
        assert server.stats()["triggered"] == 10
    told = {each: (record.outcome, record.via) for each, record in records.items()}
    for each, status in held.items():
        match status:
            case Status.STARTED:
                assert told[each] == (Outcome.PROCESSING, Via.COMPLETE)
            case Status.PROCESSING | Status.COMPLETE:
                assert told[each] == (Outcome.PROCESSING, Via.CHECK)
            case Status.ABANDONED | Status.CANCELLED:
                assert told[each] == (Outcome.FAILED, Via.CHECK)
                error = records[each].error
                assert error is not None
                assert error.type == f"session_{status}"
    assert {told[each] for each in ids[50:]} == {(Outcome.NOT_FOUND, Via.CHECK)}


async def test_a_list_that_is_refused_is_one_notice_and_a_get_for_each(tmp_path: Path) -> None:
    ids = made(30)
    async with sandbox(dict.fromkeys(ids, Status.STARTED), list_refused=True) as server:
        backlog = tmp_path / "backlog.txt"
        backlog.write_text("\n".join(ids))
        finished = await run("run", backlog, "--check-first", "--base-url", server.url)
        assert finished.code == 0
        assert server.stats()["requests"]["by_method"] == {"GET": 31, "POST": 30}
    notices = [each["message"] for each in finished.events if each["event"] == "notice"]
    (told_once,) = [text for text in notices if "read one by one" in text]
    assert "the API refuses its list: unauthorized: Your plan does not include" in told_once


async def test_on_a_live_pipe_nothing_waits_for_a_batch(tmp_path: Path) -> None:
    ids = made(3)
    results = ("--results", tmp_path / "r.jsonl")
    async with sandbox(dict.fromkeys(ids, Status.STARTED)) as server:
        async with started("run", "-", "--check-first", *results, "--base-url", server.url) as one:
            for number, each in enumerate(ids, 1):
                await one.write(f"{each}\n")
                await until(has_triggered(server, number))
            one.close_input()
            assert (await one.ends()).code == 0
        assert server.stats()["requests"]["by_method"] == {"GET": 3, "POST": 3}


async def test_killed_and_run_again_it_completes_each_once_though_the_list_lags(
    tmp_path: Path,
) -> None:
    ids = made(1500)
    config = {"list_lag_s": 3600.0, "latency_s": (0.002, 0.002)}
    backlog = tmp_path / "backlog.txt"
    backlog.write_text("\n".join(ids))
    async with sandbox(dict.fromkeys(ids, Status.STARTED), **config) as server:
        command = ("run", backlog, "--check-first", "--base-url", server.url)
        for killed_at in (200, 700):
            async with started(*command) as process:
                await until(has_triggered(server, killed_at))
                process.signal(signal.SIGKILL)
                await process.ends()
        finished = await run(*command)
        assert finished.code == 0, finished.err
        assert server.sessions.triggered == 1500
        assert server.sessions.triggered_twice == {}


async def test_what_a_list_that_lags_calls_started_is_read_where_its_completion_is_rejected(
    tmp_path: Path,
) -> None:
    ids = made(40)
    held = {each: Status.CANCELLED if at == 0 else Status.STARTED for at, each in enumerate(ids)}
    async with sandbox(held, list_lag_s=3600.0, conflict=True) as server:
        clock = Clock()
        for each in ids[:10]:
            server.sessions[each].change(Status.COMPLETE, clock.now(), 0)
        server.sessions[ids[10]].change(Status.CANCELLED, clock.now(), 0)
        records = await check_first(server, tmp_path, ids, code=1)
        assert server.stats()["triggered"] == 29
    told = {each: record.outcome for each, record in records.items()}
    assert {told[each] for each in ids[1:10]} == {Outcome.PROCESSING}
    assert {records[each].via for each in ids[1:10]} == {Via.CHECK}
    error = records[ids[10]].error
    assert error is not None
    assert error.type == "session_cancelled"


@needs_redis
async def test_a_queue_is_worked_off_with_check_first_on_a_shared_budget(tmp_path: Path) -> None:
    ids = made(200)
    held = {each: Status.STARTED if at % 4 else Status.COMPLETE for at, each in enumerate(ids)}
    async with sandbox(held) as server:
        with redis_server(tmp_path, *SAFE) as redis:
            env = environment(SHARED_URL=redis.url)
            text = "\n".join(ids)
            assert (await run("enqueue", "-", "--queue", "q", input=text, env=env)).code == 0
            results = ("--results", tmp_path / "r.jsonl", "--base-url", server.url)
            finished = await run("run", "--queue", "q", "--check-first", *results, env=env)
        assert finished.code == 0, finished.err
        assert (server.sessions.triggered, server.sessions.triggered_twice) == (150, {})
    assert {record.outcome for record in records_in(tmp_path / "r.jsonl")} == {Outcome.PROCESSING}
