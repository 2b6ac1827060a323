"""The run: each id gets its outcome, and the sum adds up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.run_harness import (
    DONE,
    Held,
    RunHarness,
    Scripted,
    client_for,
    faulty,
    harness,
    ids,
    methods,
    sessions,
    settings,
)
from tests.support.sandbox_caller import until
from worker.api.verdict import Answer, Reply
from worker.core.departure import Departure
from worker.core.errors import ExitCode
from worker.core.events import (
    Event,
    OutageBegan,
    OutcomesRecorded,
    RequestThrottled,
    RetryScheduled,
    RunFinished,
    RunStarted,
    StopRequested,
    Ticked,
)
from worker.core.outcomes import Via
from worker.pacing.pacer import Pacer
from worker.runner import Runner
from worker.sandbox.config import SandboxConfig
from worker.sandbox.faults import Faults


async def test_what_is_settled_is_not_sent_again_and_what_failed_is(tmp_path: Path) -> None:
    some = ids(4)
    config = faulty(some[:3], "http_500@post=1")
    async with harness(tmp_path, config, retry_max_attempts=1) as (here, sandbox):
        await here.run([some[0]])
        sandbox.service.faults = Faults()
        second = await here.run([some[3], some[1]])
        assert second.outcomes == {"internal_server_error": 1, "processing": 1, "not_found": 1}
        third = await here.run([some[2], some[1], some[0], some[3]])
        assert third.outcomes == {"processing": 3, "not_found": 1}
        assert third.finished.tally.settled == 2
        assert third.finished.tally.requests.total() == 2
        assert sandbox.sessions.triggered_twice == {}


async def test_a_double_is_sent_once_however_far_behind_the_first(tmp_path: Path) -> None:
    some = ids(300)
    async with harness(tmp_path, sessions(some)) as (here, sandbox):
        ended = await here.run([*some, *some], pace_window=32)
        assert ended.finished.tally.duplicates == 300
        assert (ended.code, methods(sandbox)) == (ExitCode.OK, {"POST": 300})


async def test_what_cannot_be_an_id_is_recorded_and_never_sent(tmp_path: Path) -> None:
    lines = ["../clients/x?y", "a b", "\x1b[2J", "é", "x" * 129]
    async with harness(tmp_path, SandboxConfig(any_id=True, limit=0)) as (here, sandbox):
        ended = await here.run([*lines, *ids(1)])
        assert ended.code is ExitCode.SOME_FAILED
        assert ended.outcomes == {"invalid_id": 5, "processing": 1}
        assert sum(record.attempts for record in ended.records) == 1
        assert methods(sandbox) == {"POST": 1}


async def test_no_more_requests_are_in_flight_than_there_are_slots(tmp_path: Path) -> None:
    client = Held()
    here = RunHarness(tmp_path, pace_concurrency=3)
    run = asyncio.create_task(here.run(ids(20), client=client))
    await until(lambda: len(client.sent) == 3)
    client.let_go.set()
    assert (await run).outcomes == {"processing": 20}
    assert client.most_at_once == 3


async def test_no_more_ids_are_taken_than_the_window_holds(tmp_path: Path) -> None:
    client = Held()
    here = RunHarness(tmp_path, pace_concurrency=2, pace_window=8)
    run = asyncio.create_task(here.run(ids(100), client=client))
    await until(lambda: len(client.sent) == 2)
    assert here.runner.tally.input == 8
    assert here.runner.snapshot().total == 100
    client.let_go.set()
    assert (await run).outcomes == {"processing": 100}


async def test_an_id_that_waits_for_its_retry_holds_up_nobody(tmp_path: Path) -> None:
    some = ids(5)
    busy = Answer(429, b"", "0.1")
    client = Scripted({some[0]: [busy, DONE]})
    ended = await RunHarness(tmp_path, pace_concurrency=1).run(some, client=client)
    assert [key for _, key in client.sent] == [*some, some[0]]
    assert ended.outcomes == {"processing": 5}


class Breaking:
    """The real client, but for one id it breaks once the API has acted, or gives no reply."""

    def __init__(self, url: str, broken: str, *, raises: bool) -> None:
        self._real = client_for(settings(api_base_url=url))
        self._broken = broken
        self._raises = raises

    async def complete(self, id: str, departure: Departure) -> Reply:
        async with self._real as real:
            reply = await real.complete(id)
        if id != self._broken:
            return reply
        if self._raises:
            raise ZeroDivisionError("nobody foresaw this")
        nothing: Any = None
        return nothing  # type: ignore[no-any-return]

    async def check(self, id: str, departure: Departure) -> Reply:
        async with self._real as real:
            return await real.check(id)


@pytest.mark.parametrize("raises", [True, False])
async def test_a_defect_in_a_slot_ends_the_run_with_an_account_and_without_a_second_trigger(
    tmp_path: Path, raises: bool
) -> None:
    some = ids(50)
    async with harness(tmp_path, sessions(some), pace_concurrency=1) as (here, sandbox):
        first = await here.run(some, client=Breaking(sandbox.url, some[9], raises=raises))
        assert first.code is ExitCode.DEFECT
        [defect] = here.runner.defects
        assert f"{type(defect).__name__}: {defect}" in first.finished.reason
        assert (len(first.records), first.finished.tally.not_attempted) == (9, 41)
        assert first.journal_stays
        second = await here.run()
        assert (second.code, second.outcomes) == (ExitCode.OK, {"processing": 50})
        assert second[some[9]].via is Via.CHECK
        assert sandbox.sessions.triggered_twice == {}
        assert not second.journal_stays


@pytest.mark.parametrize(
    ("broken", "max_duration"), [("snapshot", "1h"), ("_end_at_deadline", "50ms")]
)
async def test_a_defect_beside_the_slots_ends_the_run_with_an_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, max_duration: str
) -> None:
    def fail(_: Runner) -> None:
        raise ZeroDivisionError("nobody foresaw this")

    monkeypatch.setattr(Runner, broken, fail)
    here = RunHarness(tmp_path, pace_rate="50", stop_max_duration=max_duration)
    ended = await here.run(ids(200), client=Scripted({}))
    assert ended.code is ExitCode.DEFECT
    assert [str(defect) for defect in here.runner.defects] == ["nobody foresaw this"]


class Failing:
    """An observer that raises at its first event of a kind."""

    def __init__(self, kind: type[Event]) -> None:
        self._kind = kind
        self.failed = 0

    def notice(self, event: Event) -> None:
        if isinstance(event, self._kind):
            self.failed += 1
            raise RuntimeError(f"cannot show {event.name}")


@pytest.mark.parametrize(
    "kind",
    [RunStarted, RetryScheduled, RequestThrottled, OutageBegan, OutcomesRecorded, Ticked],
)
async def test_an_observer_that_raises_costs_the_exit_code_and_nothing_else(
    tmp_path: Path, kind: type[Event]
) -> None:
    some = ids(30)
    config = faulty(
        some, "throttle@post=0.1", "http_503_after@post=0.6", limit=2, latency_s=(0.01, 0.02)
    )
    given = {"stop_outage_after": 1, "pace_concurrency": 4}
    async with harness(tmp_path, config, **given) as (here, sandbox):
        observer = Failing(kind)
        ended = await here.run(some, observers=[observer])
        assert observer.failed == 1
        assert ended.code is ExitCode.DEFECT
        assert ended.outcomes == {"processing": 30}
        assert [str(defect) for defect in here.runner.defects] == [f"cannot show {kind.name}"]
        assert sandbox.sessions.triggered_twice == {}
        assert (await here.run()).code is ExitCode.OK


async def test_an_observer_that_cannot_show_the_end_does_not_change_it(tmp_path: Path) -> None:
    async with harness(tmp_path, sessions(ids(1))) as (here, _):
        ended = await here.run(ids(1), observers=[Failing(RunFinished)])
        assert ended.code is ExitCode.OK
        assert [str(defect) for defect in here.runner.defects] == ["cannot show run_finished"]


@pytest.mark.parametrize("rate", ["50", "10000"])
async def test_what_another_run_has_taken_over_is_neither_sent_nor_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: str
) -> None:
    some = ids(10)
    monkeypatch.setattr("worker.ledger.Ledger.owns", lambda _, key: key not in some[4:7])
    client = Scripted({})
    ended = await RunHarness(tmp_path, pace_rate=rate).run(some, client=client)
    assert sorted(key for _, key in client.sent) == some[:4] + some[7:]
    assert (ended.finished.tally.input, ended.outcomes) == (7, {"processing": 7})


async def test_a_permit_for_which_nothing_is_left_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = ids(3)
    released: list[int] = []
    monkeypatch.setattr("worker.ledger.Ledger.owns", lambda _, key: key != some[2])
    monkeypatch.setattr(Pacer, "release", lambda _, permit: released.append(permit.number))
    ended = await RunHarness(tmp_path).run(some, client=Scripted({}))
    assert ended.outcomes == {"processing": 2}
    assert len(released) == 1


class LettingGo:
    """Lets requests be answered once the run was told to stop."""

    def __init__(self, client: Held) -> None:
        self._client = client

    def notice(self, event: Event) -> None:
        if isinstance(event, StopRequested):
            self._client.let_go.set()


async def test_at_a_deadline_nothing_more_is_sent_and_what_is_in_flight_is_finished(
    tmp_path: Path,
) -> None:
    client = Held()
    here = RunHarness(tmp_path, pace_concurrency=2, stop_max_duration="50ms")
    ended = await here.run(ids(9), client=client, observers=[LettingGo(client)])
    assert ended.code is ExitCode.STOPPED
    assert "the time that --max-duration gives is over" in ended.finished.reason
    assert len(client.sent) <= 2
    assert len(ended.records) == len(client.sent)
    assert ended.finished.tally.not_attempted == 9 - len(client.sent)
