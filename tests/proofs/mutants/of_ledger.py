"""Mutants of the ledger: what is on disk, what is remembered, what is in doubt."""

from __future__ import annotations

from typing import Final

from tests.proofs.mutants.mutant import Mutant

_FILES: Final = "worker/ledger/files.py"
_JOURNAL: Final = "worker/ledger/journal.py"
_OPENING: Final = "worker/ledger/opening.py"
_RESULTS: Final = "worker/ledger/results.py"
_LEDGER: Final = "worker/ledger/ledger.py"
_MEMORY: Final = "worker/ledger/memory.py"
_PAST: Final = "worker/ledger/past.py"
_TESTS: Final = ("tests/unit/ledger",)
_ON_DISK: Final = "an outcome counts once its line is on disk"
_IN_JOURNAL: Final = "an id is in the journal, on disk, before its first request leaves"
_READ_FIRST: Final = "an id that may have been sent is read before it is sent again"
_TARGET: Final = "a log belongs to one API and one kind of key"

LEDGER: Final = (
    Mutant(
        "appends are not synced",
        _ON_DISK,
        _FILES,
        "            write_all(self._file, data)\n            self._file.sync_data()\n",
        "            write_all(self._file, data)\n",
        _TESTS,
    ),
    Mutant(
        "what a failed append has left behind is not cut off",
        "what does not count is not in the log",
        _FILES,
        "            self._cut_off_again()\n",
        "",
        _TESTS,
    ),
    Mutant(
        "a log that another program writes to is not noticed",
        "nothing more is sent once the log was meddled with",
        _FILES,
        "            self.check()\n            with reported",
        "            with reported",
        _TESTS,
    ),
    Mutant(
        "a new journal is not synced",
        "ids in doubt survive the change from one journal to the next",
        _JOURNAL,
        "        file.sync()\n",
        "",
        _TESTS,
    ),
    Mutant(
        "the name of a new journal is not synced",
        "the journal is found after a power cut",
        _JOURNAL,
        "                self._disk.sync_directory(self._path.parent)\n            except",
        "            except",
        _TESTS,
    ),
    Mutant(
        "the name of a removed journal is not synced",
        "a run that ended in good order leaves no journal, not even after a power cut",
        _JOURNAL,
        "            self._disk.remove(self._path)\n"
        "            self._disk.sync_directory(self._path.parent)\n",
        "            self._disk.remove(self._path)\n",
        _TESTS,
    ),
    Mutant(
        "a new journal forgets the ids that are in doubt",
        _READ_FIRST,
        "worker/ledger/opening.py",
        "header, memory.pending_ids())",
        "header, ())",
        _TESTS,
    ),
    Mutant(
        "the journal goes at the end whatever is in doubt",
        _READ_FIRST,
        _LEDGER,
        "        if self.memory.pending or self.memory.all_in_doubt:\n",
        "        if self.memory.all_in_doubt:\n",
        _TESTS,
    ),
    Mutant(
        "the journal goes although the log has failed",
        _READ_FIRST,
        _LEDGER,
        "self._put_away, good_order and self._failure is None)",
        "self._put_away, good_order)",
        _TESTS,
    ),
    Mutant(
        "a journal of which a part cannot be read puts nothing more in doubt",
        _READ_FIRST,
        _PAST,
        "memory.all_in_doubt = left is not None and left.all_in_doubt",
        "memory.all_in_doubt = False",
        _TESTS,
    ),
    Mutant(
        "outcomes that a disk failed to take are trusted",
        _READ_FIRST,
        _PAST,
        "if left is None or left.header is None or left.unsynced:",
        "if left is None or left.header is None:",
        _TESTS,
    ),
    Mutant(
        "outcomes of the runs before settle what a dead run has sent",
        _READ_FIRST,
        _MEMORY,
        "trace.run == dead.run and number > dead.log_lines",
        "number > 0",
        _TESTS,
    ),
    Mutant(
        "a dead run's lines are not synced before they settle ids",
        "what leaves the journal is on disk in the log",
        _OPENING,
        "        _sync(disk, log)\n",
        "",
        _TESTS,
    ),
    Mutant(
        "the last request of a run that died is taken to have left with its last line",
        "nothing is done twice by a backend that acts within retry.settle",
        _PAST,
        "doubt_since=log_changed_at if left is None else None,",
        "doubt_since=log_changed_at,",
        _TESTS,
    ),
    Mutant(
        "a torn last line stays",
        "no record is glued to a torn one",
        _RESULTS,
        "        self._file.truncate(start)\n        self._file.sync()\n",
        "",
        _TESTS,
    ),
    Mutant(
        "a whole last line gets no newline",
        "no record is glued to another",
        _RESULTS,
        '                write_all(self._file, b"\\n")\n                self._file.sync()\n',
        "                self._file.sync()\n",
        _TESTS,
    ),
    Mutant(
        "outcomes count before they are written",
        _ON_DISK,
        _LEDGER,
        '        try:\n            await self._in_writer(self._write, b"".join(lines))\n',
        "        try:\n            self._on_durable(records)\n"
        '            await self._in_writer(self._write, b"".join(lines))\n',
        _TESTS,
    ),
    Mutant(
        "the journal of a dead run is forgotten",
        _READ_FIRST,
        _MEMORY,
        "        if flags & (_PENDING | _AMBIGUOUS):\n",
        "        if flags & _AMBIGUOUS:\n",
        _TESTS,
    ),
    Mutant(
        "an id recorded as ambiguous is sent unread",
        _READ_FIRST,
        _MEMORY,
        "        if flags & (_PENDING | _AMBIGUOUS):\n",
        "        if flags & _PENDING:\n",
        _TESTS,
    ),
    Mutant(
        "an id of which a spoilt line is left is sent unread",
        _READ_FIRST,
        _MEMORY,
        "                self._doubt(session_id)\n",
        "                pass\n",
        _TESTS,
    ),
    Mutant(
        "settled ids are sent again",
        "settled ids are skipped",
        _MEMORY,
        "        if flags & _SETTLED and not self._force:\n",
        "        if flags & _SETTLED and self._force:\n",
        _TESTS,
    ),
    Mutant(
        "an id that stands twice is sent twice",
        "an id that stands twice is sent once",
        _MEMORY,
        "        self._flags[key] = flags | _SEEN\n",
        "",
        _TESTS,
    ),
    Mutant(
        "a log of another API is taken for the run's own",
        _TARGET,
        _PAST,
        "    memory.targets.refuse_other_target(log)\n",
        "",
        _TESTS,
    ),
    Mutant(
        "what another key did not find stays not found",
        "what was not found under another key is asked again",
        _MEMORY,
        "            if relation is not _SAME and trace.outcome is _NOT_FOUND:\n",
        "            if False:\n",
        _TESTS,
    ),
    Mutant(
        "a log is not locked",
        "a results log belongs to one run at a time",
        "worker/ledger/lock.py",
        '        lock(file, path, "results log", holder)\n',
        "        pass\n",
        _TESTS,
    ),
)
