"""A source of ids: bytes in, items out, as soon as their lines are complete."""

from __future__ import annotations

import shlex
import threading
from typing import Final

from worker.core.errors import SourceError, UsageError, WorkerError
from worker.core.outcomes import Item
from worker.sources.detect import is_skipped, parser_for
from worker.sources.inputs import Input
from worker.sources.items import decode
from worker.sources.parsers import Parser
from worker.sources.screening import Screening
from worker.sources.signatures import TextGuard
from worker.sources.table import separator_of
from worker.sources.text import Decoder, Framer
from worker.sources.unzip import CorruptError, Unzipped
from worker.sources.watch import ChangedError

STDIN_NAME: Final = "stdin"
_LOOKED_AHEAD: Final = 4096


class Source:
    """Gives ids in the order of the input; constant memory, whatever the input.

    `take` is called by one thread at a time, `interrupt` and `close` from any thread or signal
    handler. It raises UsageError where nothing of the input can be read, and SourceError where no
    more of it can: once, after all that came before; then it returns [].
    """

    def __init__(self, input: Input, *, name: str, format: str, field: str) -> None:
        self.name = name
        self.total: int | None = None
        self._input = input
        self._format = format
        self._field = field
        self._bytes = Unzipped(input)
        self._guard = TextGuard()
        self._decoder = Decoder()
        self._framer = Framer()
        self._separator: str | None = None
        self._parser: Parser | None = None
        self._screening = Screening()
        self._lines = 0
        self._items: list[Item] = []
        self._given = 0
        self._ended = False
        self._failure: WorkerError | None = None
        self._failed = False
        self._closed = False
        self._lock = threading.Lock()

    @property
    def exhausted(self) -> bool:
        """Whether the end of the input was seen, and everything before it was taken."""
        return self._ended and not self._items

    @property
    def notes(self) -> list[str]:
        """What was taken or skipped so far without being asked for, in sentences."""
        return [] if self._parser is None else self._parser.notes

    def take(self, most: int) -> list[Item]:
        """1 to `most` items as soon as there are any, `most` of a file while it has so many; [] at
        the end, and once interrupted where there are none."""
        wanted = most if self._input.is_regular else 1
        with self._lock:
            while len(self._items) - self._given < wanted and not self._is_over():
                if not self._read():
                    # Nobody waits for more, so what came is to be accounted for unjudged.
                    self._items += self._screening.let_go()
                    break
            items = self._give(most)
        if self._closed:
            self._release()
        elif not items and self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return items

    def interrupt(self) -> None:
        """End a wait for a writer, and have none from now on. What is there can still be taken."""
        if not self._closed:
            self._input.stop_waiting()

    def close(self) -> None:
        """Nothing can be taken any more; a `take` that waits returns [] at once."""
        if not self._closed:
            self._closed = True
            self._input.cancel()
        self._release()

    def probe(self) -> None:
        """Read the beginning, if a regular file: what is wrong there is raised before anything is
        done, and `total` is set where it can be told."""
        if not self._input.is_regular:
            return
        while not (self._items or self._is_over()):
            self._read()
        if self._failure is not None:
            raise self._failure
        self.total = self._estimate()

    def _estimate(self) -> int | None:
        lines = None if self._bytes.is_gzip else self._input.count_lines()
        if lines is None or self._parser is None:
            return lines
        return max(lines - self._parser.header_lines, 0)

    def _is_over(self) -> bool:
        return self._ended or self._failed or self._closed

    def _give(self, most: int) -> list[Item]:
        if self._closed:
            return []
        items = self._items[self._given : self._given + most]
        self._given += len(items)
        if self._given == len(self._items):
            self._items, self._given = [], 0
        return items

    def _release(self) -> None:
        # Descriptors must not be closed under a `take` that waits for them: that one closes them.
        if self._lock.acquire(blocking=False):
            try:
                self._input.release()
            finally:
                self._lock.release()

    def _read(self) -> bool:
        """Read and parse some more; False where there is nothing for now."""
        del self._items[: self._given]
        self._given = 0
        try:
            data = self._bytes.read()
            if data is None:
                return False
            self._parse(data)
        except (UsageError, CorruptError, ChangedError, OSError) as error:
            self._failed = True
            self._failure = self._explained(error)
            if not isinstance(error, UsageError):
                self._items += self._screening.let_go()
        return True

    def _parse(self, data: bytes) -> None:
        if data:
            self._parse_text(self._guard.feed(data))
            return
        self._parse_text(self._guard.finish())
        self._parse_block(self._framer.feed(self._decoder.finish()))
        self._parse_block(self._last_line())
        if self._parser is not None:
            self._give_out(self._parser.finish())
        self._items += self._screening.end()
        if self._input.watch is not None:
            self._input.watch.check_name()
        self._ended = True

    def _last_line(self) -> bytes | None:
        last = self._framer.finish()
        if last is not None and self._input.watch is not None and self._input.watch.has_grown:
            raise ChangedError("its last line has no end: it is still being written")
        return last

    def _parse_text(self, data: bytes) -> None:
        self._parse_block(self._framer.feed(self._decoder.feed(data)))

    def _parse_block(self, block: bytes | None) -> None:
        if block is None:
            return
        if self._parser is None:
            block = self._begin(block)
        if self._parser is not None:
            first = self._lines + 1
            self._lines += block.count(b"\n") + 1
            self._give_out(self._parser.parse(block, first))

    def _give_out(self, items: list[Item]) -> None:
        self._items += self._screening.pass_on(items)

    def _begin(self, block: bytes) -> bytes:
        """Skip what stands before the first line that counts, and choose the parser by that."""
        at = 0
        while at <= len(block):
            end = block.find(b"\n", at)
            end = len(block) if end < 0 else end
            line = decode(block[at:end])
            separator = separator_of(line) if self._format in {"auto", "csv"} else None
            if separator is not None:
                self._separator = separator
            elif not is_skipped(line, self._format):
                self._parser = self._parser_for(line, block[end : end + _LOOKED_AHEAD])
                return block[at:]
            self._lines += 1
            at = end + 1
        return b""

    def _parser_for(self, line: str, rest: bytes) -> Parser:
        return parser_for(
            line, self._format, self._field, delimiter=self._separator, rest=decode(rest)
        )

    def _explained(self, error: UsageError | CorruptError | ChangedError | OSError) -> WorkerError:
        if isinstance(error, UsageError):
            written = "FILE" if self.name == STDIN_NAME else shlex.quote(self.name)
            advice = error.advice.replace("FILE", written)
            return UsageError(f"{self.name} cannot be read: {error.message}", advice)
        why = error.strerror if isinstance(error, OSError) else str(error)
        if self._parser is None:
            return UsageError(f"{self.name} cannot be read: {why}", "Nothing was read of it")
        return SourceError(
            f"{self.name} cannot be read after line {self._lines}: {why}",
            "What was read until there is completed. Mend it, and run the same command again",
        )
