"""An HTTP proxy on loopback that keeps what it reads, and tunnels to one server under any name."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

from tests.support.loopback import LoopbackServer

ESTABLISHED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Proxy(LoopbackServer):
    """A proxy at `address` while its context lasts.

    Args:
        port: of the server on 127.0.0.1 to which every tunnel leads.
        answer: what a CONNECT is answered; only `ESTABLISHED` opens a tunnel.
        tls: with which it is itself spoken to, if not in clear.
    """

    def __init__(
        self, port: int = 9, answer: bytes = ESTABLISHED, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(tls)
        self._target = port
        self._answer = answer
        self.heads: list[bytes] = []
        """What it was sent before TLS began, connection by connection."""
        self.tunnelled = b""
        """What went through it towards the server."""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self._answer)
        await writer.drain()
        if self._answer == ESTABLISHED:
            await self._tunnel(reader, writer)

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            await asyncio.gather(self._forward(reader, forth), _copy(back, writer))
        finally:
            forth.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self.tunnelled += data
            writer.write(data)
            await writer.drain()
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
