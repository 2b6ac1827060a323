"""An API with a truth table: what clients asked for takes effect whether they live to see it."""

from __future__ import annotations

import heapq
from random import Random
from typing import Final

import msgspec

from tests.proofs.simulation.scenario import Scenario
from worker.api.verdict import Answer

_REJECTED: Final = frozenset({"rejected", "cancelled", "abandoned"})
_COMPLETED: Final = frozenset({"processing", "complete"})


class Session(msgspec.Struct):
    """`status` is the API's, or `rejected`: a session that no completion is accepted for.

    `excuse` is why it may be triggered more than once: one of the README's exclusions.
    """

    id: str
    status: str
    treatments: list[str]
    is_of_second_key: bool
    triggers: int = 0
    changed_at: float = float("-inf")
    excuse: str | None = None


class Api:
    """The sessions, and when what was asked of them takes effect."""

    def __init__(self, scenario: Scenario, random: Random) -> None:
        self.sessions = {
            plan.id: Session(plan.id, plan.status, list(plan.treatments), plan.is_of_second_key)
            for plan in scenario.sessions
        }
        self.random = random
        self.is_calm = False
        self.closes = scenario.closes
        self.faults = 0
        self._spells = scenario.spells
        self._conflicts = scenario.conflicts
        self._rotation = scenario.rotation
        self._effects: list[tuple[float, int, str]] = []
        self._order = 0

    def treatment(self, session: Session, now: float) -> tuple[str, float]:
        """What befalls a request of `session` that leaves now, and till when that kind lasts."""
        if self.is_calm:
            return "ok", now
        for spell in self._spells:
            if spell.begin <= now < spell.end:
                self.faults += 1
                return spell.kind, spell.end
        if session.treatments:
            kind = session.treatments.pop(0)
            self.faults += kind != "ok"
            return kind, now
        return "ok", now

    def is_in_spell(self, now: float) -> bool:
        """Whether every request meets some trouble now."""
        return not self.is_calm and any(each.begin <= now < each.end for each in self._spells)

    def refuses(self, key: int, now: float) -> bool:
        """Whether this key is not valid any more."""
        rotation = None if self.is_calm else self._rotation
        return rotation is not None and key == 0 and now >= rotation.refused_from

    def key_on_file(self, now: float) -> int:
        """Which key whoever reads the key file now is given."""
        rotation = self._rotation
        return int(rotation is not None and now >= rotation.there_from)

    def trigger_at(self, time: float, id: str) -> None:
        self._order += 1
        heapq.heappush(self._effects, (time, self._order, id))

    def advance(self, now: float) -> None:
        """Let everything take effect that was due."""
        while self._effects and self._effects[0][0] <= now:
            at, _, session_id = heapq.heappop(self._effects)
            session = self.sessions[session_id]
            session.triggers, session.changed_at = session.triggers + 1, at
            session.status = "processing"

    def settle(self) -> None:
        """Let everything take effect that ever will."""
        self.advance(float("inf"))

    def answer(self, id: str, key: int, *, post: bool) -> Answer:
        """What the API says of a session to whoever has this key."""
        session = self.sessions[id]
        status = session.status
        if status == "missing" or (session.is_of_second_key and key == 0):
            return error(404, "resource_not_found")
        if not post:
            return told("started" if status == "rejected" else status)
        if status in _REJECTED:
            return error(422, "invalid_request")
        if status in _COMPLETED and self._conflicts:
            return error(409, "invalid_request")
        return told("processing")


def told(status: str) -> Answer:
    """A session of this status."""
    return Answer(200, b'{"status": "%s"}' % status.encode())


def error(code: int, kind: str, retry_after: str | None = None) -> Answer:
    """An error as the API words it."""
    return Answer(code, b'{"type": "%s", "message": "no"}' % kind.encode(), retry_after)
