"""An API with a truth table: what clients asked for takes effect whether they live to see it."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from random import Random
from typing import Final

import msgspec

from tests.proofs.simulation.process import Process
from tests.proofs.simulation.scenario import Scenario
from worker.api.verdict import Answer, NoAnswer, Reply
from worker.core.outcomes import Error, ErrorType

_HTML: Final = b"<html><body>Bad gateway</body></html>"
_LATEST_S: Final = 25.0
"""A backend acts so long after its gateway gave up, at most: within `retry.settle`, as promised."""

_PERSISTENT: Final = {"rejected": 422, "cancelled": 422, "abandoned": 422}


class Session(msgspec.Struct):
    """`status` is the API's, or `rejected`: a session that no completion is accepted for."""

    id: str
    status: str
    treatments: list[str]
    triggers: int = 0


class Api:
    """The sessions, and when what was asked of them takes effect."""

    def __init__(self, scenario: Scenario, random: Random) -> None:
        self.sessions = {
            plan.id: Session(plan.id, plan.status, list(plan.treatments))
            for plan in scenario.sessions
        }
        self.spells = scenario.spells
        self.random = random
        self.is_calm = False
        self.faults = 0
        self._effects: list[tuple[float, int, str]] = []
        self._order = 0

    def treatment(self, session: Session, now: float) -> str:
        """What befalls a request of `session` that leaves now."""
        if self.is_calm:
            return "ok"
        for spell in self.spells:
            if spell.begin <= now < spell.end:
                self.faults += 1
                return spell.kind
        if session.treatments:
            kind = session.treatments.pop(0)
            self.faults += kind != "ok"
            return kind
        return "ok"

    def trigger_at(self, time: float, id: str) -> None:
        self._order += 1
        heapq.heappush(self._effects, (time, self._order, id))

    def advance(self, now: float) -> None:
        """Let everything take effect that was due."""
        while self._effects and self._effects[0][0] <= now:
            session = self.sessions[heapq.heappop(self._effects)[2]]
            session.triggers += 1
            session.status = "processing"

    def answer(self, id: str, *, post: bool) -> Answer:
        """What the API says of a session."""
        session = self.sessions[id]
        if session.status == "missing":
            return _error(404, "resource_not_found")
        if post:
            code = _PERSISTENT.get(session.status)
            return _error(code, "invalid_request") if code else _session("processing")
        return _session("started" if session.status == "rejected" else session.status)

    def accepts(self, id: str) -> bool:
        return self.sessions[id].status in ("started", "processing", "complete")


class SimulatedClient:
    """A client of the API, in a process that may die."""

    def __init__(
        self, api: Api, process: Process, timeout_s: float, on_sent: Callable[[float, str], None]
    ) -> None:
        self._api = api
        self._process = process
        self._timeout_s = timeout_s
        self._on_sent = on_sent

    async def complete(self, id: str) -> Reply:
        return await self._send(id, post=True)

    async def check(self, id: str) -> Reply:
        return await self._send(id, post=False)

    async def _send(self, id: str, *, post: bool) -> Reply:
        self._process.check()
        now = asyncio.get_running_loop().time()
        random = self._api.random
        kind = self._api.treatment(self._api.sessions[id], now)
        way_s = random.uniform(0.01, 0.4)
        self._on_sent(now, "POST" if post else "GET")
        if kind in _NEVER_ARRIVES:
            return await _NEVER_ARRIVES[kind](self, way_s)
        answered_at = now + way_s + random.uniform(0.0, 0.2)
        acts = kind in _ACTS and post and self._api.accepts(id)
        if acts:
            late_s = random.uniform(0.0, _LATEST_S) if kind.startswith("late_") else 0.0
            self._api.trigger_at(now + way_s + late_s, id)
        if kind.endswith("hang"):
            return await self._no_answer(ErrorType.TIMEOUT, self._timeout_s, arrived=True)
        await asyncio.sleep(answered_at - now)
        self._api.advance(asyncio.get_running_loop().time())
        return self._reply(kind, id, post=post)

    def _reply(self, kind: str, id: str, *, post: bool) -> Reply:
        match kind.removeprefix("acts_").removeprefix("late_"):
            case "reset":
                return NoAnswer(Error(ErrorType.CONNECTION_RESET.value, "reset by peer"), True)
            case "503":
                return _error(503, "internal_server_error")
            case "502":
                return Answer(502, _HTML)
            case "503_wait":
                return Answer(503, _HTML, "20")
            case "garbled":
                return Answer(200, b'{"status": "proc')
            case "proxy_page":
                return Answer(404, _HTML)
            case "429":
                return _error(429, "rate_limit_exceeded")
            case "429_wait":
                return _error(429, "rate_limit_exceeded", "45")
            case _:
                return self._api.answer(id, post=post)

    async def refused(self, way_s: float) -> Reply:
        return await self._no_answer(ErrorType.CONNECT_FAILED, way_s, arrived=False)

    async def swallowed(self, way_s: float) -> Reply:
        del way_s
        return await self._no_answer(ErrorType.TIMEOUT, self._timeout_s, arrived=True)

    async def _no_answer(self, kind: ErrorType, after_s: float, *, arrived: bool) -> Reply:
        await asyncio.sleep(after_s)
        self._api.advance(asyncio.get_running_loop().time())
        return NoAnswer(Error(kind.value, "no answer"), arrived)


_NEVER_ARRIVES: Final = {"refused": SimulatedClient.refused, "hang": SimulatedClient.swallowed}
_ACTS: Final = frozenset(
    {
        "ok",
        "acts_reset",
        "acts_503",
        "acts_502",
        "acts_503_wait",
        "acts_garbled",
        "acts_hang",
        "acts_proxy_page",
        "late_502",
        "late_reset",
        "late_hang",
    }
)


def _session(status: str) -> Answer:
    return Answer(200, b'{"status": "%s"}' % status.encode())


def _error(code: int, kind: str, retry_after: str | None = None) -> Answer:
    return Answer(code, b'{"type": "%s", "message": "no"}' % kind.encode(), retry_after)
