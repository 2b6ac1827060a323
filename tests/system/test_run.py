"""`complete-sessions run` as a process: its streams, its environment, its files."""

from __future__ import annotations

import os
import resource
import stat
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.ledgers import die
from tests.support.program import (
    PROGRAM,
    PROJECT,
    environment,
    in_this_process,
    run,
    shell,
    started,
)
from tests.support.run_harness import (
    KEY,
    RunHarness,
    backlog,
    ids,
    journal_of,
    records_in,
    results,
    sessions,
)
from tests.support.sandbox_caller import until
from worker.core.errors import ExitCode
from worker.sandbox.server import Sandbox


def opened(pid: int, descriptor: int) -> str:
    return str(Path(f"/proc/{pid}/fd/{descriptor}").readlink())


async def test_a_whole_run(tmp_path: Path) -> None:
    some = ids(20)
    async with Sandbox(sessions(some[:18])) as sandbox:
        source = backlog(tmp_path, "# a comment", *some, "", some[0])
        done = await run("run", source, "--base-url", sandbox.url)
        assert (done.code, done.out) == (0, "")
        assert (done.last["processing"], done.last["not_found"]) == (18, 2)
        again = await run("run", source, "--base-url", sandbox.url)
        assert (again.code, again.last["settled"]) == (0, 20)
        assert sandbox.stats()["requests"]["total"] == 20


async def test_the_log_and_the_journal_belong_to_their_owner_alone(tmp_path: Path) -> None:
    async with (
        Sandbox(sessions(ids(1), latency_s=(30, 30))) as sandbox,
        started("run", backlog(tmp_path, *ids(1)), "--base-url", sandbox.url, umask=0),
    ):
        await until(lambda: sandbox.stats()["in_flight"])
        for path in (results(tmp_path), journal_of(results(tmp_path))):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600


# --- standard input ----------------------------------------------------------------------------


async def test_an_id_that_is_written_to_an_open_pipe_is_completed_at_once(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    async with (
        Sandbox(sessions(ids(3))) as sandbox,
        started("run", "-", "--results", log, "--base-url", sandbox.url) as process,
    ):
        for count, session_id in enumerate(ids(3), 1):
            await process.write(f"{session_id}\n")
            await until(lambda: len(records_in(log)) == count)  # noqa: B023
        process.close_input()
        done = await process.ends()
        assert (done.code, done.last["processing"]) == (0, 3)


async def test_a_closed_standard_input_is_a_clear_error(tmp_path: Path) -> None:
    done = await run("run", "-", "--results", tmp_path / "log", program=shell("<&-"))
    assert done.code == 2
    assert "standard input is closed" in done.err
    assert not (tmp_path / "log").exists()


# --- standard output and error -----------------------------------------------------------------


@pytest.mark.parametrize("broken", [">&- 2>&-", "2>/dev/full", "<&- >&- 2>&-", ">/dev/full 2>&1"])
async def test_a_run_goes_on_where_nothing_can_be_shown(tmp_path: Path, broken: str) -> None:
    some = ids(40)
    async with Sandbox(sessions(some)) as sandbox:
        source = backlog(tmp_path, *some)
        done = await run(*("run", source, "--base-url", sandbox.url, "-v"), program=shell(broken))
        assert done.code == 0
        assert len(records_in(results(tmp_path))) == 40


async def test_a_run_goes_on_when_the_reader_of_its_log_leaves(tmp_path: Path) -> None:
    some = ids(300)
    async with Sandbox(sessions(some, latency_s=(0.001, 0.002))) as sandbox:
        reading, writing = os.pipe()
        source = backlog(tmp_path, *some)
        async with started("run", source, "--base-url", sandbox.url, "-v", stderr=writing) as it:
            os.close(writing)
            os.read(reading, 1)
            os.close(reading)
            assert (await it.ends()).code == 0
        assert len(records_in(results(tmp_path))) == 300


async def test_no_file_takes_the_place_of_a_closed_standard_stream(tmp_path: Path) -> None:
    async with (
        Sandbox(sessions(ids(1), latency_s=(30, 30))) as sandbox,
        started(
            *("run", backlog(tmp_path, *ids(1)), "--base-url", sandbox.url),
            program=shell("<&- >&- 2>&-"),
        ) as process,
    ):
        await until(lambda: sandbox.stats()["in_flight"])
        assert [opened(process.pid, number) for number in range(3)] == ["/dev/null"] * 3


@pytest.mark.parametrize("broken", ["2>&-", ">/dev/full 2>/dev/full"])
async def test_an_error_that_cannot_be_shown_keeps_its_exit_code(
    tmp_path: Path, broken: str
) -> None:
    done = await run("run", tmp_path / "missing", program=shell(broken))
    assert done.code == 2


async def test_output_that_cannot_be_written_is_said_in_a_sentence() -> None:
    done = await run("--help", program=shell(">/dev/full"))
    assert done.code == 1
    assert done.err == (
        "complete-sessions: the output cannot be written: No space left on device\n"
    )


def test_no_other_error_passes_for_one_of_the_output(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        Path("/nowhere/at/all").read_text()

    monkeypatch.setattr("worker.cli.explain.explain.callback", fail)
    done = in_this_process("explain", monkeypatch=monkeypatch, capfd=capfd)
    assert (done.code, done.out) == (70, "")
    assert done.err.startswith("Traceback")
    assert "/nowhere/at/all" in done.err


async def test_quiet_is_silent_when_all_is_well(tmp_path: Path) -> None:
    async with Sandbox(sessions(ids(5))) as sandbox:
        source = backlog(tmp_path, *ids(5))
        done = await run("run", source, "--base-url", sandbox.url, "-q")
        assert done == (0, "", "")


async def test_quiet_is_silent_about_what_a_run_mends_by_itself(tmp_path: Path) -> None:
    source, log = backlog(tmp_path, *ids(5)), results(tmp_path)
    await die(log, entered=ids(2))
    with log.open("a") as file:
        file.write('{"id":"torn')
    async with Sandbox(sessions(ids(5))) as sandbox:
        done = await run("run", source, "--base-url", sandbox.url, "-q")
    assert done == (0, "", "")


async def test_quiet_tells_of_a_log_that_somebody_has_damaged(tmp_path: Path) -> None:
    source = backlog(tmp_path, *ids(5))
    record = '{"id":"a","outcome":"failed","error":null,"run":"r"}'
    results(tmp_path).write_text(f"{record}\nno record\n")
    async with Sandbox(sessions(ids(5))) as sandbox:
        done = await run("run", source, "--base-url", sandbox.url, "-q")
    [line] = done.err.splitlines()
    assert "1 line of the results log is not a record" in line


# --- the environment ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"TERM": "dumb", "COLUMNS": "1", "TZ": "Nowhere/Nothing"},
        {"TZ": "XXX-24:00"},
        {"TZ": "XXX+23:30YYY+24:30"},
    ],
)
async def test_a_bare_environment_suffices(tmp_path: Path, variables: dict[str, str]) -> None:
    bare = {"PATH": os.environ["PATH"], "COMPLYCUBE_API_KEY": KEY, "WORKER_PACE_RATE": "1000"}
    async with Sandbox(sessions(["a", "ä"])) as sandbox:
        source = backlog(tmp_path, "a", "ä")
        done = await run(
            *("run", source, "--base-url", sandbox.url, "--log-format", "console"),
            env=bare | variables,
        )
        assert (done.code, len(records_in(results(tmp_path)))) == (1, 2)


async def test_where_there_is_only_ascii_the_rest_is_escaped() -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = await run("check", "--base-url", "http://127.0.0.1:9/v1", env=environment() | ascii_only)
    # The mark that stands for the hidden part of the key is not ASCII.
    assert (done.code, done.err) == (4, "")
    assert "test_" in done.out


async def test_a_directory_that_is_gone_does_not_matter(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    script = f'mkdir {gone} && cd {gone} && rmdir {gone} && exec "$@"'
    async with Sandbox(sessions(ids(1))) as sandbox:
        done = await run(
            *("run", backlog(tmp_path, *ids(1)), "--base-url", sandbox.url),
            program=("sh", "-c", script, "sh", *PROGRAM),
            env=environment() | {"PYTHONPATH": str(PROJECT)},
        )
        assert done.code == 0


async def test_under_make_the_output_is_that_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text(
        ".PHONY: complete\ncomplete:\n\t@$(COMMAND) run $(SOURCE) --base-url $(URL)\n"
    )
    async with Sandbox(sessions(ids(2))) as sandbox:
        source = backlog(tmp_path, *ids(2))
        variables = (f"COMMAND={' '.join(PROGRAM)}", f"SOURCE={source}", f"URL={sandbox.url}")
        done = await run(
            *("-C", tmp_path, "--no-print-directory", "complete", *variables),
            program=("make",),
            env=environment() | {"PYTHONPATH": str(PROJECT)},
        )
        assert (done.code, done.last["processing"]) == (0, 2)


@pytest.mark.parametrize(("most", "code"), [(4096, 0), (100, 2)])
async def test_more_files_are_allowed_where_connections_need_them(
    tmp_path: Path, most: int, code: int
) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (24, most))

    some = ids(150)
    async with Sandbox(sessions(some, latency_s=(0.2, 0.2))) as sandbox:
        source = backlog(tmp_path, *some)
        command = ("run", source, "--base-url", sandbox.url, "--concurrency", "100")
        done = await run(*command, preexec_fn=limit)
        assert done.code == code
        assert ("ulimit -n" in done.err) == (code == 2)
        assert sandbox.sessions.triggered == (150 if code == 0 else 0)
        assert (sandbox.stats()["max_in_flight"] > 24) == (code == 0)


# --- files -------------------------------------------------------------------------------------


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """The program in this process, with a key."""
    monkeypatch.setenv("COMPLYCUBE_API_KEY", KEY)
    return partial(in_this_process, monkeypatch=monkeypatch, capfd=capfd)


@pytest.mark.parametrize("shard", [(), ("--shard", "1/2")], ids=["whole", "a shard"])
def test_nobody_reads_the_source_when_the_run_has_ended(
    tmp_path: Path, here: Any, shard: tuple[str, ...]
) -> None:
    before = set(threading.enumerate())
    assert here("run", backlog(tmp_path, "# no ids"), *shard).code == 0
    readers = {one for one in threading.enumerate() if one.name == "source"} - before
    for reader in readers:
        reader.join(10)
        assert not reader.is_alive()


@pytest.mark.parametrize("log", ["backlog.txt", "./backlog.txt", "link", "hard-link"])
def test_the_source_cannot_be_the_log(tmp_path: Path, here: Any, log: str) -> None:
    source = backlog(tmp_path, *ids(2))
    before = source.read_bytes()
    (tmp_path / "link").symlink_to(source)
    (tmp_path / "hard-link").hardlink_to(source)
    done = here("run", source, "--results", tmp_path / log)
    assert (done.code, "source and the results log" in done.err) == (2, True)
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    ("metrics", "what"),
    [
        ("backlog.txt", "the source"),
        ("sub/../backlog.txt", "the source"),
        ("key", "the key file"),
        ("backlog.results.jsonl", "the results log"),
        ("link", "the results log"),
        ("hard-link", "the results log"),
        ("backlog.results.jsonl.inflight", "the journal of the results log"),
        ("backlog.results.jsonl.torn", "the torn end of the results log"),
    ],
)
@pytest.mark.parametrize("command", ["run", "check"])
def test_the_metrics_file_cannot_be_a_file_that_the_run_needs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    here: Any,
    command: str,
    metrics: str,
    what: str,
) -> None:
    source, log = backlog(tmp_path, *ids(2)), results(tmp_path)
    log.write_text('{"id":"a","outcome":"failed","error":null,"run":"r"}\n')
    (tmp_path / "sub").mkdir()
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "link").symlink_to(log.name)
    (tmp_path / "hard-link").hardlink_to(log)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    monkeypatch.chdir(tmp_path)
    given = ("--metrics-file", metrics, "--api-key-file", "key")
    done = here(command, source, *given, "--base-url", "http://127.0.0.1:9/v1")
    assert done.code == (2 if command == "run" else 4)
    assert f"{metrics} is {what} and the metrics file at once" in done.err + done.out
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert after == before


def test_the_metrics_file_cannot_be_a_log_that_is_not_there_yet(tmp_path: Path, here: Any) -> None:
    source, log = backlog(tmp_path, *ids(2)), results(tmp_path)
    (tmp_path / "link").symlink_to(log.name)
    for metrics in (log, tmp_path / "link"):
        assert here("run", source, "--metrics-file", metrics).code == 2
    assert not log.exists()


async def test_the_log_cannot_be_the_standard_input(tmp_path: Path) -> None:
    source = backlog(tmp_path, *ids(2))
    before = source.read_bytes()
    done = await run("run", "-", "--results", source, program=shell(f"<{source}"))
    assert (done.code, source.read_bytes()) == (2, before)


@pytest.mark.parametrize(
    "source",
    ["", ".", "/", "..", "nothing/here", "/dev/null/x", "a\n", "\x1b[2J", "a\0b", "x" * 300],
)
def test_a_source_that_is_none_is_a_usage_error(here: Any, source: str) -> None:
    done = here("run", source)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("complete-sessions: ")
    assert done.err.removesuffix("\n").isprintable()


@pytest.mark.parametrize("source", ["-", "/dev/stdin", "/dev/tty", "/dev/fd/7", "/proc/self/fd/0"])
def test_a_stream_needs_a_log_with_a_name(here: Any, source: str) -> None:
    done = here("run", source)
    assert done.code == 2
    assert "--results" in done.err


def test_a_file_in_memory_is_a_file(here: Any) -> None:
    done = here("run", "/dev/shm/nowhere-to-be-found")  # noqa: S108
    assert (done.code, "there is no file" in done.err) == (2, True)


def test_a_defect_has_an_exit_code_of_its_own(
    tmp_path: Path, here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise ZeroDivisionError(f"nobody foresaw {KEY}")

    monkeypatch.setattr("worker.app.run.Ledger.open", breaks)
    done = here("run", backlog(tmp_path, *ids(2)))
    assert done.code == 70
    assert "ZeroDivisionError: nobody foresaw" in done.err
    assert KEY not in done.err
    monkeypatch.setattr("worker.cli.run.load", breaks)
    done = here("run", backlog(tmp_path, *ids(2)))
    assert done.code == 70
    assert "ZeroDivisionError: nobody foresaw" in done.err


async def test_a_log_behind_a_link_is_one_log(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    log = tmp_path / "elsewhere" / "log.jsonl"
    link = tmp_path / "link.jsonl"
    link.symlink_to(log)
    async with Sandbox(sessions(ids(2))) as sandbox:
        source = backlog(tmp_path, *ids(2))
        assert (await run("run", source, "--base-url", sandbox.url, "--results", link)).code == 0
        assert link.is_symlink()
        done = await run("run", source, "--base-url", sandbox.url, "--results", log)
        assert (done.code, done.last["settled"]) == (0, 2)


async def test_two_runs_on_one_log_do_not_meet(tmp_path: Path) -> None:
    source = backlog(tmp_path, *ids(3))
    async with Sandbox(sessions(ids(3), latency_s=(60, 60))) as sandbox:
        async with started("run", source, "--base-url", sandbox.url) as first:
            await until(lambda: sandbox.stats()["in_flight"] == 3)
            second = await run("run", source, "--base-url", sandbox.url)
            assert second.code == 75
            assert f"Process {first.pid} holds" in second.err
        sandbox.service.latency_s = (0, 0)
        third = await RunHarness(tmp_path, sandbox.url).run()
        assert (third.code, third.outcomes) == (ExitCode.OK, {"processing": 3})
        assert sandbox.sessions.triggered_twice == {}


async def test_a_pipe_without_an_id_leaves_nothing_behind(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    done = await run("run", "-", "--results", log, input="no id\n./.\n")
    assert (done.code, done.last["input"]) == (2, 0)
    assert "none of its lines (2 that count) can be an id" in done.last["reason"]
    assert os.listdir(tmp_path) == []  # noqa: PTH208
    log.touch()
    assert (await run("run", "-", "--results", log, input="no id\n")).code == 2
    assert log.read_bytes() == b""
