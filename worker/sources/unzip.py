"""gzip, told by its magic bytes and unpacked as it comes in."""

from __future__ import annotations

import zlib
from typing import Final

from worker.sources.inputs import CHUNK, Input

_MAGIC: Final = b"\x1f\x8b"
_GZIP_WINDOW: Final = zlib.MAX_WBITS | 16


class CorruptError(Exception):
    """The gzip data is damaged or ends too early; says which."""


class Unzipped:
    """What an input holds, unpacked where it is gzip; at most `CHUNK` bytes a time of it."""

    def __init__(self, packed: Input) -> None:
        self.is_gzip: bool | None = None
        self._packed = packed
        self._head = b""
        self._ended = False
        self._member: zlib._Decompress | None = None
        self._has_output = False

    def read(self) -> bytes | None:
        """As `Input.read`. Raises CorruptError."""
        if self.is_gzip is None and not self._look():
            return None
        if self.is_gzip:
            return self._inflate()
        head, self._head = self._head, b""
        return head or self._more()

    def _more(self) -> bytes | None:
        if self._ended:
            return b""
        data = self._packed.read()
        self._ended = data == b""
        return data

    def _look(self) -> bool:
        while len(self._head) < len(_MAGIC) and _MAGIC.startswith(self._head) and not self._ended:
            data = self._more()
            if data is None:
                return False
            self._head += data
        self.is_gzip = self._head.startswith(_MAGIC)
        return True

    def _inflate(self) -> bytes | None:
        while True:
            if (self._head or self._has_output) and (output := self._unpack()):
                return output
            if self._head:
                continue
            data = self._more()
            if data is None:
                return None
            if data == b"":
                return self._finish()
            self._head = data

    def _unpack(self) -> bytes:
        if self._member is None:
            # A file may be padded with zeros, as tapes and some upload tools do.
            self._head = self._head.lstrip(b"\0")
            if not self._head:
                return b""
            self._member = zlib.decompressobj(_GZIP_WINDOW)
        try:
            output = self._member.decompress(self._head, CHUNK)
        except zlib.error as error:
            raise CorruptError("its gzip data is damaged") from error
        self._head = self._member.unconsumed_tail
        self._has_output = len(output) == CHUNK
        if self._member.eof:
            self._head = self._member.unused_data
            self._member, self._has_output = None, False
        return output

    def _finish(self) -> bytes:
        if self._member is not None:
            raise CorruptError("its gzip data ends too early, as after a broken download")
        return b""
