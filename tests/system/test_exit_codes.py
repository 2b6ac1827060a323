"""One exit code for each cause; whatever the cause was, the same command then goes on."""

from __future__ import annotations

import gzip
import os
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.program import environment, run
from tests.support.run_harness import RunHarness, backlog, ids, sessions
from worker.core.errors import EXIT_PRECEDENCE, ExitCode, WorkerError
from worker.core.outcomes import Outcome
from worker.core.tally import Tally
from worker.runner import causes
from worker.sandbox.config import OutageMode, SandboxConfig
from worker.sandbox.faults import Faults, parse_faults
from worker.sandbox.server import Sandbox

SOME = ids(12)
IMPATIENT = environment(STOP_PATIENCE="100ms", STOP_OUTAGE_AFTER="3")


class Case(NamedTuple):
    """What makes a run end with `code`."""

    code: ExitCode
    config: SandboxConfig
    arguments: tuple[str, ...] = ()
    path: str = "/v1"
    outage: bool = False


CASES = {
    "all is well": Case(ExitCode.OK, sessions(SOME)),
    "all are unknown": Case(ExitCode.OK, sessions([])),
    "one fails for good": Case(
        ExitCode.SOME_FAILED,
        sessions(SOME, faults=parse_faults("http_500=0.2", limit=1)),
        ("--max-attempts", "1"),
    ),
    "the key is refused": Case(ExitCode.REFUSED, sessions(SOME, keys=frozenset({"test_other"}))),
    "the address is wrong": Case(ExitCode.REFUSED, sessions(SOME), path="/v2"),
    "nobody is there": Case(ExitCode.UNAVAILABLE, sessions(SOME), outage=True),
    "everything is throttled": Case(
        ExitCode.UNAVAILABLE, sessions(SOME, faults=parse_faults("throttle=1"))
    ),
    "the time is over": Case(
        ExitCode.STOPPED, sessions(SOME, latency_s=(0.1, 0.1)), ("--max-duration", "1ms")
    ),
    "the limit is reached": Case(ExitCode.STOPPED, sessions(SOME), ("--limit", "5")),
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
async def test_each_cause_has_its_code_and_the_next_run_goes_on(tmp_path: Path, case: Case) -> None:
    source = backlog(tmp_path, *SOME)
    async with Sandbox(case.config) as sandbox:
        if case.outage:
            await sandbox.begin_outage(OutageMode.REFUSE)
        url = sandbox.origin + case.path
        done = await run("run", source, "--base-url", url, *case.arguments, env=IMPATIENT)
        assert (done.code, done.last["exit_code"]) == (case.code, case.code)
        assert done.last["input"] == 12
        await cure(sandbox)
        again = await RunHarness(tmp_path, sandbox.url).run()
        assert (again.code, sum(again.outcomes.values())) == (ExitCode.OK, 12)
        assert set(again.outcomes) <= {"processing", "not_found"}
        assert sandbox.sessions.triggered_twice == {}
        assert sandbox.sessions.triggered == len(sandbox.sessions)


async def cure(sandbox: Sandbox) -> None:
    await sandbox.end_outage()
    sandbox.service.faults = Faults()
    sandbox.service.keys = None


async def test_a_source_that_breaks_off_has_its_code(tmp_path: Path) -> None:
    source = tmp_path / "backlog.gz"
    source.write_bytes(gzip.compress("\n".join(ids(20_000)).encode())[:700])
    async with Sandbox(SandboxConfig(any_id=True, limit=0)) as sandbox:
        done = await run("run", source, "--base-url", sandbox.url)
        assert (done.code, done.last["complete_input"]) == (66, False)
        assert done.last["processing"] == sandbox.sessions.triggered > 0


UNREADABLE = {
    "a table without the column": (b"name,other\nfoo,bar\n", ("--format", "csv", "--field", "id")),
    "damaged compressed data": (gzip.compress(b"a\n")[:12], ()),
    "one JSON value": (b'["a", "b"]', ()),
}


@pytest.mark.parametrize("case", UNREADABLE.values(), ids=list(UNREADABLE))
async def test_a_pipe_of_which_nothing_can_be_read_has_its_code(
    tmp_path: Path, case: tuple[bytes, tuple[str, ...]]
) -> None:
    written, arguments = case
    reading, writing = os.pipe()
    os.write(writing, written)
    os.close(writing)
    done = await run("run", "-", "--results", tmp_path / "log", *arguments, stdin=reading)
    os.close(reading)
    assert (done.code, done.last["exit_code"], done.last["input"]) == (2, 2, 0)


# --- precedence --------------------------------------------------------------------------------


class StopError(WorkerError):
    def __init__(self, code: ExitCode) -> None:
        super().__init__(code.name)
        self.exit_code = code


def test_every_code_has_its_place() -> None:
    assert sorted(EXIT_PRECEDENCE) == sorted(ExitCode)


@pytest.mark.parametrize("code", EXIT_PRECEDENCE)
def test_whatever_stops_a_run_is_its_exit_code(code: ExitCode) -> None:
    assert causes.exit_code({code: StopError(code)}, tally(not_attempted=1)) is code


STOPS = [code for code in EXIT_PRECEDENCE if code not in (ExitCode.OK, ExitCode.SOME_FAILED)]


@pytest.mark.parametrize(("first", "second"), list(pairwise(STOPS)))
def test_of_two_causes_the_graver_one_counts(first: ExitCode, second: ExitCode) -> None:
    found = {code: StopError(code) for code in (second, first)}
    assert causes.exit_code(found, tally(failed=1)) is first


def tally(failed: int = 0, not_attempted: int = 0, missing: int = 0) -> Tally:
    counted = Tally()
    counted.outcomes = Counter({Outcome.FAILED: failed} if failed else {})
    counted.not_attempted = not_attempted
    counted.input = failed + not_attempted + missing
    return counted


def test_failed_ids_are_a_cause_only_where_nothing_stopped_the_run() -> None:
    assert causes.exit_code({}, tally()) is ExitCode.OK
    assert causes.exit_code({}, tally(failed=1)) is ExitCode.SOME_FAILED
    stopped = {ExitCode.STOPPED: StopError(ExitCode.STOPPED)}
    assert causes.exit_code(stopped, tally(failed=1, not_attempted=1)) is ExitCode.STOPPED


@pytest.mark.parametrize("counted", [tally(missing=1), tally(missing=-1), tally(not_attempted=1)])
def test_a_sum_that_does_not_add_up_is_a_defect(counted: Tally) -> None:
    assert causes.exit_code({}, counted) is ExitCode.DEFECT
