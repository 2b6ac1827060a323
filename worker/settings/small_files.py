"""Small files, read whole: settings and keys."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from worker.core.secrets import learn, may_be_key

LARGEST_KEY_FILE: Final = 4096
"""In bytes: what is larger holds more than a key."""

_BYTE_ORDER_MARK: Final = "\ufeff"


class SmallFile(msgspec.Struct, frozen=True):
    """A file's text, and whether people other than its owner may read it."""

    text: str
    exposed: bool


class UnreadableError(Exception):
    """Says in a few words why a file cannot be read; never any of its content."""


def read_small(path: Path, limit: int) -> SmallFile:
    """At most `limit` bytes of UTF-8, without a byte-order mark; pipes will do."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(limit + 1)
    except OSError as error:
        raise UnreadableError((error.strerror or "it cannot be read").lower()) from None
    if len(data) > limit:
        raise UnreadableError(f"it is larger than {limit // 1024} KiB")
    # Decoded without an exception: UnicodeDecodeError holds the bytes, which may be the key.
    text = data.decode("utf-8", errors="surrogateescape")
    bad = next((at for at, char in enumerate(text) if "\udc80" <= char <= "\udcff"), None)
    if bad is not None:
        raise UnreadableError(f"it is not UTF-8 text (line {text.count(chr(10), 0, bad) + 1})")
    return SmallFile(text.removeprefix(_BYTE_ORDER_MARK), _is_exposed(status))


def _is_exposed(status: os.stat_result) -> bool:
    # What belongs to root is handed to its reader through the group, as systemd's credentials and
    # the secrets of Kubernetes are.
    is_own = status.st_uid == os.geteuid()
    return bool(status.st_mode & (stat.S_IROTH | (stat.S_IRGRP if is_own else 0)))


def may_exist(path: Path) -> bool:
    """False where there is certainly no such file; True also where nobody may look."""
    try:
        path.stat()
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


def learn_key_file(path: Path) -> None:
    """Learn the key in a file, if there is one, so that no message shows it.

    What is wrong with the file is told when the key is needed. A pipe is left alone: what is read
    from it is gone.
    """
    with suppress(UnreadableError, OSError, ValueError):
        if path.is_file():
            words = read_small(path, LARGEST_KEY_FILE).text.split()
            # Of what is more than a key the other words are none: they must stay legible.
            learn(*(word for word in words if len(words) == 1 or may_be_key(word)))
