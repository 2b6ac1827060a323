"""A server that answers with bytes as a test wrote them: what no HTTP server would send."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple

from tests.support.loopback import LoopbackServer

PROCESSING = b'{"status": "processing"}'
STARTED = b'{"status": "started"}'


class Then(Enum):
    """What happens to the connection after the bytes were sent."""

    KEEP = auto()
    CLOSE = auto()
    RESET = auto()
    HANG = auto()


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int


class Sent(NamedTuple):
    data: bytes
    then: Then = Then.KEEP


Answer = Callable[[Request], Sent]


def response(
    body: bytes, *headers: str, status: str = "200 OK", length: int | None = None
) -> bytes:
    """A whole answer; `length` lies about the body's, -1 leaves it out."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *headers]
    if length != -1:
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def always(data: bytes, then: Then = Then.KEEP) -> Answer:
    return lambda _: Sent(data, then)


def by_method(*, post: Sent, get: bytes) -> Answer:
    return lambda request: post if request.method == "POST" else Sent(get)


class RawServer(LoopbackServer):
    """Answers at `url` while its context lasts, and keeps every request."""

    def __init__(self, answer: Answer, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls)
        self._answer = answer
        self._writers: list[asyncio.StreamWriter] = []
        self.requests: list[Request] = []
        self.accepted = 0

    @property
    def url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}/v1"

    @property
    def methods(self) -> list[str]:
        return [request.method for request in self.requests]

    async def say(self, data: bytes) -> None:
        """Send on every open connection what nobody has asked for, and see it arrive."""
        for writer in self._writers:
            if not writer.is_closing():
                writer.write(data)
                await writer.drain()
        for _ in range(100):
            await asyncio.sleep(0)

    def hang_up(self) -> None:
        """Close every connection that is open."""
        for writer in self._writers:
            writer.close()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._writers.append(writer)
        number = self.accepted
        while True:
            request = await _read_request(reader, number)
            self.requests.append(request)
            sent = self._answer(request)
            writer.write(sent.data)
            await writer.drain()
            if sent.then is Then.HANG:
                await asyncio.Event().wait()
            if sent.then is Then.RESET:
                reset(writer)
            if sent.then is not Then.KEEP:
                return


def reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _read_request(reader: asyncio.StreamReader, connection: int) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, body, connection)
