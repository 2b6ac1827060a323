"""`complete-sessions check`: what would go wrong, found without any side effect."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import Finished, in_this_process
from tests.support.raw_server import RawServer, Sent, always, response
from tests.support.run_harness import KEY
from tests.support.serving import Serving
from worker.ledger.disk import Disk
from worker.ledger.lock import open_locked, some_process

LIST = response(b'{"page": 1, "pageSize": 1, "totalItems": 0, "pages": 0, "items": []}')


@pytest.fixture
def check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Any:
    """The command, called in an empty directory, with a key."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMPLYCUBE_API_KEY", KEY)
    return partial(in_this_process, "check", monkeypatch=monkeypatch, capfd=capfd)


@pytest.fixture
def api() -> Iterator[RawServer]:
    with Serving(always(LIST)) as server:
        yield server


def findings(done: Finished) -> dict[str, str]:
    """ok or FAILED, by subject."""
    marks = [line.split()[:2] for line in done.out.splitlines()]
    return {subject: mark for mark, subject in marks if mark != "note"}


def test_all_is_well(check: Any, api: RawServer, tmp_path: Path) -> None:
    (tmp_path / "backlog.txt").write_text("a\n")
    done = check("backlog.txt", "--base-url", api.url)
    assert done.code == 0
    assert set(findings(done).values()) == {"ok"}
    assert list(findings(done)) == ["settings", "key", "API", "source", "results"]
    assert "test_…f3a9 (test), 4 requests a second" in done.out
    assert (done.err, KEY in done.out) == ("", False)
    assert [path.name for path in tmp_path.iterdir()] == ["backlog.txt"]


def test_it_asks_for_a_page_of_one_and_no_more(check: Any, api: RawServer) -> None:
    check("--base-url", api.url)
    [request] = api.requests
    assert (request.method, request.path) == ("GET", "/v1/workflowSessions?page=1&pageSize=1")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        *(("401 No", 3), ("402 Pay", 3), ("403 No", 3), ("404 No", 3), ("302 Found", 3)),
        *(("429 Slow", 4), ("500 Oh", 4), ("503 Later", 4)),
    ],
)
def test_an_api_that_does_not_answer_well_has_the_code_of_the_run(
    check: Any, status: str, code: int
) -> None:
    with Serving(always(response(b"<html>", status=status))) as server:
        done = check("--base-url", server.url)
    assert (done.code, findings(done)["API"]) == (code, "FAILED")


def test_an_api_that_is_not_there_is_unavailable(check: Any) -> None:
    done = check("--base-url", "http://127.0.0.1:9/v1")
    assert (done.code, findings(done)["API"]) == (4, "FAILED")


def test_a_stranger_that_answers_200_is_not_taken_for_the_api(check: Any) -> None:
    with Serving(lambda _: Sent(response(b"<html>Welcome!</html>"))) as server:
        done = check("--base-url", server.url)
    assert (done.code, findings(done)["API"]) == (4, "FAILED")


def test_without_a_key_nobody_is_asked(
    check: Any, api: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COMPLYCUBE_API_KEY")
    done = check("--base-url", api.url)
    assert (done.code, findings(done)) == (
        2,
        {"settings": "ok", "key": "FAILED", "results": "ok"},
    )
    assert api.requests == []


def test_settings_that_are_wrong_are_said(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_PACE_RATE", "fast")
    done = check()
    assert (done.code, findings(done)) == (2, {"settings": "FAILED"})
    assert "WORKER_PACE_RATE" in done.out


def test_settings_are_found_in_the_home_directory(
    check: Any, api: RawServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.yaml").write_text("pace: {rate: 3}\n")
    done = check("--config=~/mine.yaml", "--base-url", api.url)
    assert (done.code, "3 requests a second" in done.out) == (0, True)


def test_whatever_may_be_given_to_a_run_may_be_tried(check: Any, api: RawServer) -> None:
    assert check("--base-url", api.url, "--format", "csv", "--until", "06:00").code == 0


@pytest.mark.parametrize(
    "results", ["missing/log.jsonl", "a-directory", "x" * 300, "file/log.jsonl", "packed"]
)
def test_a_log_that_could_not_be_written_is_found(
    check: Any, api: RawServer, tmp_path: Path, results: str
) -> None:
    (tmp_path / "a-directory").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "packed").write_bytes(gzip.compress(b"x"))
    done = check("--base-url", api.url, "--results", results)
    assert (done.code, findings(done)["results"]) == (74, "FAILED")


@pytest.mark.parametrize("damage", ["a directory", "a link"])
def test_a_journal_that_could_not_be_read_is_found(
    check: Any, api: RawServer, tmp_path: Path, damage: str
) -> None:
    journal = tmp_path / "log.jsonl.inflight"
    if damage == "a directory":
        journal.mkdir()
    else:
        journal.symlink_to("elsewhere")
    done = check("--base-url", api.url, "--results", "log.jsonl")
    assert (done.code, findings(done)["results"]) == (74, "FAILED")
    assert journal.name in done.out


@pytest.mark.usefixtures("permissions")
def test_a_directory_in_which_no_journal_can_be_made_is_found(
    check: Any, api: RawServer, tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "log.jsonl").touch()
    closed.chmod(0o500)
    done = check("--base-url", api.url, "--results", "closed/log.jsonl")
    assert (done.code, findings(done)["results"]) == (74, "FAILED")
    assert f"cannot be made in {closed}" in done.out


def test_a_log_that_a_run_holds_is_found(check: Any, api: RawServer, tmp_path: Path) -> None:
    file = open_locked(Disk(), tmp_path / "log.jsonl", some_process)
    try:
        done = check("--base-url", api.url, "--results", "log.jsonl")
    finally:
        file.close()
    assert (done.code, findings(done)["results"]) == (75, "FAILED")
    assert "Another process holds the results log" in done.out
    assert check("--base-url", api.url, "--results", "log.jsonl").code == 0


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("missing.csv", "there is no file missing.csv. "),
        ("backlog.csv", "backlog.csv"),
        (".", "is a directory"),
    ],
)
def test_a_source_that_a_run_could_not_read_is_found(
    check: Any, api: RawServer, tmp_path: Path, source: str, told: str
) -> None:
    (tmp_path / "backlog.csv").write_text("other\na\n")
    done = check(source, "--base-url", api.url, "--results", "log.jsonl")
    assert (done.code, findings(done)["source"]) == (2, "FAILED")
    assert told in done.out
    assert findings(check("backlog.csv", "--field", "other"))["source"] == "ok"


def test_the_lines_of_a_source_are_counted(check: Any, api: RawServer, tmp_path: Path) -> None:
    (tmp_path / "backlog.txt").write_text("a\nno id\nx y\nz z\nlive_abcdefgh: no\n")
    done = check("backlog.txt", "--base-url", api.url)
    assert "backlog.txt can be read: 1 id, 0 of them settled; 4 lines cannot be ids" in done.out
    assert "4 of 5 lines cannot be ids" in done.out
    assert "line 2, 'no id'" in done.out
    assert (done.code, "live_" in done.out) == (0, False)
    assert [path.name for path in tmp_path.iterdir()] == ["backlog.txt"]


@pytest.mark.parametrize(
    ("path", "code", "told"),
    [
        ("worker.prom", 0, "worker.prom can be written"),
        ("a-directory", 2, "a-directory is not a regular file"),
        ("missing/worker.prom", 0, "cannot be written: a run says so, and goes on without"),
        ("x" * 300, 0, "cannot be written: a run says so, and goes on without"),
    ],
)
def test_a_metrics_file_is_tried_but_not_made(
    check: Any, api: RawServer, tmp_path: Path, path: str, code: int, told: str
) -> None:
    (tmp_path / "a-directory").mkdir()
    done = check("--base-url", api.url, "--metrics-file", path)
    assert (done.code, findings(done)["metrics"]) == (code, "FAILED" if code else "ok")
    assert told in done.out
    assert [one.name for one in tmp_path.iterdir()] == ["a-directory"]


def test_nothing_is_taken_from_a_pipe(check: Any, api: RawServer, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for source in ("pipe", "-"):
        done = check(source, "--base-url", api.url, "--results", "log.jsonl")
        assert (done.code, findings(done)["source"]) == (0, "ok")
        assert "a stream, which is left to the run" in done.out


def test_the_first_failure_gives_the_code_and_all_are_shown(check: Any) -> None:
    done = check("--base-url", "http://127.0.0.1:9/v1", "--results", "missing/log.jsonl")
    assert done.code == 4
    assert findings(done) == {
        "settings": "ok",
        "key": "ok",
        "API": "FAILED",
        "results": "FAILED",
    }


def test_a_proxy_that_cannot_be_used_keeps_nothing_else_from_being_tried(
    check: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "backlog.txt").write_text("".join(f"{n:024x}\n" for n in range(5)))
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1")
    done = check("backlog.txt", "--check-first", "--base-url", "https://example.invalid/v1")
    assert findings(done)["results"] == "ok"
    assert done.err == ""


@pytest.mark.parametrize(
    ("lines", "answer", "said"),
    [
        (
            [f"68{number:06x}{number:016x}" for number in range(3000)],
            response(b'{"page": 1, "pageSize": 1, "totalItems": 8000, "pages": 8000, "items": []}'),
            "about 9 requests for 3,000 ids: the list holds 8,000 sessions of their time",
        ),
        (
            [f"68{number:06x}{number:016x}" for number in range(30)],
            response(b"{}", status="403 Forbidden"),
            "up to 30 requests, one for each id: the API does not give its list",
        ),
        ([f"s-{number}" for number in range(7)], LIST, "will take 7 requests, one for each id"),
    ],
)
def test_it_says_what_checking_first_will_cost(
    check: Any, tmp_path: Path, lines: list[str], answer: bytes, said: str
) -> None:
    (tmp_path / "backlog.txt").write_text("\n".join(lines))
    with Serving(always(answer)) as server:
        checked = check("backlog.txt", "--check-first", "--base-url", server.url)
    (row,) = [line for line in checked.out.splitlines() if "checks" in line]
    assert said in row
