"""Gets a response to the client, or fails to in the ways in which networks do."""

from __future__ import annotations

import asyncio
import socket
import struct
from http import HTTPStatus
from typing import Final

from aiohttp import web

from worker.sandbox import answers
from worker.sandbox.answers import Response
from worker.sandbox.faults import FaultKind

HANG_S: Final = 120.0
"""A request that is never answered is dropped after this, if its client has not left before."""

_SILENT: Final = frozenset({FaultKind.TIMEOUT, FaultKind.TIMEOUT_AFTER})
_DROPPED: Final = _SILENT | {
    FaultKind.RESET_BEFORE,
    FaultKind.RESET_AFTER,
    FaultKind.RESET_MIDWAY,
}
_BODY_PIECES: Final = 8
_LINGER_ZERO: Final = struct.pack("ii", 1, 0)


async def deliver(
    request: web.BaseRequest, fault: FaultKind | None, response: Response, slow_body_s: float
) -> web.StreamResponse:
    """Send a response; raises CancelledError where the fault is that none arrives."""
    if fault in _SILENT:
        await asyncio.sleep(HANG_S)
    if fault is FaultKind.RESET_MIDWAY:
        _write_half(request, response)
    if fault in _DROPPED:
        raise dropped(request)
    if fault is FaultKind.SLOW_BODY:
        return await _drip(request, response, slow_body_s)
    return render(response)


def render(response: Response) -> web.Response:
    return web.Response(status=response.status, body=response.body, headers=response.headers)


def dropped(request: web.BaseRequest) -> asyncio.CancelledError:
    """Reset a request's connection; to be cancelled is then how its handler ends unanswered."""
    abort(request.transport)
    return asyncio.CancelledError()


def abort(transport: asyncio.Transport | None) -> None:
    """Close a connection with a reset."""
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()


async def _drip(request: web.BaseRequest, response: Response, body_s: float) -> web.StreamResponse:
    stream = web.StreamResponse(status=response.status, headers=response.headers)
    stream.content_length = len(response.body)
    await stream.prepare(request)
    size = max(1, -(-len(response.body) // _BODY_PIECES))
    for start in range(0, len(response.body), size):
        await asyncio.sleep(body_s / _BODY_PIECES)
        await stream.write(response.body[start : start + size])
    return stream


def _write_half(request: web.BaseRequest, response: Response) -> None:
    if request.transport is None:
        return
    phrase = HTTPStatus(response.status).phrase
    length = len(response.body)
    head = f"HTTP/1.1 {response.status} {phrase}\r\nContent-Length: {length}\r\n\r\n"
    request.transport.write(head.encode() + answers.half(response.body))
