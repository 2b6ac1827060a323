"""How a run ends for machines: the account, the exit code, the command; and the mail for people."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import gateway
from tests.support.program import environment, run
from tests.support.run_harness import backlog, faulty, ids, results, sessions
from worker.cli.schema import schema_of
from worker.sandbox.server import Sandbox

jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")


@cache
def validator(what: str) -> Any:
    schema = schema_of(what)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


async def test_account_log_and_records_are_what_their_schemas_say(tmp_path: Path) -> None:
    account = tmp_path / "end.json"
    some = ids(60)
    faults = faulty(some[:50], "http_500=0.3", "throttle=0.1", "http_502_html=0.1")
    async with Sandbox(faults) as sandbox:
        done = await run(
            *("run", backlog(tmp_path, *some, "no id"), "--base-url", sandbox.url, "-v"),
            *("--summary-json", account, "--max-attempts", "2"),
            env=environment(LOG_PROGRESS_EVERY="10ms"),
        )
    written = json.loads(account.read_text())
    validator("summary").validate(written)
    assert (written["exit_code"], written["run"]) == (done.code, done.last["run"])
    assert written["work"]["ids"]["input"] == 61
    assert written["target"].startswith(sandbox.url)
    for event in done.events:
        validator("event").validate(event)
        assert event["run"] == written["run"]
    assert {"run_started", "retry_scheduled", "throttled", "outcome", "outcome_failed"} <= {
        event["event"] for event in done.events
    }
    for line in results(tmp_path).read_text().splitlines():
        validator("record").validate(json.loads(line))


NO_KEY = {"COMPLYCUBE_API_KEY": ""}


@pytest.mark.parametrize(
    ("arguments", "env"),
    [
        (["--rate", "nonsense"], {}),
        (["--results", "/nowhere/at/all"], {}),
        (["--config", "/nowhere/at/all"], {}),
        (["--wait"], {}),
        ([], NO_KEY),
        (["--base-url", "http://api.example/v1"], {}),
    ],
)
async def test_run_that_cannot_begin_has_an_account_and_metrics_too(
    tmp_path: Path, arguments: list[str], env: dict[str, str]
) -> None:
    source = backlog(tmp_path, "a")
    account, pinged, metrics = (tmp_path / name for name in ("end.json", "pinged", "run.prom"))
    metrics.write_text("complete_sessions_last_success_timestamp_seconds 17\n")
    ended = await run(
        *("run", str(source), "--summary-json", str(account), "--base-url", "http://127.0.0.1:1"),
        *("--on-exit", f"cat > {pinged}", "--metrics-file", str(metrics), *arguments),
        env=environment() | env,
    )
    told = metrics.read_text().splitlines()
    assert f"complete_sessions_exit_code {ended.code}.0" in told
    assert "complete_sessions_last_success_timestamp_seconds 17.0" in told
    written = json.loads(account.read_text())
    validator("summary").validate(written)
    assert written["exit_code"] == ended.code != 0
    assert written["work"] is None
    assert written["reason"] in ended.err
    assert json.loads(pinged.read_text()) == written


async def test_account_never_replaces_the_backlog(tmp_path: Path) -> None:
    source = backlog(tmp_path, *ids(3))
    before = source.read_text()
    for wrong in ([], ["--rate", "nonsense"]):
        ended = await run("run", source, "--summary-json", source, *wrong)
        assert ended.code == 2
        assert source.read_text() == before


@pytest.mark.parametrize("wrong", [[], ["--rate", "nonsense"]])
async def test_metrics_never_replace_the_backlog(tmp_path: Path, wrong: list[str]) -> None:
    source = backlog(tmp_path, *ids(3))
    before = source.read_text()
    ended = await run("run", source, "--metrics-file", source, *wrong)
    assert (ended.code, source.read_text()) == (2, before)


async def test_a_run_that_cannot_begin_pushes_that(tmp_path: Path) -> None:
    with gateway() as (address, kept):
        pushed = ("--metrics-push", f"http://{address}")
        ended = await run("run", backlog(tmp_path, "a"), *pushed, env=environment() | NO_KEY)
    assert ended.code == 2
    assert "complete_sessions_exit_code 2.0" in kept.told[-1][2]


async def test_metrics_that_cannot_be_told_in_one_way_are_told_in_the_other(tmp_path: Path) -> None:
    source, metrics = backlog(tmp_path, "a"), tmp_path / "run.prom"
    with gateway() as (address, kept):
        pushed = ("--metrics-push", f"http://{address}")
        # Nobody knows under which log's name to push; then the file is one that must stay.
        assert (await run("run", *pushed, "--metrics-file", metrics)).code == 2
        assert (await run("run", source, *pushed, "--metrics-file", source)).code == 2
    assert "complete_sessions_exit_code 2.0" in metrics.read_text()
    assert "complete_sessions_exit_code 2.0" in kept.told[-1][2]
    assert source.read_text() == "a\n"


async def test_stop_at_a_limit_can_count_as_success(tmp_path: Path) -> None:
    async with Sandbox(sessions(ids(5))) as sandbox:
        given = ("run", backlog(tmp_path, *ids(5)), "--base-url", sandbox.url, "--limit", "2")
        ended = await run(*given, "--exit-zero-on", "5", "--summary-json", "-")
        assert ended.code == 0
        assert json.loads(ended.out)["exit_code"] == 5
        assert (await run(*given, "--exit-zero-on", "1,75")).code == 5


async def test_command_that_fails_is_logged_and_changes_nothing(tmp_path: Path) -> None:
    async with Sandbox(sessions(ids(2))) as sandbox:
        ended = await run(
            *("run", backlog(tmp_path, *ids(2)), "--base-url", sandbox.url),
            *("--on-exit", "echo the host is away >&2; exit 3"),
        )
    assert ended.code == 0
    assert ended.events[-1]["message"] == (
        "the command of --on-exit ended with 3: the host is away"
    )


async def test_mail_of_many_failures_is_short_and_for_people(tmp_path: Path) -> None:
    page = "http_502_html=1.0"
    async with Sandbox(faulty(ids(400), page)) as sandbox:
        ended = await run(
            *("run", backlog(tmp_path, *ids(400), *(f"no id {n}" for n in range(50)))),
            *("--base-url", sandbox.url, "-q", "--max-attempts", "1"),
            *("--on-ambiguous", "fail"),
        )
    assert ended.code == 1
    lines = ended.err.splitlines()
    assert len(lines) < 100
    assert sum("outcome_failed" in line for line in lines) == 10
    assert any("50 ids failed with invalid_id" in line for line in lines)
    assert any(line.startswith("exit code  1: ") for line in lines)
    assert "<html" not in ended.err
    assert "a page of HTML: 502 Bad Gateway" in ended.err


async def test_a_whole_run_pushes_how_it_ended(tmp_path: Path) -> None:
    async with Sandbox(sessions(ids(1))) as sandbox:
        with gateway() as (address, kept):
            source = backlog(tmp_path, *ids(2))
            given = ("run", source, "--base-url", sandbox.url)
            ended = await run(*given, "--metrics-push", f"http://{address}")
    assert ended.code == 0
    _, path, body = kept.told[-1]
    assert path == f"/metrics/job/complete-sessions/results/{results(tmp_path).name}"
    assert 'complete_sessions_outcomes_total{outcome="not_found"} 1.0' in body
    assert "complete_sessions_exit_code 0.0" in body
