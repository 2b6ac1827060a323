"""Files that hold ids in a form other than text, told by their first bytes."""

from __future__ import annotations

import codecs
import re
from typing import Final, NamedTuple

from worker.core.errors import UsageError

_LOOKED_AT: Final = 512
"""Bytes; the name of a tar archive's format stands at 257."""

_EXPORT: Final = "Export the ids from it as CSV or as plain text, one a line"
_SAVE_SHEET: Final = "Open it, save the sheet with the ids as CSV (UTF-8), and give that file"


class Signature(NamedTuple):
    """What begins with `pattern`; `FILE` in the advice stands for the source."""

    pattern: re.Pattern[bytes]
    kind: str
    advice: str


def _signature(pattern: bytes, kind: str, advice: str = _EXPORT) -> Signature:
    return Signature(re.compile(pattern, re.DOTALL), kind, advice)


def _packed(pattern: bytes, kind: str, unpacker: str) -> Signature:
    return _signature(pattern, kind, f"Unpack it: {unpacker} > FILE.txt")


def _encoded(pattern: bytes, encoding: str) -> Signature:
    advice = f"Turn it into UTF-8: iconv -f {encoding} -t UTF-8 FILE > FILE.txt"
    return _signature(pattern, f"{encoding} without a byte-order mark", advice)


SIGNATURES: Final = (
    # After a local header of 30 bytes stands the name of an archive's first file (APPNOTE 4.3.7).
    _signature(
        rb"PK\x03\x04.{26}mimetypeapplication/vnd\.oasis\.opendocument\.spreadsheet",
        "an OpenDocument spreadsheet",
        _SAVE_SHEET,
    ),
    _signature(
        rb"PK\x03\x04.{26}(\[Content_Types\]\.xml|_rels/|docProps/|xl/)",
        "an Excel workbook",
        _SAVE_SHEET,
    ),
    _signature(rb"\xd0\xcf\x11\xe0", "an Excel workbook of the old format", _SAVE_SHEET),
    _packed(rb"PK(\x03\x04|\x05\x06|\x07\x08)", "a zip archive", "unzip -p FILE"),
    _packed(rb"\x1f\x8b", "gzip within gzip", "gzip -dc FILE | gzip -dc"),
    _packed(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)", "bzip2", "bzip2 -dc FILE"),
    _packed(rb"\xfd7zXZ\0", "xz", "xz -dc FILE"),
    _packed(rb"\x28\xb5\x2f\xfd", "zstd", "zstd -dc FILE"),
    _packed(rb"\x04\x22\x4d\x18", "lz4", "lz4 -dc FILE"),
    _packed(rb"LZIP\x01", "lzip", "lzip -dc FILE"),
    _packed(rb"\x1f\x9d", "a file of compress (.Z)", "gzip -dc FILE"),
    _packed(rb"7z\xbc\xaf\x27\x1c", "a 7z archive", "7z e -so FILE"),
    _packed(rb"Rar!\x1a\x07", "a RAR archive", "unrar p -inul FILE"),
    _packed(rb"[^\0\r\n]{1,100}\0.{156,255}ustar", "a tar archive", "tar -xOf FILE"),
    _signature(rb"%PDF-", "a PDF document"),
    _signature(rb"\{\\rtf", "a document of a word processor (RTF)"),
    _signature(rb"PAR[1E][\0-\x08\x0e-\x1f]", "a Parquet file"),
    _signature(rb"ORC[\0-\x08\x0e-\x1f]", "an ORC file"),
    _signature(rb"Obj\x01", "an Avro file"),
    _signature(rb"ARROW1\0", "an Arrow file"),
    _signature(rb"SQLite format 3\0", "an SQLite database"),
    _signature(rb"\x89PNG|\xff\xd8\xff|GIF8[79]a[^\r\n]*\0|II\*\0|MM\0\*", "an image"),
    _signature(rb"(\xef\xbb\xbf)?\s*<(?i:!doctype html|html|head|body)", "a page of HTML"),
    _signature(rb"(\xef\xbb\xbf)?\s*<\?xml", "XML"),
    _signature(rb"-----BEGIN PGP MESSAGE", "encrypted", "Decrypt it: gpg -d FILE > FILE.txt"),
    _signature(
        rb"version https://git-lfs\.", "a pointer of Git LFS, not the file", "Run `git lfs pull`"
    ),
    _encoded(rb"([^\0]\0\0\0){2}", "UTF-32LE"),
    _encoded(rb"(\0\0\0[^\0]){2}", "UTF-32BE"),
    _encoded(rb"([^\0]\0){2}", "UTF-16LE"),
    _encoded(rb"(\0[^\0]){2}", "UTF-16BE"),
)
_MARKS: Final = (
    codecs.BOM_UTF16_LE,
    codecs.BOM_UTF16_BE,
    codecs.BOM_UTF32_BE,
)
_is_line_of_text: Final = re.compile(rb"[^\0-\x08\x0e-\x1f\r\n]*[\r\n]").match


class TextGuard:
    """Passes bytes on, from where it is sure that they are text: after the first line or so.

    Raises UsageError for what is none, before any of it was passed on.
    """

    def __init__(self) -> None:
        self._head: bytes | None = b""

    def feed(self, data: bytes) -> bytes:
        """What may be passed on by now: nothing at first, then all that came."""
        if self._head is None:
            return data
        self._head += data
        is_enough = len(self._head) >= _LOOKED_AT or _is_line_of_text(self._head)
        # UTF-16 and UTF-32 that name themselves are read, on a live pipe too.
        return self.finish() if is_enough or self._head.startswith(_MARKS) else b""

    def finish(self) -> bytes:
        """What was kept back."""
        head, self._head = self._head or b"", None
        if not head.startswith(_MARKS):
            _refuse_foreign(head[:_LOOKED_AT])
        return head


def _refuse_foreign(head: bytes) -> None:
    for signature in SIGNATURES:
        if signature.pattern.match(head):
            raise UsageError(f"it is {signature.kind}", signature.advice)
