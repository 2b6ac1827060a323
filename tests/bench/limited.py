"""A server that allows so much and no more: `python -m tests.bench.limited LOG LIMITER [OPTIONS]`.

LIMITER is `sliding:10` (in any second), `fixed:10` (in each second of the clock), `shed:0.05` (a
share of all) or `none`. Requests reach it late by up to `--jitter` seconds; `--then 60 5` makes
the limit 5 a minute after the first request. An answer takes `--latency` seconds, and none comes
to a share of `--hang`, for which the log has status 0. Its port is the first line of its output;
LOG gets a line for each request, as nginx writes it here.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from pathlib import Path
from typing import TextIO

from tests.support.limiter_models import FixedWindow, Limiter, Shedding, SlidingLog

_LATENCY_S = (0.01, 0.05)
_NO_ANSWER = 0
_DONE = b'{"status":"processing"}'
_REFUSED = b'{"type":"rate_limit_exceeded","message":"Too many requests"}'
_END = b"\r\n\r\n"


class Limited:
    """What all connections share: the limiter, and the log."""

    def __init__(self, options: argparse.Namespace, log: TextIO) -> None:
        self._limiter: Limiter = options.limiter
        self._options = options
        self._log = log
        self._changes: list[tuple[float, int]] = []
        self._loop = asyncio.get_running_loop()

    def change(self, changes: list[tuple[float, int]]) -> None:
        """Have the limit be another one, so many seconds after the first request."""
        self._changes = changes

    def take(self, connection: Connection, agent: str) -> None:
        for after_s, limit in self._changes:
            self._loop.call_later(after_s, setattr, self._limiter, "limit", limit)
        self._changes = []
        late_s = random.uniform(0.0, self._options.jitter)
        self._loop.call_later(late_s, self._decide, connection, agent)

    def _decide(self, connection: Connection, agent: str) -> None:
        now = time.time()
        status = 200 if self._limiter.admits(now) else 429
        if random.random() < self._options.hang:
            status = _NO_ANSWER
        self._log.write(f"{now:.3f} {status} {agent}\n")
        if status != _NO_ANSWER:
            latency_s = self._options.latency or random.uniform(*_LATENCY_S)
            self._loop.call_later(latency_s, connection.answer, status)


class Connection(asyncio.Protocol):
    """One after the other: nobody here sends a second request before the first is answered."""

    def __init__(self, limited: Limited) -> None:
        self._limited = limited
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(_END)
        if end and len(body) >= int(_field(head, b"content-length") or 0):
            self._received = b""
            self._limited.take(self, _field(head, b"user-agent").decode())

    def answer(self, status: int) -> None:
        body = _DONE if status == 200 else _REFUSED
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(head.encode() + body)


def _field(head: bytes, name: bytes) -> bytes:
    for line in head.split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip()
    return b""


def limiter(kind: str) -> Limiter:
    """The limiter of that name. Raises ValueError where there is none."""
    name, _, amount = kind.partition(":")
    match name:
        case "sliding":
            return SlidingLog(int(amount))
        case "fixed":
            return FixedWindow(int(amount))
        case "shed":
            return Shedding(float(amount), random.randrange(2**32))
        case "none":
            return Shedding(0.0, 0)
    raise ValueError(kind)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path)
    parser.add_argument("limiter", type=limiter)
    parser.add_argument("--jitter", type=float, default=0.0)
    parser.add_argument("--then", nargs=2, action="append", default=[])
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--hang", type=float, default=0.0)
    options = parser.parse_args()
    with options.log.open("w", buffering=1) as log:
        limited = Limited(options, log)
        limited.change([(float(after), int(limit)) for after, limit in options.then])
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(limited), "127.0.0.1", 0)
        sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
