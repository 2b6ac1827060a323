"""`run --dry-run`: what a run would do, told without sending or changing anything."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.ledgers import die, record
from tests.support.ledgers import run as settle
from tests.support.program import in_this_process, started
from tests.support.run_harness import KEY, RunHarness, backlog, ids, results, sessions
from tests.support.sandbox_caller import until
from worker.sandbox.server import Sandbox

SOME = ids(40)


@pytest.fixture
def rehearse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Any:
    """The command over a backlog; gives the numbers by what they are of."""
    monkeypatch.setenv("COMPLYCUBE_API_KEY", KEY)
    call = partial(in_this_process, monkeypatch=monkeypatch, capfd=capfd)

    def run(*arguments: str) -> dict[str, str]:
        before = contents(tmp_path)
        done = call("run", tmp_path / "backlog.txt", "--dry-run", *arguments)
        assert done.code == 0
        assert contents(tmp_path) == before
        assert "Nothing was sent." in done.out
        rows = [line.split("  ", 1) for line in done.out.splitlines() if "  " in line]
        return {name.strip(): text.strip() for name, text in rows} | {"notes": done.err}

    return run


def contents(directory: Path) -> dict[str, str]:
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_fresh_backlog(tmp_path: Path, rehearse: Any) -> None:
    backlog(tmp_path, "# comment", *SOME, "no id!", SOME[0])
    told = rehearse()
    assert told["source"].endswith("42 ids")
    assert told["results log"] == str(results(tmp_path))
    assert told["would be sent"] == "40"
    assert (told["duplicates"], told["cannot be ids"]) == ("1", "1")
    assert told["would take"] == "about 0:00:10 at 4 requests a second"
    assert "no 429, no outage, no retry" in told["this assumes"]
    assert told["notes"].startswith("note: cannot be an id: line 42, 'no id!': An id has only")
    assert told["notes"].count("\n") == 1


def test_a_source_that_looks_wrong_is_told(tmp_path: Path, rehearse: Any) -> None:
    backlog(tmp_path, *["no id!"] * 5, *SOME[:4])
    notes = rehearse()["notes"]
    assert "5 of 9 lines cannot be ids" in notes
    assert notes.count("cannot be an id: line ") == 3
    backlog(tmp_path, "Session ID", *SOME)
    assert "note: The header word 'Session ID' was skipped" in rehearse()["notes"]
    backlog(tmp_path, "# nothing")
    assert "the source holds no ids at all" in rehearse()["notes"]


async def test_a_backlog_that_was_begun(tmp_path: Path, rehearse: Any) -> None:
    backlog(tmp_path, *SOME)
    await settle(results(tmp_path), *(record(key) for key in SOME[:10]))
    await settle(results(tmp_path), record(SOME[10], error="http_500"))
    await settle(results(tmp_path), record(SOME[11], error="ambiguous"))
    told = rehearse()
    assert (told["would be sent"], told["already settled"]) == ("30", "10")
    assert told["of these, read"].startswith("1 first")
    assert rehearse("--limit", "7")["would be sent"] == "7"
    assert rehearse("--force")["would be sent"] == "40"


async def test_a_backlog_whose_run_died(tmp_path: Path, rehearse: Any) -> None:
    backlog(tmp_path, *SOME)
    await die(results(tmp_path), entered=SOME[:6], settled=[record(SOME[0])])
    told = rehearse()
    assert (told["would be sent"], told["already settled"]) == ("39", "1")
    assert told["of these, read"] == "5 first: they may have been sent"
    assert rehearse("--limit", "3")["of these, read"].startswith("3 first")
    assert "5 ids may have been sent by a run that ended early" in told["notes"]


def test_reading_every_session_first_is_told_from_the_least_to_the_most(
    tmp_path: Path, rehearse: Any
) -> None:
    backlog(tmp_path, *SOME)
    told = rehearse("--check-first")
    assert told["of these, read"] == "40 first: --check-first, with 1 to 40 requests"
    assert told["would take"] == "about 0:00:10 to 0:00:20 at 4 requests a second"
    assert rehearse("--check-first", "--limit", "4")["of these, read"].endswith("1 to 4 requests")
    backlog(tmp_path, *(f"session-{number}" for number in range(40)))
    told = rehearse("--check-first")
    assert told["of these, read"] == "40 first: --check-first"
    assert told["would take"] == "about 0:00:20 at 4 requests a second"


async def test_what_is_foretold_is_what_a_run_does(tmp_path: Path, rehearse: Any) -> None:
    async with Sandbox(sessions(SOME)) as sandbox:
        here = RunHarness(tmp_path, sandbox.url)
        await here.run(SOME, stop_limit=15)
        told = rehearse()
        ended = await here.run()
        assert told["would be sent"] == str(ended.finished.tally.recorded)
        assert told["already settled"] == str(ended.finished.tally.settled)


async def test_a_run_at_work_is_not_disturbed(tmp_path: Path, rehearse: Any) -> None:
    async with Sandbox(sessions(SOME, latency_s=(60, 60))) as sandbox:
        source = backlog(tmp_path, *SOME)
        async with started("run", source, "--base-url", sandbox.url) as process:
            await until(lambda: sandbox.stats()["in_flight"])
            assert f"Process {process.pid} holds" in rehearse()["notes"]


def test_without_a_key_it_says_so_and_goes_on(
    tmp_path: Path, rehearse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COMPLYCUBE_API_KEY")
    backlog(tmp_path, *SOME)
    told = rehearse()
    assert told["would be sent"] == "40"
    assert "a run would stop with 2" in told["notes"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("nowhere",), 2), (("-",), 2), (("backlog.txt", "--results", "missing/log"), 74)],
)
def test_what_would_stop_a_run_stops_it_too(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
) -> None:
    monkeypatch.setenv("COMPLYCUBE_API_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    backlog(tmp_path, *SOME)
    done = in_this_process("run", "--dry-run", *arguments, monkeypatch=monkeypatch, capfd=capfd)
    assert done.code == code
