"""What a page was made from: who holds the page and the logs can tell if they belong together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path, PurePath
from typing import Final, NamedTuple

_BLOCK_BYTES: Final = 1 << 20


class LogFile(NamedTuple):
    """A log as it was read: `sha256` is of its first `size` bytes."""

    name: str
    size: int
    sha256: str


class Provenance(NamedTuple):
    """When a page was made, in UTC, by which version, and from which logs."""

    made_at: datetime
    version: str
    files: Sequence[LogFile]


def identify(path: Path, name: str) -> LogFile:
    """The size and the SHA-256 of what stands in the file now.

    A run may append to it meanwhile: what comes after the beginning is left out. Raises OSError.
    """
    digest, size = hashlib.sha256(), path.stat().st_size
    left = size
    with path.open("rb") as file:
        while left and (block := file.read(min(left, _BLOCK_BYTES))):
            digest.update(block)
            left -= len(block)
    return LogFile(name, size - left, digest.hexdigest())


def labels_of(names: Sequence[str]) -> dict[str, str]:
    """The shortest end of each path that tells it from the others."""
    parts = {name: PurePath(name).parts for name in names}
    return {name: _shortest(name, parts) for name in names}


def _shortest(name: str, parts: dict[str, tuple[str, ...]]) -> str:
    own = parts[name]
    for length in range(1, len(own) + 1):
        end = own[-length:]
        if sum(other[-length:] == end for other in parts.values()) == 1:
            return str(PurePath(*end))
    return name
