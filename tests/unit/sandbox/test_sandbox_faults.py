"""What goes wrong on demand, and that the same seed makes the same go wrong."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.sandbox_caller import (
    KEY,
    ONE,
    STARTED,
    TWO,
    post_raw,
    serving,
    until,
)
from worker.core.errors import UsageError
from worker.sandbox.config import OutageMode, SandboxConfig
from worker.sandbox.faults import BEFORE, FaultKind, Faults, fraction, parse_faults
from worker.sandbox.server import Sandbox


@pytest.mark.parametrize(
    ("kind", "status", "body"),
    [
        (FaultKind.HTTP_500, 500, b'"internal_server_error"'),
        (FaultKind.HTTP_403_HTML, 403, b"Access denied"),
        (FaultKind.HTTP_404_HTML, 404, b"default backend"),
        (FaultKind.HTTP_502_HTML, 502, b"<html>"),
        (FaultKind.HTTP_503_AFTER, 503, b"<html>"),
        (FaultKind.MALFORMED_JSON, 200, b'{"status":'),
        (FaultKind.EMPTY_BODY, 200, b""),
        (FaultKind.THROTTLE, 429, b'"rate_limit_exceeded"'),
        (FaultKind.FOREIGN_200, 200, b"<html>"),
        (FaultKind.REDIRECT, 302, b""),
        (FaultKind.SLOW_BODY, 200, b'{"status":"processing"}'),
    ],
)
async def test_a_fault_spoils_the_answer(kind: FaultKind, status: int, body: bytes) -> None:
    config = SandboxConfig(sessions=STARTED, faults=parse_faults(f"{kind}=1"), slow_body_s=0.02)
    async with serving(config) as caller:
        reply = await caller.complete(ONE)
        assert reply.status == status
        assert body in reply.body
        assert caller.sandbox.sessions[ONE].triggers == (kind not in BEFORE)
        assert caller.sandbox.stats()["faults"] == {kind: 1}


async def test_malformed_json_is_not_json() -> None:
    config = SandboxConfig(sessions=STARTED, faults=parse_faults("malformed_json=1"))
    async with serving(config) as caller:
        for reply in (await caller.complete(ONE), await caller.complete("absent")):
            assert reply.status == 200
            with pytest.raises(json.JSONDecodeError):
                json.loads(reply.body)


async def test_a_redirect_that_is_followed_shows_among_the_foreign_paths() -> None:
    config = SandboxConfig(sessions=STARTED, faults=parse_faults("redirect=1"))
    async with serving(config) as caller:
        location = (await caller.complete(ONE)).headers["Location"]
        assert location == f"http://localhost:{caller.sandbox.port}/redirected"
        await caller.send("GET", "/redirected", key=None)
        assert caller.sandbox.stats()["foreign"] == ["GET /redirected"]


@pytest.mark.parametrize(
    ("kind", "received"),
    [
        (FaultKind.RESET_BEFORE, b""),
        (FaultKind.RESET_AFTER, b""),
        (FaultKind.RESET_MIDWAY, b'HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n{"status":"'),
    ],
)
async def test_a_reset_is_one_on_the_wire(kind: FaultKind, received: bytes) -> None:
    config = SandboxConfig(sessions=STARTED, faults=parse_faults(f"{kind}=1"))
    async with Sandbox(config) as sandbox:
        answer, error = await post_raw(sandbox, ONE)
        assert answer == received
        assert isinstance(error, ConnectionResetError)
        assert sandbox.sessions[ONE].triggers == (kind not in BEFORE)
        assert sandbox.stats()["requests"]["by_status"] == {"none": 1}


@pytest.mark.parametrize("kind", [FaultKind.TIMEOUT, FaultKind.TIMEOUT_AFTER])
async def test_a_timeout_is_silence_until_the_client_leaves(kind: FaultKind) -> None:
    config = SandboxConfig(sessions=STARTED, faults=parse_faults(f"{kind}=1"))
    async with serving(config) as caller:
        request = asyncio.create_task(caller.complete(ONE))
        await until(lambda: caller.sandbox.stats()["in_flight"] == 1)
        await until(lambda: caller.sandbox.sessions[ONE].triggers == (kind not in BEFORE))
        await asyncio.sleep(0.05)
        assert not request.done()
        request.cancel()
        await until(lambda: caller.sandbox.stats()["in_flight"] == 0)


async def test_a_late_backend_acts_after_its_gateway_has_given_up() -> None:
    config = SandboxConfig(sessions=STARTED, faults=parse_faults("late@post=1:2"))
    async with serving(config) as caller:
        reply = await caller.complete(ONE)
        assert (reply.status, reply.headers["Content-Type"][:9]) == (504, "text/html")
        assert (await caller.check(ONE)).json["status"] == "started"
        await until(lambda: caller.sandbox.sessions[ONE].triggers == 1)
        assert caller.sandbox.stats()["faults"] == {"late": 1}


async def test_a_late_backend_that_dies_meanwhile_does_not_act() -> None:
    config = SandboxConfig(sessions=STARTED, faults=parse_faults("late@post=1:0.05", limit=1))
    async with serving(config) as caller:
        await caller.complete(ONE)
        await caller.sandbox.begin_outage(OutageMode.REFUSE)
        await caller.sandbox.end_outage()
        await caller.complete(TWO)
        await until(lambda: caller.sandbox.sessions[TWO].triggers == 1)
        assert caller.sandbox.sessions[ONE].triggers == 0


async def test_a_slow_body_comes_in_pieces() -> None:
    config = SandboxConfig(sessions=STARTED, faults=parse_faults("slow_body=1"), slow_body_s=0.08)
    async with serving(config) as caller:
        url = f"{caller.sandbox.url}/workflowSessions/{ONE}/complete"
        async with caller.http.post(url, headers={"Authorization": KEY}) as response:
            pieces = [piece async for piece in response.content.iter_any()]
        assert len(pieces) > 2
        assert b"".join(pieces) == b'{"status":"processing"}'


async def test_a_client_in_time_sees_no_fault_of_another_method() -> None:
    config = SandboxConfig(sessions=STARTED, faults=parse_faults("http_500@post=1"))
    async with serving(config) as caller:
        assert (await caller.complete(ONE)).status == 500
        assert (await caller.check(ONE)).status == 200


async def test_faults_of_one_id_end_at_their_limit() -> None:
    config = SandboxConfig(sessions=STARTED, limit=0, faults=parse_faults("http_500=1", limit=2))
    async with serving(config) as caller:
        for session_id in (ONE, TWO, "absent"):
            statuses = [(await caller.check(session_id)).status for _ in range(4)]
            assert statuses[:2] == [500, 500]
            assert 500 not in statuses[2:]


async def statuses_by_id(ids: list[str], seed: int) -> dict[str, list[int]]:
    faults = parse_faults("http_500=0.3", "empty_body=0.1", "http_502_html=0.2")
    config = SandboxConfig(any_id=True, limit=0, faults=faults, seed=seed)
    async with serving(config) as caller:
        return {each: [(await caller.complete(each)).status for _ in range(3)] for each in ids}


async def test_the_same_seed_gives_the_same_faults_in_any_order() -> None:
    ids = [f"id{number}" for number in range(12)]
    forwards = await statuses_by_id(ids, seed=7)
    assert await statuses_by_id(ids[::-1], seed=7) == forwards
    assert await statuses_by_id(ids, seed=8) != forwards


def test_faults_strike_by_their_shares() -> None:
    faults = parse_faults("reset_after=0.25", "throttle@get=0.5")
    drawn = [fraction(1, "fault", "GET", f"id{number}", 0) for number in range(4000)]
    met = [faults.choose(each, "GET", 0) for each in drawn]
    assert 900 < met.count(FaultKind.RESET_AFTER) < 1100
    assert 1850 < met.count(FaultKind.THROTTLE) < 2150
    assert faults.choose(0.3, "POST", 0) is None
    assert Faults().choose(0.0, "POST", 0) is None


PLAIN = [kind for kind in FaultKind if kind is not FaultKind.LATE]


@given(st.lists(st.sampled_from(PLAIN), min_size=1, max_size=16, unique=True))
def test_shares_that_add_up_to_one_always_strike(kinds: list[FaultKind]) -> None:
    faults = parse_faults(*(f"{kind}={1 / len(kinds):.17f}" for kind in kinds))
    assert faults.choose(0.0, "POST", 0) is kinds[0]
    assert faults.choose(0.999, "POST", 0) is kinds[-1]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["reset_after"], "Write KIND=SHARE"),
        (["reset_after@put=0.1"], "Write KIND=SHARE"),
        (["nothing=0.1"], "there is no fault 'nothing'. There are: http_500, "),
        (["timeout=1.5"], "is over 1"),
        (["timeout=0.1.2"], "is no number. Give a number from 0 to 1"),
        (["late=0.1"], "needs one. Write late=SHARE:SECONDS"),
        (["late=0.1:soon"], "Write KIND=SHARE"),
        (["late=0.1:5x"], "the delay '5x' is no duration. Write late=SHARE:SECONDS"),
        (["timeout=0.1:5"], "only `late` has a delay"),
        (["late@get=0.1:5", "late@post=0.1:6"], "'late' is given two delays"),
        (["timeout=0.6", "throttle@get=0.5"], "GET requests add up to 1.1, over 1"),
    ],
)
def test_a_fault_that_cannot_be_meant_is_explained(texts: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_faults(*texts)
