"""The ledger: the one door to the log and the journal, and the group commit behind it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, Self, TypeVarTuple

import msgspec

from worker.core.errors import LedgerError, LockedError
from worker.core.outcomes import Record
from worker.core.target import Target
from worker.ledger.disk import Disk
from worker.ledger.journal import journal_path, mark_unsynced
from worker.ledger.lines import encode_line
from worker.ledger.opening import Opened, open_files, preview, probe, remove_if_empty
from worker.ledger.past import Asked, Past

_Args = TypeVarTuple("_Args")
_DISK: Final = Disk()
_AGAIN: Final = "Run the same command again"

GATHER_S: Final = 0.03
"""How long a line waits for others to be synced with. A choice: with the sync of a common disk it
stays below 50 ms, which nobody notices, and a disk is synced some 30 times a second at most."""

BATCH_LINES: Final = 256
"""When so many lines wait, they wait for no more. A choice: of a sync that so many share next to
nothing is left for each."""

_log: Final = logging.getLogger(__name__)


class Ledger(Past):
    """The log and the journal of one run, locked until `finish` or `close`.

    `open` blocks and belongs before the event loop; everything else is for the loop's thread, and
    leaves reading, writing and syncing to `writer`, which does one thing after the other.
    """

    def __init__(self, opened: Opened, disk: Disk, writer: Executor, target: Target | None) -> None:
        past = opened.past
        super().__init__(past.memory, past.notes, past.recovered, past.settled, past.doubt_since)
        self.path = opened.log.path
        self._disk = disk
        self._log = opened.log
        self._journal = opened.journal
        self._is_new = opened.is_new
        self._writer = writer
        self._target = None if target is None else str(target)
        self._lines: list[bytes] = []
        self._records: list[Record] = []
        self._due = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._committing: asyncio.Task[None] | None = None
        self._on_durable: Callable[[Sequence[Record]], None] = _nobody
        self._served = asyncio.Event()
        self._served.set()
        self._putting_away = asyncio.Lock()
        self._failure: BaseException | None = None
        self._failure_told = False
        self._finishing = False
        self._closed = False

    @classmethod
    def open(
        cls,
        results: Path,
        run: str,
        *,
        force: bool = False,
        target: Target | None = None,
        disk: Disk = _DISK,
        writer: Executor | None = None,
    ) -> Self:
        """Lock the log, mend its end, learn what earlier runs left, and begin this run's journal.

        With `force`, settled ids are to be sent again. `target` is written into every record, and
        those that are there must be of the same API and kind of key. `disk` stands for the file
        system. `writer` carries out one call after the other, and is shut down at the end; a thread
        by default.

        Raises LockedError where another run holds the log, LedgerError where it or the journal
        cannot be used, UsageError where the log is that of another target.
        """
        opened = open_files(disk, results, run, Asked(force, target))
        return cls(opened, disk, writer or _thread(), target)

    @staticmethod
    def preview(
        results: Path,
        *,
        force: bool = False,
        target: Target | None = None,
        disk: Disk = _DISK,
    ) -> Past:
        """What `open` would learn; creates, mends and writes nothing, and holds no lock.

        Raises LedgerError where `open` would for the path, or where log or journal are unreadable,
        and UsageError where the log is that of another target.
        """
        return preview(disk, results, Asked(force, target))

    @staticmethod
    def probe(results: Path, *, target: Target | None = None, disk: Disk = _DISK) -> Path:
        """The path of the log, after a trial of what `open` needs; makes and changes nothing.

        Raises what `open` would, as far as that shows.
        """
        return probe(disk, results, Asked(target=target))

    def discard_empty(self) -> None:
        """Take the log away again, after `finish`, if this run made it and nothing came into it.

        Raises LedgerError where that fails.
        """
        if self._is_new:
            with suppress(LockedError):
                remove_if_empty(self._disk, self.path)

    def owns(self, id: str) -> bool:
        """Always: the lock on the log keeps other runs away from its ids."""
        del id
        return True

    async def enter(self, ids: Sequence[str]) -> None:
        """On return the ids stand in the journal, on disk: from then on they may be sent.

        Raises LedgerError where that fails, or once `finish` or `close` was called, and ValueError
        for what is no id; then none of them may be sent.
        """
        if self._finishing:
            raise LedgerError(f"The journal of {self.path} is being closed", _AGAIN)
        if ids:
            _log.debug("writing ids into the journal: %d", len(ids))
            await self._in_writer(self._journal.enter, tuple(ids))

    def append(self, record: Record) -> None:
        """Hand over an outcome; `serve` puts it on disk and tells when it is there.

        Raises LedgerError once `finish` or `close` was called: nobody would write it any more.
        """
        if self._finishing:
            raise LedgerError(f"The results log {self.path} is being closed", _AGAIN)
        if self._target is not None:
            record = msgspec.structs.replace(record, target=self._target)
        self._lines.append(encode_line(record))
        self._records.append(record)
        if len(self._lines) >= BATCH_LINES:
            self._due.set()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_S, self._due.set)

    def name_target(self, target: Target) -> None:
        """Write this target into the records that are appended from now on."""
        self._target = str(target)

    async def serve(self, on_durable: Callable[[Sequence[Record]], None]) -> None:
        """Put outcomes on disk, many with one sync, until `finish` is called.

        `on_durable` is called in the loop with each batch that is on disk. Raises LedgerError as
        soon as a batch cannot be written, or another program has touched the log; of that batch
        nothing counts, and no later one is written. A cancellation does not interrupt the batch
        that is being written: it is still reported.
        """
        self._on_durable = on_durable
        self._served.clear()
        try:
            while not self._finishing:
                await self._due.wait()
                await self._commit_waiting()
        except BaseException as error:
            self._failure_told = error is self._failure
            raise
        finally:
            self._served.set()

    async def finish(self, *, good_order: bool) -> None:
        """Put on disk what was appended, end `serve`, put the journal away and free the lock.

        In good order the journal goes, but for ids of a dead run that are still in doubt; else, or
        where the log has failed, it stays. Raises LedgerError for a failure that `serve` has not
        raised. May be repeated.
        """
        async with self._putting_away:
            if self._closed:
                return
            self._finishing = True
            self._due.set()
            await self._served.wait()
            try:
                await self._commit_rest()
                await self._in_writer(self._put_away, good_order and self._failure is None)
            finally:
                self.close()
            # Coverage does not see the way out of an `async with`.
            if self._failure is not None and not self._failure_told:  # pragma: no branch
                raise self._failure

    def close(self) -> None:
        """Free the lock at once and leave the journal: for an end that nothing can wait for.

        What the writer was given is still written, for its files must not be closed under it;
        of other outcomes the next run finds the ids in the journal. May be repeated.
        """
        if self._closed:
            return
        self._closed = self._finishing = True
        self._due.set()
        self._writer.shutdown(wait=not self._log.closed)
        self._close_files()

    async def _commit_rest(self) -> None:
        """Leaves a failure in `_failure`, whether of this commit or of one before it."""
        if self._committing is not None:
            # It may have outlived a `serve` that was cancelled.
            await asyncio.gather(self._committing, return_exceptions=True)
        if self._failure is None:
            with suppress(LedgerError):
                await self._commit_waiting()

    async def _commit_waiting(self) -> None:
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._closed or not self._lines:
            return
        lines, records = self._lines, self._records
        self._lines, self._records = [], []
        self._committing = asyncio.create_task(self._commit(lines, records))
        await asyncio.shield(self._committing)

    async def _commit(self, lines: list[bytes], records: list[Record]) -> None:
        if self._closed:
            return
        _log.debug("writing lines into the results log: %d", len(lines))
        try:
            await self._in_writer(self._write, b"".join(lines))
        except BaseException as error:
            self._failure = error
            raise
        for record in records:
            self.memory.record(record.id)
        self._on_durable(records)

    def _write(self, lines: bytes) -> None:
        try:
            self._log.append(lines)
        except LedgerError:
            if self._log.is_unsure:
                mark_unsynced(self._disk, journal_path(self.path))
            raise

    async def _in_writer(self, act: Callable[[*_Args], None], *args: *_Args) -> None:
        await asyncio.get_running_loop().run_in_executor(self._writer, act, *args)

    def _put_away(self, good_order: bool) -> None:
        try:
            if good_order:
                # Outcomes that somebody removed since they were written must not be forgotten too.
                self._log.check()
                self._clear_journal()
        finally:
            self._close_files()

    def _clear_journal(self) -> None:
        if self.memory.pending or self.memory.all_in_doubt:
            self._journal.keep_only(self.memory.pending_ids())
        else:
            self._journal.remove()

    def _close_files(self) -> None:
        self._journal.close()
        self._log.close()


def _thread() -> Executor:
    return ThreadPoolExecutor(1, thread_name_prefix="ledger")


def _nobody(records: Sequence[Record]) -> None:
    """Outcomes that are on disk before anybody serves are told to nobody."""
