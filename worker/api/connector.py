"""Connections to the API, and what happens between a connection that is open and its request."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Final

import aiohttp
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from typing_extensions import override

from worker.api.failures import FAILURES, NotConnectedError, NotDepartedError
from worker.core.departure import Departure

_NOT_FOR_REQUESTS: Final = (
    "the server closed the connection, or sent something on it, before a request was sent"
)


class Turn:
    """One request's way onto its connection.

    `departure` is asked once the connection is open (None: the request may leave at once); from
    `begin` on the request has `timeout_s` seconds, which `deadline` ends.
    """

    def __init__(
        self, departure: Departure | None, timeout_s: float, deadline: asyncio.Timeout
    ) -> None:
        self.is_pooled = False
        self._departure = departure
        self._timeout_s = timeout_s
        self._deadline = deadline

    def is_now(self) -> bool:
        """Whether the request may leave without waiting for anything."""
        departure = self._departure
        return departure is None or (self.is_pooled and departure.leaves_at_once())

    async def comes(self, connection: Connection) -> bool:
        """Wait until the request may leave on the connection; False where it is not to be sent."""
        assert self._departure is not None
        return await self._departure(lambda: is_open(connection))

    def begin(self) -> None:
        """The request leaves now."""
        self._deadline.reschedule(asyncio.get_running_loop().time() + self._timeout_s)


TURN: Final[ContextVar[Turn]] = ContextVar("turn")
"""That of the request which is being sent."""


def is_open(connection: Connection) -> bool:
    """Whether a request can be sent on the connection: aiohttp would take what came on it unasked
    for the answer to the next request, which is another id's."""
    protocol = connection.protocol
    return protocol is not None and protocol.is_connected() and not protocol.should_close


class Connector(aiohttp.TCPConnector):
    """Gives a connection when the request may leave on it. Tells what failed before a connection
    was open, a proxy's tunnel and TLS included, from what failed after."""

    @override
    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        turn = TURN.get()
        while True:
            turn.is_pooled = False
            connection = await self._open(req, traces, timeout)
            if turn.is_now() or await self._is_open_in_turn(connection, turn):
                turn.begin()
                return connection
            # It was closed while the request waited for its turn: nothing was sent on it.
            connection.close()

    async def _is_open_in_turn(self, connection: Connection, turn: Turn) -> bool:
        """Whether the connection is open when the turn has come; NotDepartedError where none
        comes."""
        try:
            is_its_turn = await turn.comes(connection)
        except BaseException:
            connection.close()
            raise
        if not is_its_turn:
            connection.release()
            raise NotDepartedError
        return is_open(connection)

    async def _open(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        try:
            connection = await super().connect(req, traces, timeout)
        except TimeoutError:
            raise
        except FAILURES as error:
            raise NotConnectedError from error
        # Of one that was there already `_get` has made sure, and nothing has happened since.
        if TURN.get().is_pooled or is_open(connection):
            return connection
        # A server may do so each time: to open another one here could go on for ever.
        connection.close()
        raise NotConnectedError from aiohttp.ClientConnectionError(_NOT_FOR_REQUESTS)

    @override
    async def _get(self, key: ConnectionKey, traces: list[Trace]) -> Connection | None:
        while (connection := await super()._get(key, traces)) is not None:
            if is_open(connection):
                TURN.get().is_pooled = True
                return connection
            connection.close()
        return None
