"""An HTTP proxy on loopback that keeps what it reads, and tunnels to one server under any name."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final, Self

ESTABLISHED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Proxy:
    """Listens on 127.0.0.1 from entering the context until leaving it.

    Args:
        port: of the server on 127.0.0.1 to which every tunnel leads.
        answer: what a CONNECT is answered; only `ESTABLISHED` opens a tunnel.
    """

    def __init__(self, port: int = 9, answer: bytes = ESTABLISHED) -> None:
        self._target = port
        self._answer = answer
        self._tasks: set[asyncio.Task[None]] = set()
        self.heads: list[bytes] = []
        """What it was sent before TLS began, connection by connection."""
        self.tunnelled = b""
        """What went through it towards the server."""
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self._answer)
            await writer.drain()
            if self._answer == ESTABLISHED:
                await self._tunnel(reader, writer)
        except (asyncio.CancelledError, asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

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
