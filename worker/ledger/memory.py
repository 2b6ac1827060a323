"""What is known of each id: a few bits, in about a hundred bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Final, NamedTuple

from worker.core.outcomes import ErrorType, Outcome
from worker.core.packed_ids import pack_id, unpack_id
from worker.core.target import Target
from worker.ledger.files import Block
from worker.ledger.lines import Trace, id_of, pieces_of, trace_of, whole_trace
from worker.ledger.targets import Relation, Targets

_SETTLED: Final = 1
_AMBIGUOUS: Final = 2
_PENDING: Final = 4
_SEEN: Final = 8

# To look a member up in its enum a million times takes a tenth of a second.
_FAILED: Final = Outcome.FAILED
_NOT_FOUND: Final = Outcome.NOT_FOUND
_SAME: Final = Relation.SAME

_LISTED_LINES: Final = 5


class Standing(Enum):
    """What is to be done with an id: send it, read it before it is sent, or leave it."""

    NEW = "new"
    CHECK = "check"
    SETTLED = "settled"
    DUPLICATE = "duplicate"


class DeadRun(NamedTuple):
    """The run that left a journal: its outcomes are its records behind line `log_lines`.

    The place counts as well as the name, so that not even a name given twice settles an id.
    """

    run: str
    log_lines: int


class BadLines:
    """Lines that are not records: how many, and the numbers of the first few.

    `torn`: the last line has no newline and is not a record either; it is not counted.
    """

    def __init__(self) -> None:
        self.count = 0
        self.torn = False
        self.first_numbers: list[int] = []

    def add(self, number: int) -> None:
        """Count a line, and keep its number if it is among the first."""
        self.count += 1
        if self.count <= _LISTED_LINES:
            self.first_numbers.append(number)

    def __str__(self) -> str:
        listed = ", ".join(map(str, self.first_numbers))
        if self.count == 1:
            return f"1 line of the results log is not a record and was left in place: line {listed}"
        more = self.count - len(self.first_numbers)
        tail = f" and {more} more" if more else ""
        return (
            f"{self.count} lines of the results log are not records and were left in place: "
            f"lines {listed}{tail}"
        )


class Memory:
    """Ids with a state, from the log and the journal, and the ids that this run has asked for.

    `pending` counts the ids of a dead run's journal that no outcome has settled since. With
    `all_in_doubt` every id that is not settled must be read before it is sent.
    """

    def __init__(self, *, force: bool = False, target: Target | None = None) -> None:
        self.pending = 0
        self.log_lines = 0
        self.all_in_doubt = False
        self.targets = Targets(target)
        self._force = force
        self._flags: dict[bytes, int] = {}

    def expect(self, session_id: str) -> None:
        """Take up an id of a dead run's journal: unless an outcome follows, it must be read."""
        key = pack_id(session_id)
        if key not in self._flags:
            self._flags[key] = _PENDING
            self.pending += 1

    def learn(self, blocks: Iterable[Block], dead: DeadRun | None) -> BadLines:
        """Go through the log, after the journal: the last line of an id is its state."""
        bad = BadLines()
        for block in blocks:
            for number, line in block.numbered():
                trace = trace_of(line)
                if trace is not None:
                    self._learn(trace, number, dead)
                elif self._learn_spoilt(line, number, dead) or not block.torn:
                    bad.add(number)
                else:
                    bad.torn = True
            self.log_lines = block.first + len(block.lines) - 1
        return bad

    def settled(self) -> int:
        """How many ids the log settles, those that must be read nonetheless not counted."""
        return sum(flags == _SETTLED for flags in self._flags.values())

    def standing(self, session_id: str) -> Standing:
        """What to do with `session_id`; every later answer for it is DUPLICATE."""
        key = pack_id(session_id)
        flags = self._flags.get(key, 0)
        if flags & _SEEN:
            return Standing.DUPLICATE
        self._flags[key] = flags | _SEEN
        if flags & (_PENDING | _AMBIGUOUS):
            return Standing.CHECK
        if flags & _SETTLED and not self._force:
            return Standing.SETTLED
        if self.all_in_doubt and not flags & _SETTLED:
            return Standing.CHECK
        return Standing.NEW

    def record(self, session_id: str) -> None:
        """An outcome of this id is on disk: what a dead run may have done to it is known now."""
        if not self.pending:
            return
        key = pack_id(session_id)
        if self._flags.get(key, 0) & _PENDING:
            self._flags[key] &= ~_PENDING
            self.pending -= 1

    def pending_ids(self) -> Iterator[str]:
        """The ids that `pending` counts."""
        if not self.pending:
            return iter(())
        return (unpack_id(key) for key, flags in self._flags.items() if flags & _PENDING)

    def _learn_spoilt(self, line: bytes, number: int, dead: DeadRun | None) -> bool:
        """Learn what a spoilt line tells; returns whether there is a whole record in it.

        An id without its record is to be read before it is sent, unless it is settled already.
        """
        found = False
        for piece in pieces_of(line):
            trace = whole_trace(piece)
            if trace is not None:
                self._learn(trace, number, dead)
                found = True
            elif (session_id := id_of(piece)) is not None:
                self._doubt(session_id)
        return found

    def _doubt(self, session_id: str) -> None:
        key = pack_id(session_id)
        flags = self._flags.get(key, 0)
        if not flags & _SETTLED:
            self._flags[key] = flags | _AMBIGUOUS

    def _learn(self, trace: Trace, number: int, dead: DeadRun | None) -> None:
        key = pack_id(trace.id)
        flags = _SETTLED if trace.outcome is not _FAILED else _state_of_failed(trace)
        # What failed settles nothing: it keeps no run from another address, or a corrected one.
        if trace.outcome is not _FAILED:
            relation = self.targets.relation(trace.target)
            if relation is not _SAME and trace.outcome is _NOT_FOUND:
                flags = 0
        if self.pending and self._flags.get(key, 0) & _PENDING:
            if _is_of(dead, trace, number):
                self.pending -= 1
            else:
                flags |= _PENDING
        if flags:
            self._flags[key] = flags
        else:
            self._flags.pop(key, None)


def _state_of_failed(trace: Trace) -> int:
    in_doubt = trace.error is not None and trace.error.type == ErrorType.AMBIGUOUS
    return _AMBIGUOUS if in_doubt else 0


def _is_of(dead: DeadRun | None, trace: Trace, number: int) -> bool:
    return dead is not None and trace.run == dead.run and number > dead.log_lines
