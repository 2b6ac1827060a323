"""A client of the simulated API, in a process that may die: connections, and what befalls them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from tests.proofs.simulation.api import Api, error, told
from tests.proofs.simulation.process import Process
from tests.proofs.simulation.witness import Sent, Witness
from worker.api.verdict import Answer, NoAnswer, Reply
from worker.core.departure import Departure
from worker.core.outcomes import Error, ErrorType

_HTML: Final = b"<html><body>Bad gateway</body></html>"
_LATEST_S: Final = 25.0
"""A backend acts so long after its gateway gave up, at most: within `retry.settle`, as promised."""

_VERY_LATE_S: Final = 120.0

_PLAIN: Final = {
    "503": error(503, "internal_server_error"),
    "502": Answer(502, _HTML),
    "503_wait": Answer(503, _HTML, "20"),
    "503_far": Answer(503, _HTML, "7200"),
    "garbled": Answer(200, b'{"status": "proc'),
    "proxy_page": Answer(404, _HTML),
    "moved": Answer(302, b""),
    "401": error(401, "unauthorized"),
    "402": error(402, "payment_required"),
    "403": error(403, "unauthorized"),
    "429": error(429, "rate_limit_exceeded"),
    "429_wait": error(429, "rate_limit_exceeded", "45"),
    "429_far": error(429, "rate_limit_exceeded", "7200"),
}
_FAR: Final = ("very_late_", "late_", "acts_")
_CONNECTING: Final = frozenset({"slow_connect", "unconnected", "stalled"})
_DOES_ITS_WORK: Final = _CONNECTING | {"ok", "stale"}


class SimulatedClient:
    """Sends with the key that is on file, over connections that it keeps while the server does.

    Where the API refuses the key it looks at the file again, as the real client is told to.
    """

    def __init__(
        self,
        api: Api,
        process: Process,
        witness: Witness,
        *,
        key: int,
        on_key_renewed: Callable[[int], None],
        connect_timeout_s: float,
        timeout_s: float,
    ) -> None:
        self._api = api
        self._process = process
        self._witness = witness
        self._key = key
        self._on_key_renewed = on_key_renewed
        self._connect_timeout_s = connect_timeout_s
        self._timeout_s = timeout_s
        self._idle = 0

    async def complete(self, id: str, departure: Departure) -> Reply:
        with self._witness.completing():
            return await self._send(id, departure, post=True)

    async def check(self, id: str, departure: Departure) -> Reply:
        return await self._send(id, departure, post=False)

    async def _send(self, id: str, departure: Departure, *, post: bool) -> Reply:
        self._process.check()
        began_at = asyncio.get_running_loop().time()
        kind, lasts_until = self._api.treatment(self._api.sessions[id], began_at)
        sent = Sent(began_at, "POST" if post else "GET", id)
        self._witness.sent.append(sent)
        is_idle = self._idle > 0 and kind not in _CONNECTING
        is_open = kind != "refused" and await self._connect(kind, lasts_until - began_at)
        is_sent = is_open and (
            (is_idle and departure.leaves_at_once()) or await departure(lambda: True)
        )
        sent.is_waiting = False
        if is_open and not is_sent:
            self._idle += 1
            return NoAnswer(Error(ErrorType.CONNECT_FAILED.value, "not sent"), False)
        if not is_open:
            reply = await self._refused(kind)
        else:
            sent.left_at = asyncio.get_running_loop().time()
            reply = await self._exchange(kind, id, post=post)
        now = asyncio.get_running_loop().time()
        self._api.advance(now)
        self._witness.on_reply(reply, now, sent)
        return reply

    async def _connect(self, kind: str, lasts_s: float) -> bool:
        """Whether a connection is open now, and not only when the time for it is over."""
        if self._idle and kind not in _CONNECTING:
            self._idle -= 1
            return True
        seconds = self._api.random.uniform(0.0005, 0.05)
        if kind == "slow_connect":
            seconds += self._api.random.uniform(1.0, 8.0)
        elif kind == "unconnected":
            seconds = self._connect_timeout_s
        elif kind == "stalled":
            seconds += lasts_s
        await asyncio.sleep(min(seconds, self._connect_timeout_s))
        return seconds < self._connect_timeout_s

    async def _refused(self, kind: str) -> Reply:
        if kind == "refused":
            await asyncio.sleep(self._api.random.uniform(0.01, 0.4))
        return NoAnswer(Error(ErrorType.CONNECT_FAILED.value, "no connection"), False)

    async def _exchange(self, kind: str, id: str, *, post: bool) -> Reply:
        random, now, key = self._api.random, asyncio.get_running_loop().time(), self._key
        is_refused = self._api.refuses(key, now)
        way_s = random.uniform(0.01, 0.4)
        answered_at = now + way_s + random.uniform(0.0, 0.2)
        completion = self._api.answer(id, key, post=True)
        if post and not is_refused and completion.status == 200:
            self._act(kind, id, now + way_s)
        if kind.endswith("hang"):
            await asyncio.sleep(self._timeout_s)
            return NoAnswer(Error(ErrorType.TIMEOUT.value, "no answer"), True)
        await asyncio.sleep(answered_at - now)
        if kind.endswith("reset"):
            return NoAnswer(Error(ErrorType.CONNECTION_RESET.value, "reset by peer"), True)
        self._idle += not self._api.closes
        self._api.advance(answered_at)
        if is_refused:
            return msgspec.structs.replace(_PLAIN["401"], key_replaced=self._has_other_key(key))
        reply = self._garble(kind) or (completion if post else self._read(kind, id, key))
        if reply.status == 404 and self._key != key:
            return msgspec.structs.replace(reply, key_replaced=True)
        return reply

    def _has_other_key(self, refused: int) -> bool:
        on_file = self._api.key_on_file(asyncio.get_running_loop().time())
        if self._key == refused != on_file:
            self._key = on_file
            self._on_key_renewed(on_file)
        return self._key != refused

    def _act(self, kind: str, id: str, arrives_at: float) -> None:
        """What the API does of its own accord, however the exchange ends."""
        random = self._api.random
        if kind in _DOES_ITS_WORK or kind.startswith("acts_"):
            self._api.trigger_at(arrives_at, id)
        elif kind.startswith("late_"):
            self._api.trigger_at(arrives_at + random.uniform(0.0, _LATEST_S), id)
        elif kind.startswith("very_late_"):
            self._api.trigger_at(arrives_at + random.uniform(0.0, _VERY_LATE_S), id)
            self._api.sessions[id].excuse = "a backend that acts later than retry.settle"

    def _garble(self, kind: str) -> Answer | None:
        """What is answered in place of the API's own word, if anything."""
        for prefix in _FAR:
            kind = kind.removeprefix(prefix)
        return _PLAIN.get(kind)

    def _read(self, kind: str, id: str, key: int) -> Answer:
        session = self._api.sessions[id]
        if kind == "stale" and session.status == "processing":
            session.excuse = "an API whose GET does not tell the truth"
            return told("started")
        return self._api.answer(id, key, post=False)
