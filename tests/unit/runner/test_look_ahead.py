"""Statuses that are read ahead: what is sent, how old they may be, and how runs with them end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.list_model import ListModel, object_id
from tests.support.run_harness import DONE, records_in
from tests.support.virtual_runs import run_by_default
from worker.api.verdict import Answer, NoAnswer, Reply, Settled, Unfinished
from worker.core.clock import Clock
from worker.core.departure import Departure
from worker.core.errors import ExitCode, UsageError
from worker.core.events import RunFinished
from worker.core.outcomes import Error, Item, Outcome
from worker.pacing.permits import Permit
from worker.runner import Runner
from worker.runner.job import Job
from worker.runner.look_ahead import LookAhead
from worker.sandbox.sessions import Status
from worker.settings import Settings
from worker.settings.model import PaceSettings, RetrySettings, StopSettings

COMPLETE = Settled(Outcome.PROCESSING, 200, "complete")
STARTED = Unfinished(200)
BUSY = Answer(429, b'{"type": "rate_limit_exceeded"}')
AWAY = NoAnswer(Error("connect_failed", "no route"), may_have_arrived=False)


# --- the stage by itself -------------------------------------------------------------------------


class HandClock(Clock):
    def __init__(self) -> None:
        self.time_s = 1000.0

    def now(self) -> float:
        return self.time_s


class Pages:
    """A list that shows the statuses it was given, so many a page; keeps who was searched for."""

    def __init__(self, shown: Mapping[str, Settled | Unfinished], size: int = 2) -> None:
        self.shown = dict(shown)
        self.searched: list[list[str]] = []
        self.pages = 0
        self.stopped = False
        self._size = size
        self._left: list[str] = []

    def search(self, ids: Collection[str]) -> Pages:
        self.searched.append(list(ids))
        self._left = list(ids)
        return self

    async def next_page(self) -> list[tuple[str, Settled | Unfinished]] | None:
        page = [each for each in self._left if each in self.shown][: self._size]
        if not page or self.stopped:
            return None
        self.pages += 1
        self._left = [each for each in self._left if each not in page]
        return [(each, self.shown[each]) for each in page]

    def rest(self) -> list[str]:
        return self._left

    def stop(self) -> None:
        self.stopped = True


def look_ahead(pages: Pages, clock: HandClock) -> tuple[LookAhead, list[str]]:
    settled: list[str] = []
    stage = LookAhead(
        pages,
        clock,
        valid_s=300.0,
        on_settled=lambda job, verdict: settled.append(job.id),
        on_page=lambda: None,
    )
    return stage, settled


def jobs(*ids: str, unresolved: bool = False) -> list[Job]:
    return [Job.of(Item(each, 1), check_first=True, unresolved=unresolved) for each in ids]


async def test_what_has_ended_is_settled_and_what_is_started_is_sent_without_a_check() -> None:
    stage, settled = look_ahead(Pages({"a": COMPLETE, "b": STARTED}), HandClock())
    stage.add(jobs("a", "b"))
    (job,) = await stage.take(9)
    assert (job.id, job.check_next, settled) == ("b", False, ["a"])
    assert len(stage) == 0


async def test_what_pages_do_not_show_is_given_out_to_be_read_by_itself() -> None:
    stage, _ = look_ahead(Pages({"a": STARTED}), HandClock())
    stage.add(jobs("a", "b"))
    given = [*await stage.take(9), *await stage.take(9)]
    assert [(job.id, job.check_next) for job in given] == [("a", False), ("b", True)]


async def test_what_may_have_been_sent_is_never_looked_up_in_a_list() -> None:
    pages = Pages({"a": COMPLETE})
    stage, settled = look_ahead(pages, HandClock())
    stage.add(jobs("a", unresolved=True))
    (job,) = await stage.take(9)
    assert job.check_next
    assert (pages.searched, settled) == ([], [])


async def test_no_more_than_there_is_room_for_are_given_out_and_each_page_once() -> None:
    pages = Pages(dict.fromkeys("abcd", STARTED), size=4)
    stage, _ = look_ahead(pages, HandClock())
    stage.add(jobs(*"abcd"))
    assert [len(await stage.take(3)), len(stage), len(await stage.take(3))] == [3, 1, 1]
    assert pages.pages == 1


async def test_what_is_known_for_too_long_is_read_again_with_others() -> None:
    pages, clock = Pages(dict.fromkeys("abcd", STARTED), size=4), HandClock()
    stage, settled = look_ahead(pages, clock)
    stage.add(jobs(*"abcd"))
    await stage.take(1)
    clock.time_s += 200
    pages.shown["c"] = COMPLETE
    again = [*await stage.take(9), *await stage.take(9)]
    assert sorted(job.id for job in again) == ["b", "d"]
    assert [sorted(ids) for ids in pages.searched] == [list("abcd"), list("bcd")]
    assert settled == ["c"]
    assert {job.valid_until for job in again} == {clock.time_s + 300}


def test_a_job_whose_knowledge_is_too_old_when_it_leaves_is_read_instead() -> None:
    (job,) = jobs("a")
    known = job.known_started(valid_until=100.0)
    sent = known.begun(Permit(1, 100.0))
    assert (sent.check_next, sent.attempts) == (False, 1)
    read = known.begun(Permit(2, 100.1))
    assert (read.check_next, read.attempts) == (True, 0)


# --- whole runs ----------------------------------------------------------------------------------


class Api:
    """Answers after 0.1 s of virtual time; keeps what was sent when, what was completed, and how
    old the newest knowledge of each session was then."""

    def __init__(self, model: ListModel) -> None:
        self.model = model
        self.sent: list[tuple[str, str, float]] = []
        self.read_at: dict[str, float] = {}
        self.on_list: Callable[[Answer], Reply] = lambda answer: answer
        self.on_check: Callable[[Answer], Reply] = lambda answer: answer
        self.on_complete: Callable[[str], Reply] = lambda session_id: DONE
        self.triggers: list[str] = []
        self.away_until = 0.0
        self.connects_in_s = 0.0
        self.ages: list[float] = []

    async def complete(self, id: str, departure: Departure) -> Reply:
        await asyncio.sleep(self.connects_in_s)
        if not await departure(lambda: True):
            return NoAnswer(Error("connect_failed", "not sent"), may_have_arrived=False)
        self._left("POST", id)
        await asyncio.sleep(0.1)
        self._change(id)
        return self.on_complete(id)

    async def check(self, id: str, departure: Departure) -> Reply:
        now = self._left("GET", id)
        await asyncio.sleep(0.1)
        if now < self.away_until:
            return AWAY
        self.read_at[id] = now
        status = next(each.status for each in self.model.sessions if each.id == id)
        return self.on_check(Answer(200, msgspec.json.encode({"id": id, "status": status})))

    async def list_sessions(self, query: Mapping[str, str], departure: Departure) -> Reply:
        now = self._left("LIST", "")
        body = self.model.answer(query)
        await asyncio.sleep(0.1)
        if now < self.away_until:
            return AWAY
        for item in msgspec.json.decode(body)["items"]:
            self.read_at[item["id"]] = now
        return self.on_list(Answer(200, body))

    def of(self, method: str) -> list[str]:
        return [session_id for sent, session_id, _ in self.sent if sent == method]

    def _left(self, method: str, id: str) -> float:
        now = asyncio.get_running_loop().time()
        self.sent.append((method, id, now))
        if method == "POST":
            self.ages.append(now - self.read_at[id])
        return now

    def _change(self, id: str) -> None:
        self.triggers.append(id)
        at = next(n for n, each in enumerate(self.model.sessions) if each.id == id)
        self.model.complete(at)


def api_of(count: int, every_ms: int = 1000) -> Api:
    model = ListModel()
    for number in range(count):
        model.create(number * every_ms)
    return Api(model)


def run(
    directory: Path,
    api: Api,
    ids: list[str] | None = None,
    before: Callable[[Runner], None] = lambda _: None,
    rate: float = 8.0,
    **stop: Any,
) -> RunFinished:
    chosen = Settings(
        pace=PaceSettings(rate=rate),
        retry=RetrySettings(check_first=True),
        stop=StopSettings(**stop),
    )
    ids = ids if ids is not None else [each.id for each in api.model.sessions]
    finished = run_by_default(directory, ids, api, chosen, before)
    assert finished.tally.balanced
    return finished


@pytest.mark.parametrize("rate", [8.0, 0.5])
def test_no_status_is_older_than_five_minutes_when_its_session_is_completed(
    tmp_path: Path, rate: float
) -> None:
    api = api_of(400)
    finished = run(tmp_path, api, rate=rate)
    assert finished.exit_code is ExitCode.OK
    assert sorted(api.triggers) == sorted(each.id for each in api.model.sessions)
    assert max(api.ages) <= 300.0
    assert len(api.of("LIST")) <= 1 + 400 / rate / 100


def test_no_status_is_older_when_a_connection_takes_long_to_open(tmp_path: Path) -> None:
    api = api_of(200)
    api.connects_in_s = 8.0
    finished = run(tmp_path, api, rate=0.5)
    assert finished.exit_code is ExitCode.OK
    assert sorted(api.triggers) == sorted(each.id for each in api.model.sessions)
    assert max(api.ages) <= 300.0


def test_after_a_pause_what_was_known_before_it_is_read_again(tmp_path: Path) -> None:
    api = api_of(300)
    limited = Answer(429, b'{"type": "rate_limit_exceeded", "message": "no"}', "400")

    def throttle_once(id: str) -> Reply:
        if len(api.triggers) != 20:
            return DONE
        api.triggers.pop()
        return limited

    api.on_complete = throttle_once
    run(tmp_path, api)
    assert max(api.ages) <= 300.0


def test_a_completion_without_an_answer_is_followed_by_a_get_though_the_list_says_started(
    tmp_path: Path,
) -> None:
    api = api_of(40)
    lost = NoAnswer(Error("timeout", "late"), may_have_arrived=True)
    silent: set[str] = set()

    def once(id: str) -> Reply:
        is_first = id not in silent
        silent.add(id)
        return lost if is_first and len(silent) <= 10 else DONE

    api.on_complete = once
    finished = run(tmp_path, api)
    assert finished.exit_code is ExitCode.OK
    assert len(api.triggers) == len(set(api.triggers)) == 40
    assert len(set(api.of("GET"))) == 10
    assert set(api.of("GET")) <= silent


def test_what_is_rejected_and_still_started_fails_with_the_apis_words_after_one_read(
    tmp_path: Path,
) -> None:
    api = api_of(30)
    refusal = Answer(422, b'{"type": "invalid_request", "message": "no document"}')

    def reject(session_id: str) -> Reply:
        if session_id != api.model.sessions[3].id:
            return DONE
        api.model.sessions[3] = api.model.sessions[3]._replace(status=Status.STARTED)
        return refusal

    api.on_complete = reject
    finished = run(tmp_path, api)
    assert finished.tally.outcomes == {Outcome.PROCESSING: 29, Outcome.FAILED: 1}
    assert (len(api.of("POST")), len(api.of("GET"))) == (30, 1)
    (failed,) = [each for each in records_in(tmp_path / "r.jsonl") if each.error is not None]
    assert failed.error == Error("invalid_request", "no document")


def test_others_complete_and_create_sessions_meanwhile(tmp_path: Path) -> None:
    api = api_of(1200)
    asked = [each.id for each in api.model.sessions]

    def meddle(answer: Answer) -> Answer:
        for number in range(0, 1200, 50):
            if len(api.of("POST")) == 0:
                api.model.complete(number)
        api.model.create(1_300_000, object_id(1_300_000, len(api.model.sessions)))
        return answer

    api.on_list = meddle
    finished = run(tmp_path, api, asked, rate=200.0)
    assert finished.tally.outcomes == {Outcome.PROCESSING: 1200}
    assert {record.id for record in records_in(tmp_path / "r.jsonl")} == set(asked)
    assert len(api.triggers) == len(set(api.triggers)) <= 1200


def test_a_stop_while_a_page_is_read_leaves_all_that_is_ahead_unattempted(tmp_path: Path) -> None:
    api = api_of(500)
    runners: list[Runner] = []

    def stop(answer: Answer) -> Answer:
        runners[0].stop(UsageError("enough"))
        return answer

    api.on_list = stop
    finished = run(tmp_path, api, before=runners.append)
    assert finished.tally.not_attempted == 500
    assert api.triggers == []


def test_a_stop_does_not_wait_for_a_page_that_is_to_be_tried_again(tmp_path: Path) -> None:
    api = api_of(500)
    runners: list[Runner] = []

    def stop(answer: Answer) -> Reply:
        asyncio.get_running_loop().call_later(1.0, lambda: runners[0].stop(UsageError("enough")))
        return Answer(429, b"{}", "600")

    api.on_list = stop
    finished = run(tmp_path, api, before=runners.append)
    assert finished.elapsed_s < 2.0


def test_an_api_that_throttles_all_that_is_read_ends_the_run_with_4_and_nothing_lost(
    tmp_path: Path,
) -> None:
    api = api_of(500)
    api.on_list = api.on_check = lambda answer: BUSY
    finished = run(tmp_path, api)
    assert finished.exit_code is ExitCode.UNAVAILABLE
    assert finished.tally.not_attempted == 500
    read = len(api.of("LIST") + api.of("GET"))
    assert finished.tally.throttled == finished.tally.checks == read > 3


def test_a_list_that_is_throttled_while_sessions_can_be_read_costs_eleven_requests(
    tmp_path: Path,
) -> None:
    api = api_of(50)
    api.on_list = lambda answer: BUSY
    finished = run(tmp_path, api)
    assert finished.exit_code is ExitCode.OK
    assert (len(api.of("LIST")), len(api.of("GET")), len(api.triggers)) == (10, 51, 50)


def test_a_list_that_fails_while_sessions_can_be_read_costs_seven_requests(
    tmp_path: Path,
) -> None:
    api = api_of(50)
    api.on_list = lambda answer: Answer(500, b'{"type": "internal_server_error"}')
    finished = run(tmp_path, api)
    assert finished.exit_code is ExitCode.OK
    assert (len(api.of("LIST")), len(api.of("GET")), len(api.triggers)) == (6, 51, 50)


def test_an_outage_at_the_start_costs_time_and_not_the_list(tmp_path: Path) -> None:
    api = api_of(300)
    api.away_until = 200.0
    finished = run(tmp_path, api)
    assert finished.exit_code is ExitCode.OK
    assert len(api.triggers) == 300
    gets = [session_id for method, session_id, at in api.sent if method == "GET" and at > 200.0]
    assert len(gets) == 1


def test_a_limit_holds_for_what_is_looked_up(tmp_path: Path) -> None:
    api = api_of(500)
    finished = run(tmp_path, api, limit=30)
    assert (finished.exit_code, len(api.triggers)) == (ExitCode.STOPPED, 30)
    assert (finished.tally.input, finished.tally.not_attempted) == (500, 470)


def abandon(api: Api, share: int) -> None:
    """Of every hundred sessions so many, one after the other in time."""
    for number, session in enumerate(api.model.sessions):
        if number % 100 < share:
            api.model.sessions[number] = session._replace(status=Status.ABANDONED)


def test_sessions_that_ended_long_ago_do_not_end_a_run_for_its_share_of_failures(
    tmp_path: Path,
) -> None:
    api = api_of(1500)
    abandon(api, 45)
    finished = run(tmp_path, api, rate=200.0)
    assert finished.exit_code is ExitCode.SOME_FAILED
    assert finished.tally.outcomes == {Outcome.FAILED: 675, Outcome.PROCESSING: 825}


def test_a_number_of_failures_counts_those_that_ended_long_ago_too(tmp_path: Path) -> None:
    api = api_of(300)
    abandon(api, 45)
    finished = run(tmp_path, api, max_failures="100")
    assert finished.exit_code is ExitCode.REFUSED
    assert "ids failed, more than --max-failures allows" in finished.reason


def test_ids_of_the_future_and_of_another_form_are_read_by_themselves(tmp_path: Path) -> None:
    api = api_of(10)
    for session_id in ("f" * 24, "session_1"):
        api.model.create(5, session_id)
    finished = run(tmp_path, api)
    assert finished.tally.outcomes == {Outcome.PROCESSING: 12}
    assert sorted(api.of("GET")) == ["f" * 24, "session_1"]
