"""Reading pages of the list: which answers are waited out, and which end it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from random import Random

import msgspec
import pytest

from tests.support.defaults import pacing
from tests.support.virtual_time import VirtualClock, in_virtual_time, run_virtually
from worker.api.verdict import Answer, NoAnswer, Reply, Settled, Transient, Unfinished
from worker.core.clock import Clock
from worker.core.departure import Departure
from worker.core.errors import RefusedError, UnavailableError
from worker.core.outcomes import Error, Outcome
from worker.core.timetable import Timetable
from worker.pacing.pacer import Pacer
from worker.reading.reader import Reader
from worker.reading.sessions import timestamp
from worker.reading.walk import Span
from worker.settings.model import RetrySettings

NO_BACKEND = Answer(404, b"default backend - 404")
FAST = RetrySettings(
    backoff_initial=0.001, backoff_max=0.002, throttle_initial=0.001, throttle_max=0.002
)


def page(id: str, created_ms: int, pages: int) -> Answer:
    item = {"id": id, "status": "started", "createdAt": timestamp(created_ms)}
    envelope = {"items": [item], "totalItems": pages, "pages": pages}
    return Answer(200, msgspec.json.encode(envelope))


class Scripted:
    """Gives the answers in their order, whatever it is asked."""

    def __init__(self, *answers: Reply) -> None:
        self._answers = list(answers)

    async def list_sessions(self, query: Mapping[str, str], departure: Departure) -> Reply:
        return self._answers.pop(0)

    async def check(self, id: str, departure: Departure) -> Reply:
        return self._answers.pop(0)


def reader(*answers: Reply) -> Reader:
    clock = Clock()
    pacer = Pacer(Timetable.constant(1000), pacing(), clock=clock, notify=lambda _: None)
    return Reader(Scripted(*answers), pacer, clock, FAST, Random(1))


async def ids(it: Reader) -> list[str]:
    return [each.id async for sessions, _ in it.pages(Span()) for each in sessions]


async def test_a_proxys_answer_in_the_middle_is_waited_out() -> None:
    it = reader(page("b", 2000, 2), NO_BACKEND, Answer(429, b"{}"), page("a", 1000, 1))
    assert await ids(it) == ["b", "a"]
    assert it.requests == 4


@pytest.mark.parametrize(
    "answer", [NO_BACKEND, Answer(403, b'{"type": "unauthorized", "message": "no"}')]
)
async def test_what_is_not_the_api_at_the_start_or_refuses_ends_it(answer: Answer) -> None:
    with pytest.raises(RefusedError, match="the API refuses its list"):
        await ids(reader(answer))


@pytest.mark.parametrize(
    ("first", "is_answer"), [(NO_BACKEND, False), (Answer(403, b'{"type": "unauthorized"}'), True)]
)
async def test_what_is_not_the_api_at_the_start_is_no_answer_that_ends_an_outage(
    first: Answer, is_answer: bool
) -> None:
    clock = Clock()
    pacer = Pacer(Timetable.constant(1000), pacing(), clock=clock, notify=lambda _: None)
    away = NoAnswer(Error("connect_failed", "no route"), False)
    it = Reader(Scripted(away, first), pacer, clock, FAST, Random(1))
    with pytest.raises(RefusedError):
        await it.session("a")
    assert (pacer.last_probe_at == math.inf) is is_answer


async def test_a_session_is_read_until_it_is_answered() -> None:
    it = reader(NoAnswer(Error("timeout", "late"), True), Answer(200, b'{"status": "complete"}'))
    assert await it.session("a") == Settled(Outcome.PROCESSING, 200, "complete")
    assert it.requests == 2


async def test_a_session_that_cannot_be_read_is_given_up_after_as_many_attempts_as_an_id_has() -> (
    None
):
    failure = Answer(500, b'{"type": "internal_server_error", "message": "no"}')
    it = reader(*[failure] * 5)
    assert isinstance(await it.session("a"), Transient)
    assert it.requests == FAST.max_attempts


NO_PAGE = Answer(200, b'{"sessions": []}')
STARTED = Answer(200, b'{"status": "started"}')


async def test_a_page_that_fails_while_a_session_can_be_read_counts_as_refused() -> None:
    it = reader(*[NO_PAGE] * 5, STARTED, NO_PAGE)
    with pytest.raises(RefusedError, match="does not give its list: unexpected_response"):
        await it.page({}, "a")
    assert it.requests == 7


@pytest.mark.parametrize("is_shown", [True, False])
async def test_what_is_never_the_api_at_the_start_gives_no_page(is_shown: bool) -> None:
    it = reader(*[NO_BACKEND] * 5, STARTED if is_shown else NO_BACKEND, NO_BACKEND)
    told = "does not give its list" if is_shown else "refuses to show a session"
    with pytest.raises(RefusedError, match=told):
        await it.page({}, "a")
    assert it.requests == (7 if is_shown else 6)


async def test_a_list_that_is_throttled_while_sessions_are_not_is_given_up() -> None:
    busy = Answer(429, b'{"type": "rate_limit_exceeded", "message": "slow down"}')
    it = reader(*[busy] * 5, busy, STARTED, *[busy] * 5)
    with pytest.raises(RefusedError, match="does not give its list: rate_limit_exceeded"):
        await it.page({}, "a")
    assert it.requests == 12


@in_virtual_time
async def test_a_page_that_fails_in_an_outage_is_read_when_a_session_can_be_read_again() -> None:
    clock = VirtualClock()
    pacer = Pacer(Timetable.constant(8.0), pacing(), clock=clock, notify=lambda _: None)
    away = NoAnswer(Error("connect_failed", "no route"), False)
    client = Scripted(*[away] * 15, STARTED, page("a", 1000, 1))
    it = Reader(client, pacer, clock, RetrySettings(), Random(1))
    (session,) = (await it.page({}, "a")).sessions
    assert session.id == "a"


async def test_a_wait_that_the_api_asks_for_beyond_patience_ends_it() -> None:
    it = reader(Answer(429, b"{}", "7200"))
    with pytest.raises(UnavailableError, match="asks to wait 2h, which is longer than --patience"):
        await it.page({}, "a")


def test_patience_ends_while_a_retry_is_waited_for() -> None:
    async def wait_in_vain() -> float:
        clock = VirtualClock()
        options = pacing(patience_s=300.0)
        pacer = Pacer(Timetable.constant(8.0), options, clock=clock, notify=lambda _: None)
        limited = Scripted(*[Answer(429, b"{}")] * 99)
        slow = RetrySettings(throttle_initial=250.0, throttle_max=300.0)
        with pytest.raises(UnavailableError, match="throttled everything"):
            await Reader(limited, pacer, clock, slow, Random(1)).page({}, "a")
        return clock.now()

    assert run_virtually(wait_in_vain()) == pytest.approx(300.0, abs=1.0)


@in_virtual_time
async def test_a_refusal_of_a_key_that_is_replaced_by_now_is_an_answer() -> None:
    clock = VirtualClock()
    pacer = Pacer(Timetable.constant(8.0), pacing(), clock=clock, notify=lambda _: None)
    stale = Answer(401, b'{"type": "unauthorized", "message": "no"}', key_replaced=True)
    away = NoAnswer(Error("connect_failed", "no route"), False)
    client = Scripted(*[away] * 9, stale, *[away] * 9, STARTED)
    it = Reader(client, pacer, clock, RetrySettings(max_attempts=19), Random(1))
    reading = asyncio.ensure_future(it.session("a"))
    while not reading.done():
        await asyncio.sleep(1.0)
        assert not pacer.is_down
    assert await reading == Unfinished(200)
