"""Ids as short keys, so that a log of tens of millions of them fits into memory."""

from __future__ import annotations

from typing import Final

_DIGITS: Final = 24
_PACKED_LENGTH: Final = 12
_MARK: Final = b"\xff"


def pack_id(session_id: str) -> bytes:
    """Return a short key, another one for every id: 12 bytes for the 24 digits that ids consist of.

    Other ids stay as they are, but those of 12 bytes get one more, which UTF-8 never holds.
    """
    if len(session_id) == _DIGITS:
        try:
            packed = bytes.fromhex(session_id)
        except ValueError:
            return session_id.encode("utf-8", "surrogatepass")
        # fromhex skips blanks and takes capitals, which would make two ids into one.
        if packed.hex() == session_id:
            return packed
    key = session_id.encode("utf-8", "surrogatepass")
    return key + _MARK if len(key) == _PACKED_LENGTH else key


def unpack_id(key: bytes) -> str:
    """Return the id of which `key` was made."""
    if len(key) == _PACKED_LENGTH:
        return key.hex()
    return key.removesuffix(_MARK).decode("utf-8", "surrogatepass")
