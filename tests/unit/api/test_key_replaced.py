"""A 401 or a 404, where another key may have replaced the one that was sent."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.raw_server import PROCESSING, Answer, RawServer, Request, Sent, response
from tests.support.run_harness import settings
from worker.api.client import Client
from worker.api.verdict import (
    Answer as Answered,
)
from worker.api.verdict import Foreign, Refused, Settled, StaleKey, judge_completion

OLD, NEW = "live_old", "live_new"
UNAUTHORIZED = b'{"type": "unauthorized", "message": "Invalid API key"}'


class Keys:
    """The key in use, and what a renewal gives."""

    def __init__(self, *later: str) -> None:
        self.current = OLD
        self.later = list(later)
        self.renewals = 0

    def renew(self) -> bool:
        self.renewals += 1
        if not self.later:
            return False
        self.current = self.later.pop(0)
        return True


def client(url: str, keys: Keys) -> Client:
    api = settings(api_base_url=url).api
    return Client(
        *(url, lambda: keys.current),
        connect_timeout_s=api.connect_timeout,
        timeout_s=api.timeout,
        renew_key=keys.renew,
    )


def takes(key: str) -> Answer:
    refusal = Sent(response(UNAUTHORIZED, status="401 No"))
    accepted = Sent(response(PROCESSING))
    return lambda request: accepted if request.headers["authorization"] == key else refusal


async def test_the_next_request_is_sent_with_the_key_that_replaced_the_refused_one() -> None:
    keys = Keys(NEW)
    async with RawServer(takes(NEW)) as server, client(server.url, keys) as it:
        assert isinstance(judge_completion(await it.complete("a")), StaleKey)
        assert isinstance(judge_completion(await it.complete("a")), Settled)
    assert keys.renewals == 1


async def test_without_another_key_a_401_refuses_the_run() -> None:
    keys = Keys()
    async with RawServer(takes(NEW)) as server, client(server.url, keys) as it:
        assert isinstance(judge_completion(await it.complete("a")), Refused)
    assert keys.renewals == 1


async def test_what_was_in_flight_with_the_old_key_asks_for_no_other_one() -> None:
    """Or the second of two answers would give the new key up, of which nobody has said a word."""
    keys = Keys(NEW)
    async with RawServer(takes(NEW)) as server, client(server.url, keys) as it:
        replies = await asyncio.gather(*(it.complete(each) for each in "abcd"))
    assert {type(judge_completion(reply)) for reply in replies} == {StaleKey}
    assert keys.renewals == 1


@pytest.mark.parametrize(
    ("status", "kind", "meant"),
    [
        ("402 Pay", "payment_required", Refused),
        ("403 No", "forbidden", Refused),
        ("404 No", "resource_not_found", Settled),
    ],
)
async def test_what_is_said_of_a_key_that_is_replaced_by_now_is_asked_of_the_new_one(
    status: str, kind: str, meant: type[Refused | Settled]
) -> None:
    keys = Keys()
    said = Sent(response(b'{"type": "%s"}' % kind.encode(), status=status))

    def renewed_meanwhile(request: Request) -> Sent:
        keys.current = NEW
        return said

    async with RawServer(renewed_meanwhile) as server, client(server.url, keys) as it:
        assert isinstance(judge_completion(await it.complete("a")), StaleKey)
        assert isinstance(judge_completion(await it.complete("a")), meant)
    assert keys.renewals == 0


@pytest.mark.parametrize("status", ["402 Pay", "403 No"])
async def test_another_refusal_is_not_the_keys(status: str) -> None:
    keys = Keys(NEW)
    refusal = Sent(response(UNAUTHORIZED, status=status))
    async with RawServer(lambda _: refusal) as server, client(server.url, keys) as it:
        assert isinstance(judge_completion(await it.complete("a")), Refused)
    assert keys.renewals == 0


async def test_a_401_of_another_server_says_nothing_of_the_key() -> None:
    def portal(request: Request) -> Sent:
        return Sent(response(b"<html>log in</html>", status="401 No"))

    keys = Keys(NEW)
    async with RawServer(portal) as server, client(server.url, keys) as it:
        reply = await it.complete("a")
    assert isinstance(reply, Answered)
    assert isinstance(judge_completion(reply), Foreign)
    assert keys.renewals == 0
