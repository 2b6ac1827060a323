"""Signals: the first drains, the second ends at once, and the next run goes on from either."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.namespaces import PROCESSES, child_of, is_granted
from tests.support.program import PROGRAM, Finished, environment, in_this_process, started
from tests.support.raw_server import RawServer, Sent, Then
from tests.support.run_harness import (
    KEY,
    Held,
    RunHarness,
    backlog,
    ids,
    journal_of,
    methods,
    records_in,
    results,
    sessions,
)
from tests.support.sandbox_caller import until
from worker.app.process.signals import stop_on_signals
from worker.core.errors import ExitCode
from worker.runner import Runner
from worker.sandbox.config import OutageMode, SandboxConfig
from worker.sandbox.server import Sandbox

FOUR = environment(PACE_CONCURRENCY="4")


def stopped(done: Finished) -> tuple[str, int]:
    """Why the run stopped, by its own account, and its code."""
    [event] = [event for event in done.events if event["event"] == "stop_requested"]
    return event["cause"], done.code


@pytest.mark.parametrize(
    ("number", "cause", "code"),
    [
        (signal.SIGINT, "interrupted", 130),
        (signal.SIGTERM, "terminated", 143),
        (signal.SIGHUP, "terminated", 143),
    ],
)
async def test_the_first_signal_finishes_what_is_in_flight(
    tmp_path: Path, number: int, cause: str, code: int
) -> None:
    some = ids(400)
    source = backlog(tmp_path, *some)
    async with Sandbox(sessions(some, latency_s=(0.3, 0.3))) as sandbox:
        async with started("run", source, "--base-url", sandbox.url, env=FOUR) as it:
            await until(lambda: sandbox.stats()["in_flight"] == 4)
            it.signal(number)
            done = await it.ends()
        assert stopped(done) == (cause, code)
        assert done.last["processing"] == sandbox.sessions.triggered >= 4
        assert done.last["not_attempted"] == 400 - sandbox.sessions.triggered
        assert not journal_of(results(tmp_path)).exists()
        sandbox.service.latency_s = (0, 0)
        again = await RunHarness(tmp_path, sandbox.url).run()
        assert (again.code, again.outcomes) == (ExitCode.OK, {"processing": 400})
        assert methods(sandbox) == {"POST": 400}


async def test_the_second_signal_ends_at_once_and_the_next_run_reads_first(tmp_path: Path) -> None:
    some = ids(20)
    source = backlog(tmp_path, *some)
    async with Sandbox(sessions(some, latency_s=(0, 600))) as sandbox:
        async with started("run", source, "--base-url", sandbox.url, env=FOUR) as it:
            await until(lambda: sandbox.stats()["in_flight"] == 4)
            it.signal(signal.SIGTERM)
            await it.says("stop_requested")
            await asyncio.sleep(0.6)  # what comes sooner is no second request
            it.signal(signal.SIGINT)
            done = await it.ends()
        assert stopped(done) == ("terminated", 130)
        assert re.search(
            r"[1-4] requests? w(as|ere) cut off, and the next run reads those sessions first",
            done.last["reason"],
        )
        assert done.last["not_attempted"] == 20 - len(records_in(results(tmp_path)))
        assert journal_of(results(tmp_path)).exists()
        sandbox.service.latency_s = (0, 0)
        again = await RunHarness(tmp_path, sandbox.url).run()
        assert (again.code, again.outcomes) == (ExitCode.OK, {"processing": 20})
        assert sandbox.sessions.triggered_twice == {}


async def test_signals_that_come_together_are_one(tmp_path: Path) -> None:
    some = ids(400)
    source = backlog(tmp_path, *some)
    async with Sandbox(sessions(some, latency_s=(0.3, 0.3))) as sandbox:
        async with started("run", source, "--base-url", sandbox.url, env=FOUR) as it:
            await until(lambda: sandbox.stats()["in_flight"] == 4)
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGTERM):
                it.signal(number)
            done = await it.ends()
        assert stopped(done) == ("terminated", 143)
        assert done.last["processing"] == sandbox.sessions.triggered >= 4
        assert not journal_of(results(tmp_path)).exists()


async def test_nohup_is_respected(tmp_path: Path) -> None:
    async with (
        Sandbox(SandboxConfig(any_id=True, limit=0)) as sandbox,
        started(
            *("run", "-", "--results", tmp_path / "log", "--base-url", sandbox.url),
            program=("sh", "-c", 'trap "" HUP; exec "$@"', "sh", *PROGRAM),
        ) as it,
    ):
        await it.says("run_started")
        it.signal(signal.SIGHUP)
        await it.write("a\n")
        await until(lambda: sandbox.sessions.triggered == 1)
        it.signal(signal.SIGTERM)
        assert stopped(await it.ends()) == ("terminated", 143)


async def test_a_signal_in_an_outage_is_not_waited_out(tmp_path: Path) -> None:
    async with Sandbox(sessions(ids(50))) as sandbox:
        await sandbox.begin_outage(OutageMode.REFUSE)
        env = environment(STOP_OUTAGE_AFTER="3", RETRY_BACKOFF_INITIAL="1h", RETRY_BACKOFF_MAX="1h")
        env |= {"WORKER_STOP_PATIENCE": "2h"}
        source = backlog(tmp_path, *ids(50))
        async with started("run", source, "--base-url", sandbox.url, env=env) as it:
            await it.says("outage_began")
            it.signal(signal.SIGINT)
            done = await it.ends()
        assert stopped(done) == ("interrupted", 130)
        assert done.last["failed"] + done.last["not_attempted"] == 50


async def test_a_signal_ends_the_wait_for_standard_input(tmp_path: Path) -> None:
    async with started("run", "-", "--results", tmp_path / "log") as it:
        await it.says("run_started")
        it.signal(signal.SIGTERM)
        done = await it.ends()
    assert stopped(done) == ("terminated", 143)
    assert (done.last["input"], done.last["complete_input"]) == (0, False)


async def test_an_interrupt_of_a_whole_pipeline_drains(tmp_path: Path) -> None:
    script = 'trap : INT; (while read -r line; do echo "$line"; done) | "$@"; exit $?'
    async with (
        Sandbox(SandboxConfig(any_id=True, limit=0, latency_s=(0.2, 0.2))) as sandbox,
        started(
            *("run", "-", "--results", tmp_path / "log", "--base-url", sandbox.url),
            program=("bash", "-c", script, "bash", *PROGRAM),
            start_new_session=True,
        ) as it,
    ):
        await it.write("\n".join(ids(9)) + "\n")
        await until(lambda: sandbox.stats()["in_flight"])
        os.killpg(it.pid, signal.SIGINT)
        done = await it.ends()
        assert stopped(done) == ("interrupted", 130)
        assert done.last["processing"] == sandbox.sessions.triggered > 0


async def test_a_signal_at_the_very_start_is_not_lost(tmp_path: Path) -> None:
    here = RunHarness(tmp_path)
    client = Held()
    client.let_go.set()
    before = signal.getsignal(signal.SIGTERM)
    with ExitStack() as stack:

        def begin(runner: Runner) -> None:
            stack.enter_context(stop_on_signals(runner.stop, runner.abort))
            os.kill(os.getpid(), signal.SIGTERM)

        ended = await here.run(ids(5000), client=client, before=begin)
    assert ended.code is ExitCode.TERMINATED
    assert len(ended.records) == len(client.sent) < 5000
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_signal_before_the_run_has_its_code(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    monkeypatch.setattr("worker.cli.run.load", lambda **_: os.kill(os.getpid(), number))
    done = in_this_process("run", "x", monkeypatch=monkeypatch, capfd=capfd)
    assert done.code == 143
    assert done.err == (
        f"complete-sessions: {number.name} was received. Run the same command again to go on\n"
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_metrics_name_the_code_of_a_signal_that_comes_as_a_run_begins(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    number: int,
    code: int,
) -> None:
    monkeypatch.setenv("COMPLYCUBE_API_KEY", KEY)
    monkeypatch.setattr("worker.app.run.open_loop", lambda: os.kill(os.getpid(), number))
    metrics = tmp_path / "run.prom"
    given = (str(backlog(tmp_path, *ids(1))), "--metrics-file", str(metrics))
    done = in_this_process("run", *given, monkeypatch=monkeypatch, capfd=capfd)
    assert done.code == code
    assert f"complete_sessions_exit_code {code}.0" in metrics.read_text()


def slow_to_import(directory: Path, module: str = "click") -> tuple[dict[str, str], Path]:
    """An environment in which the program waits while it imports `module`, and the pipe whose
    opening shows that it does so."""
    pipe = directory / "pipe"
    os.mkfifo(pipe)
    modules = directory / "modules"
    modules.mkdir()
    # No file object: where one is finalized, Python drops the exception that a signal has raised.
    waiting = f"import os\nos.read(os.open({str(pipe)!r}, os.O_RDONLY), 1)\n"
    (modules / f"{module}.py").write_text(waiting)
    return environment() | {"PYTHONPATH": str(modules)}, pipe


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_signal_amid_the_imports_is_not_lost(
    tmp_path: Path, number: int, code: int
) -> None:
    env, pipe = slow_to_import(tmp_path)
    async with started("run", "-", env=env) as it:
        writer = await asyncio.to_thread(os.open, pipe, os.O_WRONLY)
        it.signal(number)
        # A signal that comes just before the program waits does not wake it up.
        os.close(writer)
        done = await it.ends()
    assert (done.code, done.err) == (code, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_nor_is_it_where_a_library_tries_imports_and_does_without(
    tmp_path: Path, number: int
) -> None:
    env, pipe = slow_to_import(tmp_path, "tried")
    # As libraries do with what is not installed: uvloop stands for any.
    swallowing = "try:\n    import tried\nexcept Exception:\n    pass\nraise ImportError\n"
    (pipe.parent / "modules" / "uvloop.py").write_text(swallowing)
    async with started("run", "-", "--results", tmp_path / "log", env=env) as it:
        writer = await asyncio.to_thread(os.open, pipe, os.O_WRONLY)
        it.signal(number)
        os.close(writer)
        done = await it.ends()
    assert done.code == 143


async def test_a_signal_ends_what_waits_for_an_answer_and_has_no_way_of_its_own_to_end() -> None:
    async with (
        RawServer(lambda _: Sent(b"", Then.HANG)) as server,
        started("check", "--base-url", server.url) as it,
    ):
        await until(lambda: len(server.requests) == 1)
        it.signal(signal.SIGTERM)
        done = await it.ends()
    assert done.code == 143
    assert "SIGTERM was received" in done.err
    assert "Traceback" not in done.err


async def test_nor_is_it_by_process_1_of_a_container(tmp_path: Path) -> None:
    """The kernel keeps from process 1 whatever it does not listen for."""
    is_first = is_granted(PROCESSES)
    env, pipe = slow_to_import(tmp_path)
    program = (*PROCESSES, *PROGRAM) if is_first else PROGRAM
    async with started("run", "-", env=env, program=program) as it:
        writer = await asyncio.to_thread(os.open, pipe, os.O_WRONLY)
        os.kill(child_of(it.pid) if is_first else it.pid, signal.SIGTERM)
        os.close(writer)
        done = await it.ends()
    assert (done.code, done.err) == (143, "")


async def test_after_the_run_signals_do_what_they_did_before() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    with stop_on_signals(lambda cause: None, lambda cause: None):
        assert signal.getsignal(signal.SIGHUP) != before[signal.SIGHUP]
    assert {number: signal.getsignal(number) for number in before} == before


def test_an_interrupt_before_the_run_has_its_code(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("worker.cli.run.load", interrupted)
    done = in_this_process("run", "x", monkeypatch=monkeypatch, capfd=capfd)
    assert (done.code, done.err.strip()) == (130, "")
