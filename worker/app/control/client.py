"""The commands' side: asks the run that holds a log."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

import msgspec

from worker.app.control.address import connected, socket_path
from worker.app.control.protocol import (
    MAX_LINE_BYTES,
    Reply,
    Request,
    RunStatus,
    decode_reply,
    encode,
)
from worker.core.errors import UsageError
from worker.core.text import visible

_PATIENCE_S: Final = 10.0
"""A choice: a busy run answers within a second, and one that is stopped does not at all."""

_SAME_PROGRAM: Final = "Ask with the program that carries out the run"


def ask(results: Path, request: Request) -> RunStatus | None:
    """The status of the run that holds the log, after it has done what is asked of it.

    None where no run does. Raises UsageError where the run will not, or may not be asked.
    """
    try:
        with connected(socket_path(results), _PATIENCE_S) as connection:
            connection.sendall(encode(request) + b"\n")
            reply = decode_reply(_line_from(connection))
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except PermissionError as error:
        raise UsageError(
            f"the run on {visible(str(results))} belongs to another user",
            "Ask as the user who started it",
        ) from error
    except TimeoutError as error:
        raise UsageError(
            f"the run on {visible(str(results))} has not answered within {_PATIENCE_S:g} s",
            "It may be stopped (`kill -CONT`) or busy: what was asked of it, it may do still",
        ) from error
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(
            f"the run on {visible(str(results))} does not answer: {error}", _SAME_PROGRAM
        ) from error
    return _status(reply)


def _status(reply: Reply) -> RunStatus:
    if reply.status is None:
        raise UsageError(f"the run does not take that: {reply.error}", "Correct what was asked")
    return reply.status


def _line_from(connection: socket.socket) -> bytes:
    """All that comes until a newline, or the end; an empty line where the run just ended."""
    line = b""
    while not line.endswith(b"\n") and len(line) < MAX_LINE_BYTES:
        if not (part := connection.recv(MAX_LINE_BYTES)):
            break
        line += part
    if not line:
        raise ConnectionRefusedError
    return line
