"""`complete-sessions audit`: logs against the stand-in's own account, and what it costs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.log_samples import record, write_log
from tests.support.program import Finished, environment, run
from worker.cli.audit import batches
from worker.cli.log_arguments import LogLines
from worker.core.errors import ExitCode
from worker.core.outcomes import Outcome, Record
from worker.report.aggregation import Aggregator
from worker.sandbox.config import OutageMode, SandboxConfig
from worker.sandbox.server import Sandbox
from worker.sandbox.sessions import Status

SECOND = 0x68000000  # 2025-04-16


def made(number: int) -> str:
    return f"{SECOND + 20 * number:08x}{number:016x}"


# The outcome of the log, the session's status, and how they differ.
CASES: list[tuple[str, Status | None, str | None]] = [
    ("processing", Status.PROCESSING, None),
    ("processing", Status.COMPLETE, None),
    ("processing", Status.STARTED, "lost"),
    ("processing", None, "gone"),
    ("processing", Status.CANCELLED, "ended"),
    ("processing", Status.ABANDONED, "ended"),
    ("failed", Status.STARTED, None),
    ("failed", Status.CANCELLED, None),
    ("failed", None, None),
    ("failed", Status.PROCESSING, "done"),
    ("failed", Status.COMPLETE, "done"),
    ("not_found", None, None),
    ("not_found", Status.STARTED, "found"),
    ("not_found", Status.COMPLETE, "found"),
]
IDS = [made(number) for number in range(len(CASES))]
HELD = {each: case[1] for each, case in zip(IDS, CASES, strict=True) if case[1] is not None}
KINDS = ("lost", "gone", "ended", "done", "found", "unread")
EXPECTED = {
    kind: {each for each, case in zip(IDS, CASES, strict=True) if case[2] == kind} for kind in KINDS
}


def recorded(session_id: str, outcome: str, **fields: Any) -> Record:
    error = {"failed": "http_503", "not_found": "resource_not_found"}.get(outcome)
    return record(session_id, outcome, error, **fields)


@pytest.fixture
def log(tmp_path: Path) -> str:
    records = [recorded(each, case[0]) for each, case in zip(IDS, CASES, strict=True)]
    return write_log(tmp_path / "night.results.jsonl", *records)


async def audit(server: Sandbox, *args: str | Path, code: int = 1) -> Finished:
    finished = await run("audit", *args, "--base-url", server.url)
    assert finished.code == code, finished.err
    return finished


def sandbox(**given: Any) -> Sandbox:
    return Sandbox(msgspec.structs.replace(SandboxConfig(sessions=HELD, limit=0), **given))


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize("given", [{}, {"list_refused": True}])
async def test_each_kind_of_disagreement_is_found_and_nothing_is_changed(
    log: str, given: dict[str, Any]
) -> None:
    before = contents(Path(log).parent)
    async with sandbox(**given) as server:
        told = json.loads((await audit(server, log, "--json")).out)
        assert {kind: set(told[kind]) for kind in KINDS} == EXPECTED
        assert (told["ids"], told["agree"]) == (len(IDS), 6)
        assert told["requests"] == server.stats()["requests"]["total"]
        assert server.stats()["requests"]["by_method"] == {"GET": told["requests"]}
    assert contents(Path(log).parent) == before


async def test_the_table_counts_each_kind_and_says_what_to_do(log: str) -> None:
    async with sandbox() as server:
        shown = (await audit(server, log)).out
    assert shown.startswith(f"14 ids, held against {server.url} with 5 requests: 6 agree, 8 do not")
    assert "  lost    1  the log says processing, the API says started\n" in shown
    assert "  ended   2  the log says processing, the API says cancelled or abandoned\n" in shown
    assert "  lost: Complete them after all: audit ... --ids lost | run -" in shown


@pytest.mark.parametrize("kind", ["ended", "unread"])
async def test_ids_of_a_kind_are_printed_to_pipe_on(log: str, kind: str) -> None:
    async with sandbox() as server:
        assert set((await audit(server, log, "--ids", kind)).out.splitlines()) == EXPECTED[kind]


async def test_three_thousand_ids_cost_eight_requests_at_most(tmp_path: Path) -> None:
    ids = [made(number) for number in range(3000)]
    log = write_log(tmp_path / "x.jsonl", *(recorded(each, "processing") for each in ids))
    config = {"sessions": dict.fromkeys(ids, Status.COMPLETE)}
    async with sandbox(**config) as server:
        shown = (await audit(server, log, code=0)).out
        assert "3,000 agree, 0 do not." in shown
        assert "What to do" not in shown
        assert server.stats()["requests"]["total"] <= 8


def test_a_long_log_is_compared_in_parts_each_of_its_own_time(log: str) -> None:
    aggregator = Aggregator()
    aggregator.read("log", [recorded("no id!", "failed"), *LogLines(Path(log))])
    parts = list(batches(aggregator, 4))
    assert [len(part) for part in parts] == [4, 4, 4, 2]
    assert [each for part in parts for each in part] == sorted(IDS)
    assert parts[0][IDS[0]] is Outcome.PROCESSING


async def test_a_list_that_lags_accuses_nobody(tmp_path: Path) -> None:
    held = dict.fromkeys(IDS, Status.STARTED)
    async with sandbox(sessions=held, list_lag_s=3600) as server:
        backlog = tmp_path / "backlog.txt"
        backlog.write_text("".join(f"{each}\n" for each in IDS))
        done = await run("run", backlog, "--base-url", server.url)
        assert done.code == 0
        assert (await audit(server, tmp_path / "backlog.results.jsonl", code=0)).err == ""


async def test_the_latest_outcome_counts_also_of_two_logs(tmp_path: Path) -> None:
    late = {"run": "late", "at": "2026-11-24T01:00:00.000Z"}
    first = write_log(
        tmp_path / "1.jsonl", recorded(IDS[0], "failed"), recorded("no id!", "failed")
    )
    second = write_log(tmp_path / "2.jsonl", recorded(IDS[0], "processing", **late))
    async with sandbox() as server:
        told = json.loads((await audit(server, second, first, "--json", code=0)).out)
    assert (told["ids"], told["agree"]) == (1, 1)


async def test_a_log_of_another_api_is_refused(tmp_path: Path) -> None:
    theirs = "https://api.complycube.com/v1 live 5d0c91aa"
    log = write_log(tmp_path / "x.jsonl", recorded(IDS[0], "processing", target=theirs))
    async with sandbox() as server:
        finished = await audit(server, log, code=ExitCode.USAGE)
        assert f"holds what was sent to {theirs}, and not to {server.url}" in finished.err
        assert server.stats()["requests"]["total"] == 0


async def test_an_empty_log_agrees(tmp_path: Path) -> None:
    log = tmp_path / "x.jsonl"
    log.touch()
    async with sandbox() as server:
        assert (await audit(server, log, code=0)).out.startswith("0 ids, held against")


async def test_an_outage_beyond_patience_ends_with_4_and_a_wrong_key_with_3(log: str) -> None:
    async with sandbox(keys=frozenset({"test_other"})) as server:
        assert "Invalid API key" in (await audit(server, log, code=ExitCode.REFUSED)).err
        await server.begin_outage(OutageMode.UNAVAILABLE)
        env = environment(STOP_PATIENCE="0.3", STOP_OUTAGE_AFTER="3")
        finished = await run("audit", log, "--base-url", server.url, env=env)
    assert finished.code == ExitCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nowhere.jsonl"], "cannot read the results log nowhere.jsonl"),
        ([__file__], "is not a results log"),
        ([], "RESULTS"),
        ([__file__, "--ids", "some"], "'some' is not one of"),
        ([__file__, "--ids", "lost", "--json"], "--json and --ids do not go together"),
    ],
)
async def test_a_mistake_is_a_usage_error(args: list[str], said: str) -> None:
    finished = await run("audit", *args)
    assert finished.code == ExitCode.USAGE
    assert said in finished.err


async def test_what_was_lost_is_completed_by_piping_it_on(log: str) -> None:
    async with sandbox() as server:
        worker = f"{sys.executable} -m worker"
        line = (
            f"{worker} audit {log} --ids lost --base-url {server.url} | {worker} run - --force"
            f" --check-first --results {log} --base-url {server.url}"
        )
        finished = await run(program=("sh", "-c", line))
        assert finished.code == 0, finished.err
        assert server.stats()["triggered"] == 1
        assert (await audit(server, log, "--ids", "lost")).out == ""
