"""How runs end before their input does: each cause with its code, and the same run goes on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.run_harness import (
    DONE,
    Held,
    RunHarness,
    Scripted,
    faulty,
    harness,
    ids,
    methods,
    sessions,
)
from tests.support.sandbox_caller import until
from worker.api.verdict import Answer, NoAnswer, Reply
from worker.core.clock import Clock
from worker.core.departure import Departure
from worker.core.errors import ExitCode, UsageError, WorkerError
from worker.core.events import (
    StopRequested,
)
from worker.core.outcomes import Error
from worker.runner.causes import deadline_reached
from worker.sources import AsyncSource, open_source

BUSY = Answer(429, b'{"type": "rate_limit_exceeded", "message": "slow down"}')
REJECTED = Answer(422, b'{"type": "invalid_request", "message": "no"}')
FOREIGN = Answer(404, b"<html>nothing here</html>")
MISSING = Answer(404, b'{"type": "resource_not_found", "message": "Invalid workflow session id"}')


class StopError(WorkerError):
    exit_code = ExitCode.INTERRUPTED


# --- a stop from outside --------------------------------------------------------------------


async def test_a_stop_before_the_run_begins_is_not_lost(tmp_path: Path) -> None:
    client = Held()
    here = RunHarness(tmp_path)
    ended = await here.run(ids(9), client=client, before=lambda it: it.stop(StopError("now")))
    assert ended.code is ExitCode.INTERRUPTED
    assert (client.sent, ended.records) == ([], [])
    assert ended.finished.tally.not_attempted == ended.finished.tally.input == 9
    assert not ended.journal_stays


async def test_a_stop_records_what_is_in_flight_and_sends_nothing_more(tmp_path: Path) -> None:
    client = Held()
    here = RunHarness(tmp_path, pace_concurrency=4)
    run = asyncio.create_task(here.run(ids(600), client=client))
    await until(lambda: len(client.sent) == 4)
    here.runner.stop(StopError("now"))
    client.let_go.set()
    ended = await run
    assert ended.code is ExitCode.INTERRUPTED
    assert (ended.outcomes, len(client.sent)) == ({"processing": 4}, 4)
    assert ended.finished.tally.not_attempted == 596
    assert [event.in_flight for event in ended.seen.of(StopRequested)] == [4]
    assert not ended.journal_stays
    assert (await here.run(client=client)).outcomes == {"processing": 600}


async def test_an_abort_ends_at_once_and_the_next_run_reads_what_was_in_flight(
    tmp_path: Path,
) -> None:
    some = ids(40)
    async with harness(tmp_path, sessions(some, latency_s=(30, 30))) as (here, sandbox):
        run = asyncio.create_task(here.run(some, pace_concurrency=4))
        await until(lambda: sandbox.stats()["in_flight"] == 4)
        here.runner.stop(StopError("first"))
        here.runner.abort(StopError("second"))
        first = await run
        assert first.code is ExitCode.INTERRUPTED
        assert (first.records, first.journal_stays) == ([], True)
        assert first.finished.tally.not_attempted == first.finished.tally.input
        sandbox.service.latency_s = (0, 0)
        second = await here.run()
        assert second.outcomes == {"processing": 40}
        assert methods(sandbox)["GET"] == 40
        assert not second.journal_stays


async def test_what_waits_for_its_retry_when_the_run_is_stopped_is_recorded(
    tmp_path: Path,
) -> None:
    some = ids(3)
    gone = NoAnswer(Error("connection_reset", "gone"), may_have_arrived=True)
    absent = NoAnswer(Error("connect_failed", "nobody there"), may_have_arrived=False)
    client = Scripted({some[0]: [gone], some[1]: [absent], some[2]: [BUSY]})
    later = {"retry_backoff_initial": "20m", "retry_backoff_max": "20m"}
    later |= {"retry_throttle_initial": "20m", "retry_throttle_max": "20m"}
    here = RunHarness(tmp_path, **later, stop_patience="1h")
    run = asyncio.create_task(here.run(some, client=client))
    runner = await here.at_work()
    await until(lambda: runner.snapshot().waiting == 3)
    runner.stop(StopError("now"))
    ended = await run
    assert ended.code is ExitCode.INTERRUPTED
    assert ended.outcomes == {"ambiguous": 1, "rate_limit_exceeded": 1}
    assert ended.finished.tally.not_attempted == 1
    client = Scripted({some[0]: [DONE]})
    assert (await here.run(client=client)).outcomes == {"processing": 3}
    assert client.sent.count(("GET", some[0])) == 1
    assert ("POST", some[0]) not in client.sent


async def test_what_was_only_read_before_the_stop_was_not_attempted(tmp_path: Path) -> None:
    some = ids(2)
    client = Scripted({some[0]: [Answer(500, b"")], some[1]: [Answer(500, b"")]})
    here = RunHarness(tmp_path, retry_check_first=True, retry_backoff_initial="60s")
    here.given["retry_backoff_max"] = "60s"
    run = asyncio.create_task(here.run(some, client=client))
    runner = await here.at_work()
    await until(lambda: runner.snapshot().waiting == 2)
    runner.stop(StopError("now"))
    ended = await run
    assert ended.records == []
    assert ended.finished.tally.not_attempted == 2


async def test_a_stop_wakes_a_run_that_waits_for_its_input(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    source = AsyncSource(open_source("-", stdin=reading))
    here = RunHarness(tmp_path)
    client = Held()
    client.let_go.set()
    run = asyncio.create_task(here.run(client=client, source=source))
    os.write(writing, f"{ids(1)[0]}\n".encode())
    await until(lambda: here.results.exists() and here.results.stat().st_size)
    here.runner.stop(StopError("now"))
    ended = await run
    assert (ended.code, ended.outcomes) == (ExitCode.INTERRUPTED, {"processing": 1})
    assert not ended.finished.complete_input
    os.close(writing)
    os.close(reading)


async def test_every_fault_at_a_stop_leaves_a_balanced_account(tmp_path: Path) -> None:
    some = ids(400)
    faults = ("reset_after=0.2", "http_500=0.2", "empty_body=0.1")
    config = faulty(some, *faults, limit=3, latency_s=(0.001, 0.03))
    async with harness(tmp_path, config, retry_max_attempts=9) as (here, sandbox):
        for settled in range(40, 400, 60):
            run = asyncio.create_task(here.run(some))
            await until(lambda: sandbox.sessions.triggered >= settled)  # noqa: B023
            here.runner.stop(StopError("now"))
            assert (await run).code is ExitCode.INTERRUPTED
        assert (await here.run(some)).outcomes == {"processing": 400}
        assert sandbox.sessions.triggered_twice == {}


# --- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 402, 403])
async def test_a_refusal_of_the_key_or_the_account_stops_the_run(
    tmp_path: Path, status: int
) -> None:
    some = ids(50)
    body = b'{"type": "unauthorized", "message": "not with this key"}'
    client = Scripted({key: [Answer(status, body)] for key in some[10:]})
    here = RunHarness(tmp_path, pace_concurrency=1)
    ended = await here.run(some, client=client)
    assert ended.code is ExitCode.REFUSED
    assert f"HTTP {status}, unauthorized: not with this key" in ended.finished.reason
    assert ended.outcomes == {"processing": 10, "unauthorized": 1}
    assert ended.finished.tally.not_attempted == 39
    again = await here.run(client=Scripted({}))
    assert (again.code, again.outcomes) == (ExitCode.OK, {"processing": 50})


async def test_five_answers_that_are_not_the_apis_stop_the_run(tmp_path: Path) -> None:
    some = ids(50)
    client = Scripted({key: [FOREIGN] for key in some})
    ended = await RunHarness(tmp_path, pace_concurrency=1).run(some, client=client)
    assert ended.code is ExitCode.REFUSED
    assert "base URL looks wrong" in ended.finished.advice
    # What was sent may have been passed on: the next run reads it first.
    asked = len({key for _, key in client.sent})
    assert len(client.sent) == 5
    assert ended.outcomes == {"ambiguous": asked}
    assert ended.finished.tally.not_attempted == 50 - asked


async def test_one_answer_of_the_apis_own_proves_the_address(tmp_path: Path) -> None:
    some = ids(50)
    replies: dict[str, list[Reply]] = {key: [FOREIGN, DONE] for key in some[:3]}
    client = Scripted(replies | {some[4]: [MISSING]})
    ended = await RunHarness(tmp_path, pace_concurrency=1).run(some, client=client)
    assert ended.code is ExitCode.OK
    assert ended.outcomes == {"processing": 49, "not_found": 1}


async def test_what_is_not_the_apis_own_in_mid_run_is_an_outage_and_no_id_pays(
    tmp_path: Path,
) -> None:
    some = ids(30)
    replies: dict[str, list[Reply]] = {key: [FOREIGN] for key in some}
    client = Scripted(replies | {some[0]: [DONE]})
    here = RunHarness(tmp_path, pace_concurrency=1, stop_outage_after=3, stop_patience="100ms")
    ended = await here.run(some, client=client)
    assert ended.code is ExitCode.UNAVAILABLE
    assert "in the API's place" in ended.finished.reason
    sent = len({key for _, key in client.sent})
    assert ended.outcomes == {"processing": 1, "ambiguous": sent - 1}
    assert ended.finished.tally.not_attempted == 30 - sent


async def test_a_wrong_address_marks_nothing_not_found(tmp_path: Path) -> None:
    async with harness(tmp_path, sessions(ids(4))) as (here, sandbox):
        here.url = f"{sandbox.origin}/v2"
        wrong = await here.run(ids(4))
        assert (wrong.code, wrong.outcomes) == (ExitCode.REFUSED, {"ambiguous": 4})
        here.url = sandbox.url
        assert (await here.run()).code is ExitCode.OK


# --- deadlines and limits -------------------------------------------------------------------


class LateClock(Clock):
    """What is to come in half an hour or more comes when the test says so."""

    def __init__(self) -> None:
        self._is_late = asyncio.Event()

    def now(self) -> float:
        return super().now() + 3600 * self._is_late.is_set()

    def be_late(self) -> None:
        self._is_late.set()

    async def wait(self, event: asyncio.Event, until: float | None = None) -> bool:
        if until is None or until - self.now() < 1800:
            return await super().wait(event, until)
        waits = [asyncio.ensure_future(each.wait()) for each in (event, self._is_late)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return event.is_set()


async def test_at_the_deadline_no_more_ids_are_taken(tmp_path: Path) -> None:
    some, clock = ids(300), LateClock()
    async with harness(tmp_path, sessions(some), pace_rate="100") as (here, sandbox):
        run = asyncio.create_task(here.run(some, stop_max_duration="1h", clock=clock))
        await until(lambda: sandbox.sessions.triggered)
        clock.be_late()
        ended = await run
        assert ended.code is ExitCode.STOPPED
        assert "--max-duration" in ended.finished.reason
        assert 0 < ended.outcomes["processing"] < 300
        assert ended.finished.tally.not_attempted == 300 - ended.outcomes["processing"]
        assert not ended.journal_stays
        assert (await here.run(pace_rate="10000")).outcomes == {"processing": 300}


@pytest.mark.parametrize(
    ("answer", "code"), [(DONE, ExitCode.OK), (REJECTED, ExitCode.SOME_FAILED)]
)
async def test_a_deadline_that_passes_while_the_last_ids_are_in_flight_stops_nothing(
    tmp_path: Path, answer: Reply, code: ExitCode
) -> None:
    client = Held(answer)
    here = RunHarness(tmp_path)
    run = asyncio.create_task(here.run([*ids(3), ids(1)[0]], client=client))
    await until(lambda: len(client.sent) == 3)
    here.runner.stop(deadline_reached("--max-duration"))
    client.let_go.set()
    ended = await run
    assert (ended.code, ended.finished.reason, ended.finished.advice) == (code, "", "")
    assert (ended.outcomes.total(), ended.finished.complete_input) == (3, True)


async def test_a_deadline_that_keeps_an_id_back_is_told(tmp_path: Path) -> None:
    client = Held()
    here = RunHarness(tmp_path, pace_concurrency=3)
    run = asyncio.create_task(here.run(ids(4), client=client))
    await until(lambda: len(client.sent) == 3)
    here.runner.stop(deadline_reached("--max-duration"))
    client.let_go.set()
    ended = await run
    assert (ended.code, ended.outcomes) == (ExitCode.STOPPED, {"processing": 3})
    assert "--max-duration" in ended.finished.reason


class Late:
    """The first id is throttled for an hour; the second is answered after that."""

    def __init__(self) -> None:
        self.first = asyncio.Event()

    async def complete(self, id: str, departure: Departure) -> Reply:
        if id == ids(1)[0]:
            self.first.set()
            return Answer(429, b"", "3600")
        await self.first.wait()
        await asyncio.sleep(0.05)
        return DONE

    async def check(self, id: str, departure: Departure) -> Reply:
        raise AssertionError(id)


async def test_a_retry_that_is_due_after_the_deadline_is_not_waited_for(tmp_path: Path) -> None:
    here = RunHarness(tmp_path, stop_patience="2h")
    ended = await here.run(ids(2), client=Late(), stop_max_duration="50s")
    assert ended.code is ExitCode.STOPPED
    assert ended.outcomes == {"processing": 1, "http_429": 1}
    assert ended.finished.elapsed_s < 25


async def test_a_limit_bounds_what_is_attempted(tmp_path: Path) -> None:
    some = ids(10)
    async with harness(tmp_path, sessions(some), stop_limit=4) as (here, sandbox):
        for done, code in ((4, ExitCode.STOPPED), (8, ExitCode.STOPPED), (10, ExitCode.OK)):
            ended = await here.run(["no id", *some, some[0]])
            assert ended.outcomes == {"processing": done, "invalid_id": 1}
            expected = ExitCode.SOME_FAILED if code is ExitCode.OK else code
            assert ended.code is expected
        assert sandbox.sessions.triggered_twice == {}


async def test_an_input_of_exactly_the_limit_is_done(tmp_path: Path) -> None:
    async with harness(tmp_path, sessions(ids(4)), stop_limit=4) as (here, _):
        ended = await here.run([*ids(4), ids(1)[0]])
        assert (ended.code, ended.finished.complete_input) == (ExitCode.OK, True)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for end in (reading, writing):
        try:
            os.close(end)
        except OSError:
            continue


async def test_a_pipe_of_exactly_the_limit_is_done(tmp_path: Path, pipe: tuple[int, int]) -> None:
    async with harness(tmp_path, sessions(ids(4)), stop_limit=4) as (here, _):
        os.write(pipe[1], "\n".join(ids(4)).encode())
        os.close(pipe[1])
        ended = await here.run(source=AsyncSource(open_source("-", stdin=pipe[0])))
        assert (ended.code, ended.outcomes) == (ExitCode.OK, {"processing": 4})


async def test_a_limit_does_not_wait_for_an_idle_pipe(
    tmp_path: Path, pipe: tuple[int, int]
) -> None:
    async with harness(tmp_path, sessions(ids(4)), stop_limit=4) as (here, _):
        os.write(pipe[1], ("\n".join(ids(4)) + "\n").encode())
        ended = await here.run(source=AsyncSource(open_source("-", stdin=pipe[0])))
        assert (ended.code, ended.outcomes) == (ExitCode.STOPPED, {"processing": 4})
        assert not ended.finished.complete_input


async def test_an_input_without_a_line_that_counts_asks_nobody(tmp_path: Path) -> None:
    client = Held()
    ended = await RunHarness(tmp_path).run(["# nothing", ""], client=client)
    assert (ended.code, ended.outcomes, client.sent) == (ExitCode.OK, {}, [])
    assert not ended.journal_stays


async def test_a_file_without_an_id_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none of its lines"):
        await RunHarness(tmp_path).run(["no id", "./."])
    assert os.listdir(tmp_path) == ["backlog.txt"]  # noqa: PTH208


async def test_a_pipe_without_an_id_ends_the_run_before_any_outcome(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"no id\n./.\n")
    os.close(writer)
    client = Held()
    source = AsyncSource(open_source("-", stdin=reader))
    ended = await RunHarness(tmp_path).run(source=source, client=client)
    os.close(reader)
    assert (ended.code, ended.outcomes, client.sent) == (ExitCode.USAGE, {}, [])
    assert "line 1, 'no id'" in ended.finished.reason
    assert not ended.journal_stays
