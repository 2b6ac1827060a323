"""What may have reached the API is read before it is sent again: nothing is done twice."""

from __future__ import annotations

import asyncio
import os
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.run_harness import DONE, RunHarness, Scripted, faulty, harness, ids, methods
from tests.support.virtual_runs import run_by_default
from tests.support.virtual_time import EPOCH
from worker.api.verdict import Answer, NoAnswer, Reply
from worker.core.departure import Departure
from worker.core.errors import ExitCode
from worker.core.events import RequestThrottled
from worker.core.outcomes import Error, Outcome, Via
from worker.ledger import Ledger
from worker.sandbox.config import SandboxConfig
from worker.sandbox.faults import Faults, parse_faults
from worker.sandbox.sessions import Status

EVERY_FAULT = (
    "http_500=0.05",
    "http_502_html=0.04",
    "http_503_after=0.05",
    "reset_before=0.05",
    "reset_after=0.05",
    "reset_midway=0.05",
    "timeout=0.01",
    "timeout_after=0.01",
    "slow_body=0.03",
    "malformed_json=0.05",
    "empty_body=0.05",
    "throttle=0.01",
    "foreign_200=0.05",
    "redirect=0.02",
)


def mixed(some: list[str]) -> dict[str, Status]:
    """Sessions in all five statuses; of every ten ids one is none."""
    kinds = [Status.STARTED] * 5 + [Status.PROCESSING, Status.COMPLETE]
    kinds += [Status.ABANDONED, Status.CANCELLED]
    return {key: kinds[n % 10] for n, key in enumerate(some) if n % 10 < 9}


async def test_with_every_fault_at_once_each_id_is_right_and_none_is_done_twice(
    tmp_path: Path,
) -> None:
    some = ids(500)
    held = mixed(some)
    config = SandboxConfig(
        sessions=held,
        limit=0,
        faults=parse_faults(*EVERY_FAULT, limit=4),
        slow_body_s=0.02,
        latency_s=(0.0, 0.004),
    )
    given = {"api_timeout": "2s", "api_connect_timeout": "10s", "retry_max_attempts": 9}
    async with harness(tmp_path, config, **given) as (here, sandbox):
        first = await here.run([*some, "not an id", *some[:20]])
        assert first.code is ExitCode.SOME_FAILED
        assert len(sandbox.stats()["faults"]) == len(EVERY_FAULT)
        assert sandbox.stats()["foreign"] == []
        assert first.finished.tally.duplicates == 20
        # A redirect is no answer of the API's: it costs time, and no id.
        assert first.outcomes["unexpected_response"] == 0
        sandbox.service.faults = Faults()
        last = await here.run(retry_check_first=True)
    assert sandbox.sessions.triggered_twice == {}
    assert [key for key in some if last[key].outcome is not expected_of(held.get(key))] == []
    completed = [key for key, status in held.items() if status is Status.STARTED]
    assert [key for key in completed if sandbox.sessions[key].triggers != 1] == []
    assert not last.journal_stays


def expected_of(status: Status | None) -> Outcome:
    if status is None:
        return Outcome.NOT_FOUND
    ended = status in (Status.ABANDONED, Status.CANCELLED)
    return Outcome.FAILED if ended else Outcome.PROCESSING


BEFORE = ("http_500", "http_502_html", "reset_before", "timeout")
AFTER = (
    *("http_503_after", "reset_after", "reset_midway", "timeout_after"),
    *("malformed_json", "empty_body", "foreign_200"),
)


@pytest.mark.parametrize("fault", BEFORE)
async def test_what_did_not_reach_the_session_is_read_and_sent_again(
    tmp_path: Path, fault: str
) -> None:
    config = faulty(ids(1), f"{fault}@post=1", limit=1)
    async with harness(tmp_path, config, api_timeout="1s") as (here, sandbox):
        ended = await here.run(ids(1))
        record = ended[ids(1)[0]]
        assert (record.outcome, record.attempts) == (Outcome.PROCESSING, 2)
        assert record.via is Via.COMPLETE
        assert methods(sandbox) == {"POST": 2, "GET": 1}
        assert sandbox.sessions.triggered_twice == {}


@pytest.mark.parametrize("fault", AFTER)
async def test_what_reached_the_session_is_read_and_not_sent_again(
    tmp_path: Path, fault: str
) -> None:
    config = faulty(ids(1), f"{fault}@post=1", limit=1)
    async with harness(tmp_path, config, api_timeout="1s") as (here, sandbox):
        ended = await here.run(ids(1))
        record = ended[ids(1)[0]]
        assert (record.outcome, record.attempts) == (Outcome.PROCESSING, 1)
        assert (record.via, record.session_status) == (Via.CHECK, "processing")
        assert methods(sandbox) == {"POST": 1, "GET": 1}
        assert sandbox.sessions[ids(1)[0]].triggers == 1


async def test_what_was_throttled_is_sent_again_without_reading(tmp_path: Path) -> None:
    async with harness(tmp_path, faulty(ids(1), "throttle@post=1", limit=2)) as (here, sandbox):
        ended = await here.run(ids(1))
        assert (ended[ids(1)[0]].outcome, ended[ids(1)[0]].attempts) == (Outcome.PROCESSING, 3)
        assert methods(sandbox) == {"POST": 3}
        assert ended.finished.tally.throttled == len(ended.seen.of(RequestThrottled)) == 2


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    async with harness(tmp_path, faulty(ids(1), "redirect=1")) as (here, sandbox):
        ended = await here.run(ids(1))
        assert (ended.code, ended.outcomes) == (ExitCode.REFUSED, {"ambiguous": 1})
        assert methods(sandbox) == {"POST": 1, "GET": 4}
        assert sandbox.stats()["foreign"] == []


async def test_a_body_that_comes_slowly_is_waited_for(tmp_path: Path) -> None:
    config = faulty(ids(1), "slow_body=1", slow_body_s=0.1)
    async with harness(tmp_path, config) as (here, sandbox):
        ended = await here.run(ids(1))
        assert (ended.outcomes, methods(sandbox)) == ({"processing": 1}, {"POST": 1})


@pytest.mark.parametrize(
    "fault", ["http_500", "reset_before", "timeout", "empty_body", "foreign_200", "throttle"]
)
async def test_a_reading_that_fails_is_repeated(tmp_path: Path, fault: str) -> None:
    config = faulty(ids(1), "reset_after@post=1", f"{fault}@get=1", limit=3)
    async with harness(tmp_path, config, api_timeout="1s") as (here, sandbox):
        ended = await here.run(ids(1))
        record = ended[ids(1)[0]]
        assert (record.outcome, record.via, record.attempts) == ("processing", "check", 1)
        assert methods(sandbox) == {"POST": 1, "GET": 3}
        assert ended.finished.tally.checks == 3


async def test_what_no_reading_can_tell_is_ambiguous_and_read_by_the_next_run(
    tmp_path: Path,
) -> None:
    config = faulty(ids(1), "reset_after@post=1", "http_500@get=1")
    async with harness(tmp_path, config) as (here, sandbox):
        first = await here.run(ids(1), stop_patience="100ms")
        assert first.code is ExitCode.UNAVAILABLE
        assert first.outcomes == {"ambiguous": 1}
        read = methods(sandbox)["GET"]
        sandbox.service.faults = Faults()
        second = await here.run()
        assert second.outcomes == {"processing": 1}
        assert methods(sandbox) == {"POST": 1, "GET": read + 1}
        assert sandbox.sessions[ids(1)[0]].triggers == 1


IN_REVIEW = Answer(200, b'{"status": "in_review"}')
LOST = NoAnswer(Error("timeout", ""), may_have_arrived=True)


@pytest.mark.parametrize("check_first", [True, False], ids=["read first", "read after a timeout"])
async def test_a_status_that_is_not_known_is_read_again_by_the_next_run_and_never_sent(
    tmp_path: Path, check_first: bool
) -> None:
    [one] = ids(1)
    here = RunHarness(tmp_path)
    replies: list[Reply] = [IN_REVIEW] if check_first else [LOST, IN_REVIEW]
    first = await here.run([one], client=Scripted({one: replies}), retry_check_first=check_first)
    assert (first.outcomes, first[one].session_status) == ({"ambiguous": 1}, "in_review")
    client = Scripted({one: [IN_REVIEW]})
    assert (await here.run(client=client)).outcomes == {"ambiguous": 1}
    assert client.sent == [("GET", one)]


async def test_after_the_last_attempt_too_a_reading_settles(tmp_path: Path) -> None:
    async with harness(tmp_path, faulty(ids(1), "reset_before@post=1")) as (here, sandbox):
        ended = await here.run(ids(1), retry_max_attempts=2)
        assert ended.outcomes == {"connection_reset": 1}
        assert ended[ids(1)[0]].attempts == 2
        assert methods(sandbox) == {"POST": 2, "GET": 2}


async def test_resend_sends_again_without_reading(tmp_path: Path) -> None:
    async with harness(tmp_path, faulty(ids(1), "reset_after@post=1", limit=1)) as (here, sandbox):
        ended = await here.run(ids(1), retry_on_ambiguous="resend")
        assert ended.outcomes == {"processing": 1}
        assert methods(sandbox) == {"POST": 2}
        assert sandbox.sessions.triggered_twice == {ids(1)[0]: 2}


async def test_fail_neither_reads_nor_sends_again_but_the_next_run_reads(tmp_path: Path) -> None:
    async with harness(tmp_path, faulty(ids(1), "reset_after@post=1")) as (here, sandbox):
        first = await here.run(ids(1), retry_on_ambiguous="fail")
        assert first.outcomes == {"ambiguous": 1}
        assert methods(sandbox) == {"POST": 1}
        second = await here.run(retry_on_ambiguous="fail")
        assert second.outcomes == {"processing": 1}
        assert methods(sandbox) == {"POST": 1, "GET": 1}


async def test_check_first_completes_only_what_is_started(tmp_path: Path) -> None:
    some = ids(6)
    held = dict(zip(some, Status, strict=False))
    async with harness(tmp_path, SandboxConfig(sessions=held, limit=0)) as (here, sandbox):
        ended = await here.run(some, retry_check_first=True)
        by_status = {status: ended[key] for key, status in held.items()}
        assert by_status[Status.STARTED].via is Via.COMPLETE
        for status in (Status.PROCESSING, Status.COMPLETE):
            assert (by_status[status].outcome, by_status[status].via) == ("processing", "check")
        for status in (Status.ABANDONED, Status.CANCELLED):
            error = by_status[status].error
            assert error is not None
            assert error.type == f"session_{status}"
        assert ended[some[5]].outcome is Outcome.NOT_FOUND
        assert methods(sandbox) == {"GET": 6, "POST": 1}
        assert [record.attempts for record in ended.records if record.attempts] == [1]


CONFLICT = Answer(409, b'{"type": "conflict", "message": "already completed"}')
READ_STARTED = Answer(200, b'{"status": "started"}')


class LateBackend:
    """A gateway that gives up while its backend goes on: it acts so many seconds later."""

    def __init__(self, acts_after_s: float, *, conflict: bool = False) -> None:
        self._acts_after_s = acts_after_s
        self._conflict = conflict
        self.posts: list[float] = []
        self.reads: list[float] = []
        self.acted = 0

    async def complete(self, id: str, departure: Departure) -> Reply:
        now = asyncio.get_running_loop().time()
        self.posts.append(now)
        if self._conflict and len(self.posts) > 1:
            return CONFLICT
        asyncio.get_running_loop().call_later(self._acts_after_s, self._act)
        return Answer(504, b"<h1>Gateway Time-out</h1>") if len(self.posts) == 1 else DONE

    async def check(self, id: str, departure: Departure) -> Reply:
        self.reads.append(asyncio.get_running_loop().time())
        return Answer(200, b'{"status": "processing"}') if self.acted else READ_STARTED

    def _act(self) -> None:
        self.acted += 1


@pytest.mark.parametrize(("acts_after_s", "posts"), [(5.0, 1), (29.0, 1), (1e6, 2)])
def test_what_a_gateway_gave_up_is_not_sent_again_while_its_backend_may_act(
    tmp_path: Path, acts_after_s: float, posts: int
) -> None:
    api = LateBackend(acts_after_s)
    finished = run_by_default(tmp_path, 1, api)
    assert (finished.exit_code, len(api.posts)) == (ExitCode.OK, posts)
    assert min(api.reads) < 2.0
    if posts == 2:
        assert api.posts[1] - api.posts[0] >= 30.0
        assert 0.0 <= api.posts[1] - api.reads[-1] < 1.0


def test_a_rejection_after_what_may_have_arrived_is_no_outcome(tmp_path: Path) -> None:
    api = LateBackend(40.0, conflict=True)
    finished = run_by_default(tmp_path, 1, api)
    assert finished.tally.outcomes == {Outcome.PROCESSING: 1}
    assert len(api.posts) == 2


@pytest.mark.parametrize(
    ("body", "least_s", "most_s"),
    [(b'{"type": "internal_server_error", "message": ""}', 0.0, 3.0), (b"<html>", 30.0, 33.0)],
)
def test_only_who_is_not_the_api_leaves_the_backend_at_work(
    tmp_path: Path, body: bytes, least_s: float, most_s: float
) -> None:
    client = Scripted({ids(1)[0]: [Answer(500, body), READ_STARTED, READ_STARTED, DONE]})
    if least_s == 0.0:
        client = Scripted({ids(1)[0]: [Answer(500, body), READ_STARTED, DONE]})
    finished = run_by_default(tmp_path, 1, client)
    assert finished.exit_code is ExitCode.OK
    assert least_s <= finished.elapsed_s <= most_s


async def test_an_answer_that_names_another_session_is_ambiguous(tmp_path: Path) -> None:
    other = Answer(200, b'{"status": "processing", "id": "another"}')
    client = Scripted({ids(1)[0]: [other, READ_STARTED, DONE]})
    ended = await RunHarness(tmp_path).run(ids(1), client=client)
    assert [method for method, _ in client.sent] == ["POST", "GET", "POST"]
    assert ended.outcomes == {"processing": 1}


@pytest.mark.parametrize("died_s_ago", [10.0, 60.0])
def test_after_a_crash_the_backend_is_left_its_time_from_the_next_runs_start_on(
    tmp_path: Path, died_s_ago: float
) -> None:
    async def die() -> None:
        with closing(Ledger.open(tmp_path / "r.jsonl", "dead")) as ledger:
            await ledger.enter(ids(1))

    asyncio.run(die())
    died_at = EPOCH.timestamp() - died_s_ago
    for file in tmp_path.iterdir():
        os.utime(file, (died_at, died_at))
    client = Scripted({ids(1)[0]: [READ_STARTED, READ_STARTED, DONE]})
    finished = run_by_default(tmp_path, 1, client)
    assert finished.exit_code is ExitCode.OK
    assert [method for method, _ in client.sent] == ["GET", "GET", "POST"]
    assert 30.0 <= finished.elapsed_s < 32.0
