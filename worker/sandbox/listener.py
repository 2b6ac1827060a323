"""The sandbox's address on loopback: it accepts, refuses, or lets those who connect wait."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import sys
from collections.abc import Callable
from typing import Final

from worker.core.errors import UsageError

HOST: Final = "127.0.0.1"
_BACKLOG: Final = 1024


class Listener:
    """Holds one port of 127.0.0.1, from its making until `close`.

    Raises UsageError where the port cannot be had; 0 takes a free one.
    """

    def __init__(self, port: int) -> None:
        self._reserved = _bind(port)
        self.port: int = self._reserved.getsockname()[1]
        self._listening: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._filler: socket.socket | None = None

    async def open(
        self, protocol: Callable[[], asyncio.BaseProtocol], tls: ssl.SSLContext | None
    ) -> None:
        """Accept connections, those first that wait since a stall. No effect while it does."""
        if self._server is not None:
            return
        if sys.platform != "linux":
            self._reserved.close()
        # Linux lets a second socket share the address as long as only one of them listens: the
        # first keeps the port from everybody else while an outage refuses connections.
        if self._listening is None:
            self._listening = _bind(self.port)
        self._server = await asyncio.get_running_loop().create_server(
            protocol, sock=self._listening.dup(), ssl=tls, backlog=_BACKLOG
        )
        self._drop_filler()

    def stall(self) -> None:
        """Accept nothing: who connects from now on hangs in it until `open`, or gives up."""
        assert self._listening is not None
        self._stop_accepting()
        # The system accepts by itself what finds room in the queue, which is now of one place.
        self._listening.listen(0)
        self._filler = socket.create_connection((HOST, self.port))

    def refuse(self) -> None:
        """Accept nothing, and refuse who connects, until `open`."""
        self._stop_accepting()
        self._drop_filler()
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    def close(self) -> None:
        """Refuse who connects, and give the port back."""
        self.refuse()
        self._reserved.close()

    def _stop_accepting(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _drop_filler(self) -> None:
        if self._filler is not None:
            self._filler.close()
            self._filler = None


def _bind(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise _explain_bind(error, port) from error
    return listener


def _explain_bind(error: OSError, port: int) -> UsageError:
    if error.errno == errno.EADDRINUSE:
        return UsageError(f"port {port} is in use", "Choose another one with --port, or 0")
    return UsageError(
        f"cannot listen on port {port}: {error.strerror}", "Choose another one with --port, or 0"
    )
