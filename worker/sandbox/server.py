"""The sandbox's server: real sockets on loopback, with everything that goes wrong on them."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import sys
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from worker.core.clock import Clock
from worker.core.errors import UsageError
from worker.sandbox import answers
from worker.sandbox.answers import Response
from worker.sandbox.config import OutageMode, SandboxConfig
from worker.sandbox.delivery import HANG_S, abort, deliver, dropped, render
from worker.sandbox.faults import BEFORE
from worker.sandbox.service import Service, Target, route
from worker.sandbox.sessions import Sessions

HOST: Final = "127.0.0.1"
STATS_PATH: Final = "/sandbox/stats"
_BACKLOG: Final = 1024
_SHUTDOWN_S: Final = 1.0


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
        self._listener: asyncio.Server | None = None

    @property
    def origin(self) -> str:
        return f"{'http' if self._config.tls is None else 'https'}://{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """The base URL, for a client."""
        return f"{self.origin}/v1"

    @property
    def sessions(self) -> Sessions:
        return self.service.sessions

    def stats(self, *, full: bool = False) -> dict[str, Any]:
        return self.service.stats(full=full)

    async def __aenter__(self) -> Self:
        self._server = web.Server(
            self._handle, handler_cancellation=True, access_log=None, logger=_logger
        )
        self._reserved = self._bind()
        try:
            await self._listen()
        except BaseException:
            self._reserved.close()
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
        self._reserved.close()

    async def begin_outage(self, mode: OutageMode) -> None:
        """Go away as `mode` says, until `end_outage`."""
        await self.end_outage()
        self.outage = mode
        if mode is OutageMode.REFUSE:
            self._die()

    async def end_outage(self) -> None:
        self.outage = None
        if self._listener is None:
            await self._listen()

    async def _run_outages(self) -> None:
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        for begin_s, end_s in sorted(self._config.outages):
            await asyncio.sleep(started_at + begin_s - loop.time())
            await self.begin_outage(self._config.outage_mode)
            await asyncio.sleep(started_at + end_s - loop.time())
            await self.end_outage()

    def _bind(self) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, self.port))
        except OSError as error:
            listener.close()
            raise _explain_bind(error, self.port) from error
        self.port = listener.getsockname()[1]
        return listener

    async def _listen(self) -> None:
        if sys.platform != "linux":
            self._reserved.close()
        # Linux lets a second socket share the address as long as only one of them listens: the
        # first keeps the port from everybody else while an outage refuses connections.
        self._listener = await asyncio.get_running_loop().create_server(
            self._server, sock=self._bind(), ssl=self._config.tls, backlog=_BACKLOG
        )

    def _die(self) -> None:
        self._lives += 1
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in self._server.connections:
            abort(connection.transport)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        if path == STATS_PATH:
            return render(answers.json(200, self.stats(full=query == "full=1")))
        with self.service.counts.visit(request.method) as visit:
            response = await self._serve(request, path, query)
            visit.status = str(response.status)
        return response

    async def _serve(self, request: web.BaseRequest, path: str, query: str) -> web.StreamResponse:
        if request.can_read_body:
            await _read(request)
        if self.outage is OutageMode.BLACKHOLE:
            await asyncio.sleep(HANG_S)
            raise dropped(request)
        if self.outage is OutageMode.UNAVAILABLE:
            return render(answers.UNAVAILABLE)
        target = route(request.method, path, query)
        if target is None:
            self.service.counts.note_foreign(request.method, path)
            return render(answers.foreign(request.method, path))
        refusal = self.service.refuse(request.headers.get("Authorization", ""))
        if refusal is not None:
            return render(refusal)
        return await self._perform(request, target)

    async def _perform(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        fault, latency_s = self.service.plan(target)
        if fault in BEFORE:
            await asyncio.sleep(latency_s)
            response = answers.EMPTY
        else:
            response = await self._act_midway(target, latency_s)
        if fault is not None:
            response = self.service.spoil(response, fault, self.origin)
        return await deliver(request, fault, response, self._config.slow_body_s)

    async def _act_midway(self, target: Target, latency_s: float) -> Response:
        if latency_s == 0:
            return self.service.act(target)
        loop = asyncio.get_running_loop()
        acted: asyncio.Future[Response] = loop.create_future()
        # A timer, and not this coroutine, acts: the coroutine is cancelled when the client leaves.
        loop.call_later(latency_s / 2, self._act_if_alive, target, self._lives, acted)
        response = await acted
        await asyncio.sleep(latency_s / 2)
        return response

    def _act_if_alive(self, target: Target, life: int, acted: asyncio.Future[Response]) -> None:
        if life != self._lives:
            return
        response = self.service.act(target)
        if not acted.done():
            acted.set_result(response)


def _explain_bind(error: OSError, port: int) -> UsageError:
    if error.errno == errno.EADDRINUSE:
        return UsageError(f"port {port} is in use", "Choose another one with --port, or 0")
    return UsageError(
        f"cannot listen on port {port}: {error.strerror}", "Choose another one with --port, or 0"
    )


async def _read(request: web.BaseRequest) -> None:
    try:
        await request.read()
    except web.RequestPayloadError:
        # Where the next request begins cannot be told.
        raise dropped(request) from None
