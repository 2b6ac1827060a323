"""Reading given sessions against the stand-in: what is told, what it costs, and lists that fail."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from tests.support.run_harness import KEY, client_for, settings
from worker.api.verdict import Answer, Reply, Settled, Unfinished
from worker.app.composition import make_pacer
from worker.core.clock import Clock
from worker.core.departure import Departure
from worker.core.errors import RefusedError, UnavailableError
from worker.core.outcomes import Outcome
from worker.reading.reader import Reader
from worker.reading.statuses import ReadStatus, StatusReader
from worker.sandbox.config import OutageMode, SandboxConfig
from worker.sandbox.faults import parse_faults
from worker.sandbox.server import Sandbox
from worker.sandbox.sessions import Status
from worker.settings import ApiKey

SECOND = 0x68000000  # 2025-04-16


def made(count: int, every_s: int = 30) -> list[str]:
    return [f"{SECOND + number * every_s:08x}{number:016x}" for number in range(count)]


class Recorder:
    """A client that answers as another does, but for lists of its own; keeps what was told."""

    def __init__(self, client: Any, lists: Any = None) -> None:
        self._client = client
        self._lists = lists
        self.told: list[str] = []
        self.reader: Reader
        self.statuses: StatusReader

    async def list_sessions(self, query: Mapping[str, str], departure: Departure) -> Reply:
        reply: Reply = await self._client.list_sessions(query, departure)
        return self._lists(reply, query) if self._lists is not None else reply

    async def check(self, id: str, departure: Departure) -> Reply:
        reply: Reply = await self._client.check(id, departure)
        return reply


@asynccontextmanager
async def reading(
    url: str, lists: Any = None, key: str = KEY, **given: object
) -> AsyncIterator[Recorder]:
    chosen = settings(api_base_url=url, **given)
    async with client_for(chosen, key) as client:
        clock = Clock()
        recorder = Recorder(client, lists)
        pacer = make_pacer(chosen, ApiKey(key), clock, lambda _: None, first_probe=None)
        recorder.reader = Reader(recorder, pacer, clock, chosen.retry, random.Random(1))
        recorder.statuses = StatusReader(recorder.reader, clock, recorder.told.append)
        yield recorder


async def read(recorder: Recorder, ids: list[str]) -> dict[str, ReadStatus]:
    told = [each async for batch in recorder.statuses.read(ids) for each in batch]
    assert len(told) == len({each.id for each in told})
    return {each.id: each for each in told}


def outcome(status: ReadStatus) -> str:
    match status.verdict:
        case Settled(outcome=outcome, session_status=named):
            return named or outcome
        case Unfinished():
            return "started"
    return "unread"


async def test_five_thousand_sessions_of_every_status_take_five_requests() -> None:
    ids = made(5000)
    held = {each: list(Status)[at % 5] for at, each in enumerate(ids)}
    shuffled = random.Random(2).sample(ids, k=5000)
    config = SandboxConfig(sessions=held, limit=0)
    async with Sandbox(config) as server, reading(server.url) as recorder:
        told = await read(recorder, shuffled)
        assert {each: outcome(status) for each, status in told.items()} == held
        assert all(status.is_listed for status in told.values())
        assert server.stats()["requests"]["total"] == recorder.reader.requests == 5
        assert recorder.told == []


async def test_what_the_list_does_not_show_and_ids_of_another_form_are_read_singly() -> None:
    ids = made(100)
    held = dict.fromkeys([*ids[:90], "another-form"], Status.COMPLETE)
    config = SandboxConfig(sessions=held, limit=0)
    async with Sandbox(config) as server, reading(server.url) as recorder:
        told = await read(recorder, [*ids, "another-form"])
        assert outcome(told["another-form"]) == "complete"
        assert {outcome(told[each]) for each in ids[90:]} == {Outcome.NOT_FOUND}
        assert not any(told[each].is_listed for each in ids[90:])
        assert recorder.reader.requests == 1 + 11


async def test_a_list_that_is_refused_is_told_once_and_sessions_are_read_singly() -> None:
    ids = made(60)
    config = SandboxConfig(sessions=dict.fromkeys(ids, Status.STARTED), limit=0, list_refused=True)
    async with Sandbox(config) as server, reading(server.url) as recorder:
        for _ in range(2):
            told = await read(recorder, ids)
            assert {outcome(each) for each in told.values()} == {"started"}
        assert recorder.reader.requests == 1 + 2 * 60
        (told_once,) = recorder.told
        assert "sessions are read one by one: the API refuses its list: unauthorized" in told_once


async def test_what_is_not_the_api_at_the_start_says_nothing_of_its_list() -> None:
    ids = made(60)
    config = SandboxConfig(sessions=dict.fromkeys(ids, Status.STARTED), limit=0)
    proxys = 2 * [Answer(404, b"default backend - 404")]

    def at_first_a_proxys(reply: Reply, _: Mapping[str, str]) -> Reply:
        return proxys.pop() if proxys else reply

    async with (
        Sandbox(config) as server,
        reading(server.url, at_first_a_proxys, retry_backoff_initial="1ms") as recorder,
    ):
        told = await read(recorder, ids)
        assert all(each.is_listed for each in told.values())
        assert recorder.reader.requests == 3
        assert recorder.told == []


def edited(**changes: Any) -> Any:
    """The list as it is, but for some fields of its envelope."""

    def edit(reply: Answer, _: Mapping[str, str]) -> Reply:
        envelope = msgspec.json.decode(reply.body)
        return Answer(200, msgspec.json.encode(envelope | changes))

    return edit


def without_filters(reply: Answer, _: Mapping[str, str]) -> Reply:
    envelope = msgspec.json.decode(reply.body)
    for item in envelope["items"]:
        item["createdAt"] = "2020-01-01T00:00:00.000Z"
    return Answer(200, msgspec.json.encode(envelope))


@pytest.mark.parametrize(
    "lists",
    [
        edited(items=None),
        edited(items=[{"id": "x"}]),
        edited(items=[]),
        edited(totalItems=10**18),
        edited(pages=-1),
        without_filters,
        lambda reply, query: Answer(400, b'{"type": "invalid_request", "message": "pageSize"}'),
        lambda reply, query: Answer(200, b"<html>sign in</html>"),
        lambda reply, query: Answer(404, b"default backend - 404"),
    ],
)
async def test_whatever_the_list_says_every_status_is_right(lists: Any) -> None:
    ids = made(40)
    held = {each: list(Status)[at % 5] for at, each in enumerate(ids)}
    config = SandboxConfig(sessions=held, limit=0)
    async with Sandbox(config) as server, reading(server.url, lists) as recorder:
        told = await read(recorder, ids)
        assert {each: outcome(status) for each, status in told.items()} == held
        assert len(recorder.told) <= 1
        assert recorder.reader.requests <= 47


async def test_faults_and_throttles_in_the_midst_are_waited_out() -> None:
    ids = made(2500)
    faults = parse_faults("http_500=0.2", "throttle=0.2", "malformed_json=0.2", limit=6)
    config = SandboxConfig(
        sessions=dict.fromkeys(ids, Status.COMPLETE), limit=0, faults=faults, seed=4
    )
    async with Sandbox(config) as server, reading(server.url) as recorder:
        told = await read(recorder, [*ids, "absent"])
        assert outcome(told.pop("absent")) == Outcome.NOT_FOUND
        assert {outcome(each) for each in told.values()} == {"complete"}
        assert recorder.reader.requests == server.stats()["requests"]["total"]


async def test_a_key_that_is_refused_ends_it() -> None:
    config = SandboxConfig(limit=0, keys=frozenset({"test_other"}))
    async with Sandbox(config) as server, reading(server.url) as recorder:
        with pytest.raises(RefusedError, match="unauthorized: Invalid API key"):
            await read(recorder, made(50))


async def test_an_outage_beyond_patience_ends_it() -> None:
    async with Sandbox(SandboxConfig(limit=0)) as server:
        await server.begin_outage(OutageMode.UNAVAILABLE)
        async with reading(server.url, stop_patience="300ms", stop_outage_after=3) as recorder:
            with pytest.raises(UnavailableError):
                await read(recorder, made(50))
