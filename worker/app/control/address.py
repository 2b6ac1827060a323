"""Where a run's socket is: beside its results log, at any length of path, for its owner alone.

The address of a Unix socket holds about 100 bytes. So the directory is opened, and the socket is
named by way of that descriptor (proc(5), /proc/self/fd).
"""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from worker.core.files import READABLE_BY_OWNER

SUFFIX: Final = ".control"

_LONGEST_NAME: Final = 80
"""With the way to the directory it stays within the 108 bytes of an address (unix(7))."""


def socket_path(results: Path) -> Path:
    """The socket of whatever run holds this log; it need not be there."""
    log = Path(os.path.realpath(results))
    name = log.name + SUFFIX
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:32]}{SUFFIX}"
    return log.with_name(name)


@contextmanager
def bound(path: Path) -> Iterator[socket.socket]:
    """A socket that listens at `path`, and is taken away at the end.

    One that a dead run has left is replaced: who calls this must hold the log's lock. Raises
    OSError, also where anything but a socket stands there.
    """
    with _directory(path) as (directory, address):
        _remove_socket(path.name, directory)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Before it has a name: at no moment may others open it.
            os.fchmod(listener.fileno(), READABLE_BY_OWNER)
            listener.bind(address)
            listener.listen()
            listener.setblocking(False)
            yield listener
        finally:
            listener.close()
            with suppress(OSError):
                _remove_socket(path.name, directory)


def _remove_socket(name: str, directory: int) -> None:
    with suppress(FileNotFoundError):
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISSOCK(found.st_mode):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        os.unlink(name, dir_fd=directory)


@contextmanager
def connected(path: Path, patience_s: float) -> Iterator[socket.socket]:
    """A connection to the run that listens at `path`. Raises OSError where there is none."""
    with (
        _directory(path) as (_, address),
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection,
    ):
        connection.settimeout(patience_s)
        connection.connect(address)
        yield connection


@contextmanager
def _directory(path: Path) -> Iterator[tuple[int, str]]:
    """The socket's directory, open, and the socket's short address by way of it."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor, f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)
