"""The simulated API's list of sessions, as it is, late, refused, failing or lying."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from tests.proofs.simulation.api import Api, Session, error, told
from tests.proofs.simulation.client import SimulatedClient
from tests.proofs.simulation.process import Process
from tests.proofs.simulation.witness import Sent, Witness
from worker.api.verdict import Answer, NoAnswer, Reply
from worker.core.departure import Departure
from worker.core.outcomes import Error, ErrorType
from worker.reading.search import created_second_ms
from worker.sandbox import answers
from worker.sandbox.listing import parse_query
from worker.sandbox.sessions import SessionSnapshot, Status

PAGE_SIZE: Final = 3
LIST: Final = ""
"""What stands for the list where a session's id is asked for."""

_LAG_S: Final = 20.0
_FAR_MS: Final = 4_000_000_000_000
_OK: Final = told("started")


class ListedClient:
    """What reads many sessions at once: the list of `listing`'s kind, and single sessions.

    A list that lies leaves sessions out, repeats them, or counts them wrongly; it tells no status
    that a session has not.
    """

    def __init__(
        self, api: Api, process: Process, witness: Witness, single: SimulatedClient, listing: str
    ) -> None:
        self._api = api
        self._process = process
        self._witness = witness
        self._listing = listing
        self.check = single.check

    async def list_sessions(self, query: Mapping[str, str], departure: Departure) -> Reply:
        self._process.check()
        loop, random = asyncio.get_running_loop(), self._api.random
        began_at = loop.time()
        if not (departure.leaves_at_once() or await departure(lambda: True)):
            return NoAnswer(Error(ErrorType.CONNECT_FAILED.value, "not sent"), False)
        left_at = loop.time()
        sent = Sent(began_at, "GET", LIST, left_at, is_waiting=False)
        self._witness.sent.append(sent)
        trouble = self._trouble(began_at)
        self._api.advance(began_at)
        page = self._page(query, began_at)
        await asyncio.sleep(random.uniform(0.02, 0.6))
        reply = page if trouble is None else trouble
        # That the list is refused says nothing of the key: single sessions can be read.
        is_answer = trouble is None or self._listing == "refused"
        self._witness.on_reply(_OK if is_answer else reply, loop.time(), sent, is_page=True)
        return reply

    def _trouble(self, now: float) -> Reply | None:
        """What comes in the list's place: a spell's trouble befalls it, too."""
        if self._listing == "refused":
            return error(403, "unauthorized")
        is_in_trouble = self._api.is_in_spell(now)
        if self._listing == "fails" and not self._api.is_calm:
            is_in_trouble = is_in_trouble or self._api.random.random() < 0.5
        if not is_in_trouble:
            return None
        return self._api.random.choice(
            (
                error(503, "internal_server_error"),
                error(429, "rate_limit_exceeded"),
                Answer(502, b"<html>Bad gateway</html>"),
                Answer(200, b'{"items": [{"id": "x"}], "totalItems": 1, "pages": 1}'),
                NoAnswer(Error(ErrorType.TIMEOUT.value, "no answer"), True),
            )
        )

    def _page(self, query: Mapping[str, str], now: float) -> Answer:
        asked = parse_query(urlencode(query))
        held = [self._snapshot(each, now) for each in self._api.sessions.values()]
        newest_first = sorted((each for each in held if each), key=_created_ms)[::-1]
        items, total = asked.cut(newest_first)
        if self._listing != "lies":
            return Answer(200, answers.page(items, asked.page, asked.page_size, total).body)
        random = self._api.random
        items = random.choice((items, items[::2], items[::-1], [*items, *items], newest_first))
        total = random.choice((total, 0, 10**9))
        return Answer(200, answers.page(items, asked.page, asked.page_size, total).body)

    def _snapshot(self, session: Session, now: float) -> SessionSnapshot | None:
        """The session as the list shows it; None where it does not."""
        created_ms = created_second_ms(session.id, _FAR_MS)
        if session.status == "missing" or session.is_of_second_key or created_ms is None:
            return None
        is_late = self._listing == "lags" and session.changed_at > now - _LAG_S
        is_open = session.status == "rejected" or is_late
        status = Status.STARTED if is_open else Status(session.status)
        return SessionSnapshot(session.id, status, created_ms, created_ms)


def _created_ms(snapshot: SessionSnapshot) -> int:
    return snapshot.created_ms
