"""What earlier runs left behind, read once before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from worker.core.target import Target
from worker.ledger.disk import Disk
from worker.ledger.files import Block
from worker.ledger.journal import FoundJournal, journal_path, read_journal
from worker.ledger.memory import DeadRun, Memory, Standing


class Note(NamedTuple):
    """What was found, in a sentence; one that `is_routine` calls for nobody, as the run mends by
    itself what it tells of."""

    text: str
    is_routine: bool = False


@dataclass(eq=False)
class Past:
    """The state of every id, and what was found on the way to it (`notes`).

    `recovered`: ids that a run which died may have sent; each is read before it is sent.
    `settled`: ids that need nothing more. `doubt_since`: when the log last changed before this run,
    in seconds since 1970: no request of an earlier run left after that. None where nobody knows: in
    a new log, and after a run that died, whose last request may have left long after its last line.
    """

    memory: Memory
    notes: list[Note]
    recovered: int
    settled: int
    doubt_since: float | None = None

    def standing(self, session_id: str) -> Standing:
        """What to do with an id, which counts as asked for from now on."""
        return self.memory.standing(session_id)


class Asked(NamedTuple):
    """What a run wants of its log: with `force`, settled ids are sent again; `target` is what its
    records must be of, None where that does not matter."""

    force: bool = False
    target: Target | None = None


def recall(
    disk: Disk,
    blocks: Iterable[Block],
    log: Path,
    notes: list[Note],
    *,
    asked: Asked,
    log_changed_at: float | None,
    alone: bool,
) -> Past:
    """Read the journal, then the log, which last changed at `log_changed_at`, None if it is new.

    `alone`: no other run may be writing the journal.

    Raises LedgerError where one of them cannot be read, LockedError where a run is not alone, and
    UsageError where the log is that of another target.
    """
    memory = Memory(force=asked.force, target=asked.target)
    left = read_journal(disk, journal_path(log), memory.expect, alone=alone)
    memory.all_in_doubt = left is not None and left.all_in_doubt
    bad_lines = memory.learn(blocks, _dead_run(left))
    memory.targets.refuse_other_target(log)
    found = [str(bad_lines)] if bad_lines.count else []
    if bad_lines.torn:
        found.append("The last line of the results log is torn; a run moves it to a file beside it")
    notes += map(Note, found)
    notes += [Note(text, is_routine=True) for text in memory.targets.notes()]
    if left is not None:
        notes.append(Note(_note_on_run(left, memory.pending), is_routine=True))
        notes += map(Note, _notes_on_damage(left))
    return Past(
        memory,
        notes,
        recovered=memory.pending,
        settled=memory.settled(),
        doubt_since=log_changed_at if left is None else None,
    )


_ALL_IN_DOUBT: Final = (
    "A journal was damaged, and nobody knows all the ids that it held: every id that is not "
    "settled is read before it is sent, until you remove the journal between two runs"
)


_UNSYNCED: Final = "The disk failed to take what the last run wrote: all that it sent is read again"


def _dead_run(left: FoundJournal | None) -> DeadRun | None:
    if left is None or left.header is None or left.unsynced:
        return None
    return DeadRun(left.header.run, left.header.log_lines)


def _note_on_run(left: FoundJournal, pending: int) -> str:
    run = f" ({left.header.run})" if left.header is not None else ""
    if pending == 0:
        return f"The last run{run} died, but the outcome of all that it sent is known"
    if pending == 1:
        return f"1 id may have been sent by a run that ended early{run}: it is read first"
    return (
        f"{pending} ids may have been sent by a run that ended early{run}: "
        "each is read before it is sent"
    )


def _notes_on_damage(left: FoundJournal) -> list[str]:
    notes = [_UNSYNCED] if left.unsynced else []
    if left.header is None:
        notes.append("The journal has no readable header: every id in it counts as in doubt")
    if left.damaged:
        notes.append(f"Lines of the journal that hold no id: {left.damaged}")
    if left.all_in_doubt:
        notes.append(_ALL_IN_DOUBT)
    return notes
