"""The sandbox's server: real sockets on loopback, with everything that goes wrong on them."""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from worker.core.clock import Clock
from worker.sandbox import answers
from worker.sandbox.answers import Response
from worker.sandbox.config import OutageMode, SandboxConfig
from worker.sandbox.delivery import HANG_S, abort, deliver, dropped, render
from worker.sandbox.faults import BEFORE, FaultKind
from worker.sandbox.listener import HOST, Listener
from worker.sandbox.service import Route, Service, route
from worker.sandbox.sessions import Sessions

STATS_PATH: Final = "/sandbox/stats"
_SHUTDOWN_S: Final = 1.0
_OUTAGE_ANSWERS: Final = {
    OutageMode.FIREWALL: answers.FIREWALL,
    OutageMode.NO_BACKEND: answers.NO_BACKEND,
    OutageMode.UNAVAILABLE: answers.UNAVAILABLE,
}


def _is_of_server(record: logging.LogRecord) -> bool:
    """Not where a client has garbled its request: that is answered, and no defect."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_logger: Final = logging.getLogger(__name__)
_logger.addFilter(_is_of_server)


class Sandbox:
    """A stand-in of the API on 127.0.0.1, from entering the context until leaving it.

    A request that passes the key and the limit takes effect when half of its latency has gone by,
    whether its client still waits or not; only the beginning of a `refuse` outage, which is the
    server's death, takes that effect away. `service` holds the state, and can be changed meanwhile.
    Raises UsageError on entering where the port cannot be had.
    """

    def __init__(self, config: SandboxConfig, clock: Clock | None = None) -> None:
        self.port = config.port
        self.service = Service(config, clock or Clock())
        self.outage: OutageMode | None = None
        self._config = config
        self._lives = 0
        self._busy: set[asyncio.Transport | None] = set()

    @property
    def origin(self) -> str:
        """Where it listens: scheme, host and port."""
        return f"{'http' if self._config.tls is None else 'https'}://{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """The base URL, for a client."""
        return f"{self.origin}/v1"

    @property
    def sessions(self) -> Sessions:
        return self.service.sessions

    def stats(self, *, full: bool = False) -> dict[str, Any]:
        """What /sandbox/stats answers; `full` adds every session."""
        return self.service.stats(full=full)

    async def __aenter__(self) -> Self:
        self._server = web.Server(
            self._handle, handler_cancellation=True, access_log=None, logger=_logger
        )
        self._listener = Listener(self.port)
        self.port = self._listener.port
        try:
            await self._listener.open(self._server, self._config.tls)
        except BaseException:
            self._listener.close()
            raise
        self._outages = asyncio.create_task(self._run_outages())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._outages.cancel()
        await asyncio.wait([self._outages])
        self._die()
        await self._server.shutdown(_SHUTDOWN_S)
        self._listener.close()

    async def begin_outage(self, mode: OutageMode) -> None:
        """Go away as `mode` says, until `end_outage`."""
        await self.end_outage()
        self.outage = mode
        if mode is OutageMode.REFUSE:
            self._die()
        elif mode is OutageMode.STALL:
            self._listener.stall()
            self._close_idle()

    async def end_outage(self) -> None:
        """Answer again, if it was away."""
        self.outage = None
        await self._listener.open(self._server, self._config.tls)

    async def _run_outages(self) -> None:
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        for begin_s, end_s in sorted(self._config.outages):
            await asyncio.sleep(started_at + begin_s - loop.time())
            await self.begin_outage(self._config.outage_mode)
            await asyncio.sleep(started_at + end_s - loop.time())
            await self.end_outage()

    def _close_idle(self) -> None:
        for connection in self._server.connections:
            if connection.transport is not None and connection.transport not in self._busy:
                connection.transport.close()

    def _die(self) -> None:
        self._lives += 1
        self._listener.refuse()
        for connection in self._server.connections:
            abort(connection.transport)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        if path == STATS_PATH:
            return render(answers.json(200, self.stats(full=query == "full=1")))
        transport = request.transport
        self._busy.add(transport)
        try:
            with self.service.counts.visit(request.method) as visit:
                response = await self._serve(request, path, query)
                visit.status = str(response.status)
        finally:
            self._busy.discard(transport)
        if self.outage is OutageMode.STALL or not self._config.keep_alive:
            response.force_close()
        return response

    async def _serve(self, request: web.BaseRequest, path: str, query: str) -> web.StreamResponse:
        if request.can_read_body:
            await _read(request)
        if self.outage is OutageMode.BLACKHOLE:
            await asyncio.sleep(HANG_S)
            raise dropped(request)
        if self.outage in _OUTAGE_ANSWERS:
            return render(_OUTAGE_ANSWERS[self.outage])
        target = route(request.method, path, query)
        if target is None:
            self.service.counts.note_foreign(request.method, path)
            return render(answers.foreign(request.method, path))
        refusal = self.service.refuse(request.headers.get("Authorization", ""))
        if refusal is not None:
            return render(refusal)
        return await self._perform(request, target)

    async def _perform(self, request: web.BaseRequest, target: Route) -> web.StreamResponse:
        fault, latency_s = self.service.plan(target)
        if fault is FaultKind.LATE:
            self._act_late(target)
        if fault in BEFORE or fault is FaultKind.LATE:
            await asyncio.sleep(latency_s)
            response = answers.EMPTY
        else:
            response = await self._act_midway(target, latency_s)
        if fault is not None:
            response = self.service.spoil(response, fault, self.origin)
        return await deliver(request, fault, response, self._config.slow_body_s)

    def _act_late(self, target: Route) -> None:
        loop = asyncio.get_running_loop()
        ignored: asyncio.Future[Response] = loop.create_future()
        late_s = self.service.faults.late_s
        loop.call_later(late_s, self._act_if_alive, target, self._lives, ignored)

    async def _act_midway(self, target: Route, latency_s: float) -> Response:
        if latency_s == 0:
            return self.service.act(target)
        loop = asyncio.get_running_loop()
        acted: asyncio.Future[Response] = loop.create_future()
        # A timer, and not this coroutine, acts: the coroutine is cancelled when the client leaves.
        loop.call_later(latency_s / 2, self._act_if_alive, target, self._lives, acted)
        response = await acted
        await asyncio.sleep(latency_s / 2)
        return response

    def _act_if_alive(self, target: Route, life: int, acted: asyncio.Future[Response]) -> None:
        if life != self._lives:
            return
        response = self.service.act(target)
        if not acted.done():
            acted.set_result(response)


async def _read(request: web.BaseRequest) -> None:
    try:
        await request.read()
    except web.RequestPayloadError:
        # Where the next request begins cannot be told.
        raise dropped(request) from None
