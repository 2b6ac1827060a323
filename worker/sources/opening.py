"""Opens a source by its path, and says what to do where that cannot be."""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import BinaryIO, Final

from worker.core.errors import UsageError
from worker.sources.detect import FORMATS, format_by_name
from worker.sources.inputs import Descriptor, Input, Stream
from worker.sources.source import STDIN_NAME, Source

STDIN: Final = "-"
_DESCRIPTOR_PATH: Final = re.compile(r"/(?:dev|proc/self)/fd/(\d{1,9})")
_NEARBY: Final = 1000


def open_source(
    path_or_dash: str,
    *,
    format: str = "auto",
    field: str = "id",
    stdin: BinaryIO | int | None = None,
) -> Source:
    """A source that reads a path, or `stdin` (by default the process's own) where that is `-`.

    `format` is one of `FORMATS`; `field` names the column or key that holds the id. A regular file
    is looked into at once, a pipe at the first `take`. Raises UsageError.
    """
    if format not in FORMATS:
        raise UsageError(f"there is no format '{format}'", f"Use one of {', '.join(FORMATS)}")
    if not field:
        raise UsageError("the field is empty", "Name the column or key that holds the id")
    if path_or_dash == STDIN:
        return _probed(Source(_open_stdin(stdin), name=STDIN_NAME, format=format, field=field))
    name = path_or_dash.encode("utf-8", "backslashreplace").decode()
    known = format_by_name(name) if format == "auto" else format
    opened = _open_path(path_or_dash, name)
    return _probed(Source(opened, name=name, format=known, field=field))


def _probed(source: Source) -> Source:
    try:
        source.probe()
    except BaseException:
        source.close()
        raise
    return source


def _open_stdin(stdin: BinaryIO | int | None) -> Input:
    try:
        return _stdin_input(stdin)
    except (OSError, ValueError) as error:
        raise UsageError(
            "standard input is closed",
            "Give a file, or pipe ids into the command: complete-sessions run - < FILE",
        ) from error


def _stdin_input(stdin: BinaryIO | int | None) -> Input:
    if stdin is None:
        # By the object, not by descriptor 0: where that was closed, it may be anything by now.
        if sys.stdin is None:
            raise ValueError("closed at the start")
        stdin = sys.stdin.buffer
    if isinstance(stdin, int):
        return _descriptor(stdin, "standard input", owned=False)
    try:
        fd = stdin.fileno()
    except io.UnsupportedOperation:
        return Stream(stdin)
    return _descriptor(fd, "standard input", owned=False)


def _descriptor(fd: int, name: str, *, owned: bool, path: str | None = None) -> Descriptor:
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        raise UsageError(f"{name} is a directory", "Give a file with ids in it")
    return Descriptor(fd, owned=owned, path=path)


def _open_path(path: str, name: str) -> Input:
    try:
        fd = _open_descriptor(path)
    except (OSError, ValueError) as error:
        raise _cannot_open(path, name, error) from error
    try:
        return _descriptor(fd, name, owned=True, path=path)
    except BaseException:
        os.close(fd)
        raise


def _open_descriptor(path: str) -> int:
    # A duplicate, since a socket cannot be opened by such a path, nor another user's file.
    if path == "/dev/stdin":
        if sys.stdin is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return os.dup(0)
    if match := _DESCRIPTOR_PATH.fullmatch(path):
        return os.dup(int(match[1]))
    # A named pipe without a writer must not hang here, where nothing could wake it.
    is_fifo = stat.S_ISFIFO(Path(path).stat().st_mode)
    return os.open(path, os.O_RDONLY | (os.O_NONBLOCK if is_fifo else 0))


def _cannot_open(path: str, name: str, error: OSError | ValueError) -> UsageError:
    if isinstance(error, FileNotFoundError):
        return UsageError(f"there is no file {name}", _nearest(path))
    if isinstance(error, PermissionError):
        return UsageError(f"{name} may not be read by this user", "Give this user leave to read it")
    if isinstance(error, OSError) and error.errno == errno.EBADF:
        return UsageError(f"{name} is not open", "Give a file, or - for standard input")
    why = error.strerror if isinstance(error, OSError) else str(error)
    return UsageError(f"{name} cannot be opened: {why}", "Give a file, or - for standard input")


def _nearest(path: str) -> str:
    folder, wanted = os.path.split(path)
    try:
        with os.scandir(folder or ".") as entries:
            names = [entry.name for entry, _ in zip(entries, range(_NEARBY), strict=False)]
    except OSError:
        return "Its directory cannot be read either: look at the whole path"
    nearest = get_close_matches(wanted, names, n=3)
    if not nearest:
        return "Look at the path, or give - for standard input"
    return f"Did you mean {' or '.join(ascii(str(Path(folder, name))) for name in nearest)}?"
