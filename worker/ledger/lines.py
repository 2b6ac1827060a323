"""Records as lines of JSON: one record is one line, whatever text from outside it holds."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final

import msgspec

from worker.core.outcomes import Error, Outcome, Record
from worker.ledger.files import MAX_LINE_BYTES, read_blocks, reported

GZIP_MAGIC: Final = b"\x1f\x8b"
RECORD_HEAD: Final = b'{"id":"'
"""With which every line that `encode_line` makes begins."""

_encode: Final = msgspec.json.Encoder().encode
# Characters that split lines for some readers, or steer a terminal that shows the log. JSON need
# not escape them; escaped they mean the same. They stand in strings only, so no structure changes.
_ESCAPES: Final = {
    code: f"\\u{code:04x}"
    for code in (*range(0x80, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A))
}
_before_records: Final = re.compile(rb'(?=\{"id":")').split
_id_at_start: Final = re.compile(rb'\s*\{\s*"id"\s*:\s*"([A-Za-z0-9_-]{1,128})"').match
_BREAKS_OFF: Final = b"the compressed data breaks off"
_NO_RECORD: Final = (ValueError, RecursionError)

_MAX_TEXT_LENGTH: Final = 500
"""What is left of each text where a line would be too long. A choice: enough to see what it is;
much more fails `test_a_text_too_long_for_a_line_is_cut`."""


class _ErrorHead(msgspec.Struct, frozen=True, gc=False):
    type: str


class Trace(msgspec.Struct, frozen=True, gc=False):
    """What must be remembered of a line. That less is asked of a line than a full record has is on
    purpose: a field that later versions add or drop must not make settled ids unknown."""

    id: str
    outcome: Outcome
    error: _ErrorHead | None
    run: str
    target: object = None


_decode_trace: Final = msgspec.json.Decoder(Trace).decode
_decode_record: Final = msgspec.json.Decoder(Record).decode


def encode_line(record: Record) -> bytes:
    """The record's line with its newline; never raises for text, and never holds a second line."""
    try:
        line = _encode(record)
    except UnicodeEncodeError:
        line = _encode(_tamed(record))
    if not line.isascii():
        line = line.decode().translate(_ESCAPES).encode()
    if len(line) >= MAX_LINE_BYTES:
        return encode_line(_tamed(record))
    return line + b"\n"


def trace_of(line: bytes) -> Trace | None:
    """What a line (without newline) says of an id; None where it is not a record."""
    try:
        if not line.isascii():
            line.decode()  # the decoder does not look into the strings that it skips
        return _decode_trace(line)
    except _NO_RECORD:
        return None


def pieces_of(line: bytes) -> list[bytes]:
    """A spoilt line, cut before each place where a record begins: quotes in texts are escaped."""
    return _before_records(line)


def whole_trace(piece: bytes) -> Trace | None:
    """What the record at the beginning of a piece says of an id, whatever stands behind it."""
    return trace_of(_without_tail(piece))


def holds_record(line: bytes) -> bool:
    """Whether there is a whole record in the line, alone or among other things."""
    return any(whole_trace(piece) is not None for piece in pieces_of(line))


def id_of(piece: bytes) -> str | None:
    """The id with which a piece begins, where the rest of it is no record."""
    found = _id_at_start(piece)
    return found.group(1).decode() if found else None


def _without_tail(piece: bytes) -> bytes:
    return piece[: piece.rfind(b"}") + 1]


def read_records(path: Path, on_bad: Callable[[int, bytes], None]) -> Iterator[Record]:
    """The records of a log, plain or gzipped, in their order; takes no lock and changes nothing.

    Lines that are not records, a torn last one among them, go to `on_bad` with their number, long
    ones cut; whole records within them count nonetheless. Where compressed data breaks off, that is
    told in the same way, in words. Raises LedgerError where the file cannot be read.
    """
    number = 0
    with reported("read the results log", path, advice=""), path.open("rb") as raw:
        compressed = raw.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC)
        source = _Gunzip(gzip.GzipFile(fileobj=raw)) if compressed else None
        blocks = read_blocks(source.read if source is not None else raw.read)
        for number, line in chain.from_iterable(block.numbered() for block in blocks):
            record = _record_of(line)
            if record is not None:
                yield record
                continue
            on_bad(number, line)
            # Two records that were glued together, or one with zeros behind it.
            yield from filter(None, map(_record_of, map(_without_tail, pieces_of(line))))
    if source is not None and source.broken:
        on_bad(number + 1, _BREAKS_OFF)


class _Gunzip:
    """Compressed data as far as it goes; `broken` where that is not to its end."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream = stream
        self.broken = False

    def read(self, size: int) -> bytes:
        try:
            # read1, because read drops what it has when the data breaks off further on.
            return self._stream.read1(size)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            self.broken = True
            return b""


def _record_of(line: bytes) -> Record | None:
    try:
        return _decode_record(line)
    except _NO_RECORD:
        return None


def _tamed(record: Record) -> Record:
    """The record with its texts cut, and with what UTF-8 cannot hold written as escapes."""
    texts = {
        name: _tamed_text(value)
        for name in ("id", "session_status", "at", "run")
        if (value := getattr(record, name)) is not None
    }
    error = record.error and Error(
        _tamed_text(record.error.type),
        _tamed_text(record.error.message),
        record.error.param and _tamed_text(record.error.param),
    )
    return msgspec.structs.replace(record, error=error, **texts)


def _tamed_text(text: str) -> str:
    return text[:_MAX_TEXT_LENGTH].encode("utf-8", "backslashreplace").decode()
