"""From bytes of any encoding that names itself, cut anywhere, to whole lines of UTF-8."""

from __future__ import annotations

import codecs
from typing import Final

MAX_LINE: Final = 1 << 20
"""Bytes of a line, at most. Of a longer one only the beginning is kept, longer than this."""

# Of marks that begin alike the longer one comes first.
_ENCODINGS: Final = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


class Decoder:
    """Takes the byte-order mark off, turns wide encodings into UTF-8, and ends of lines into LF."""

    def __init__(self) -> None:
        self._head: bytes | None = b""
        self._wide: codecs.IncrementalDecoder | None = None
        self._after_return = False

    def feed(self, data: bytes) -> bytes:
        """The UTF-8 of what is complete by now; nothing until the mark, if any, is whole."""
        if self._head is not None:
            data = self._head = self._head + data
            if any(len(data) < len(mark) and mark.startswith(data) for mark in _ENCODINGS):
                return b""
            data = self._settle(data)
        return self._with_line_feeds(self._as_utf8(data, final=False))

    def finish(self) -> bytes:
        """What is left at the end of the input."""
        data = self._settle(self._head) if self._head is not None else b""
        return self._with_line_feeds(self._as_utf8(data, final=True))

    def _settle(self, head: bytes) -> bytes:
        self._head = None
        for mark, encoding in _ENCODINGS.items():
            if head.startswith(mark):
                if encoding != "utf-8":
                    self._wide = codecs.getincrementaldecoder(encoding)("backslashreplace")
                return head[len(mark) :]
        return head

    def _as_utf8(self, data: bytes, *, final: bool) -> bytes:
        if self._wide is None:
            return data
        return self._wide.decode(data, final).encode()

    def _with_line_feeds(self, data: bytes) -> bytes:
        if not data:
            return data
        # A return ends its line at once: on a live pipe the line feed after it may be late.
        if self._after_return and data.startswith(b"\n"):
            data = data[1:]
        self._after_return = data.endswith(b"\r")
        if b"\r" not in data:
            return data
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


class Framer:
    """Cuts text into blocks of whole lines, in bounded memory."""

    def __init__(self) -> None:
        self._tail = bytearray()

    def feed(self, data: bytes) -> bytes | None:
        """The lines that are complete now, without the last line feed; None where none is."""
        end = data.rfind(b"\n")
        if end < 0:
            self._keep(data)
            return None
        block = bytes(self._tail) + data[:end]
        self._tail.clear()
        self._keep(data[end + 1 :])
        return block

    def finish(self) -> bytes | None:
        """A last line without its line feed."""
        block = bytes(self._tail)
        self._tail.clear()
        return block or None

    def _keep(self, data: bytes) -> None:
        room = MAX_LINE + 1 - len(self._tail)
        self._tail += data[: max(room, 0)]
