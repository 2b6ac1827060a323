"""The latest outcome of every id, small enough for logs of tens of millions of lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from worker.core.outcomes import Outcome, Record
from worker.core.packed_ids import unpack_id
from worker.core.tally import MAX_ERROR_TYPES, OTHER_ERRORS

Kind = TypeVar("Kind")


class State(NamedTuple):
    """What a line says, as far as it is kept for every id. `run` numbers the runs of all logs."""

    run: int
    outcome: Outcome
    error_type: str | None


class States:
    """Numbers the states that occur: few, so that an id's state costs one pointer.

    Goes through them in the order of their numbers.
    """

    def __init__(self) -> None:
        self._known: list[State] = []
        self._numbers: dict[tuple[int, Outcome, str | None], int] = {}
        self._error_types: set[str] = set()

    def __getitem__(self, number: int) -> State:
        return self._known[number]

    def __iter__(self) -> Iterator[State]:
        return iter(self._known)

    def count_by(
        self, numbers: Counter[int], what: Callable[[State], Kind | None]
    ) -> Counter[Kind]:
        """What was counted by its state's number, by what the state is; None is left out."""
        counts: Counter[Kind] = Counter()
        for number, count in numbers.items():
            kind = what(self._known[number])
            if kind is not None:
                counts[kind] += count
        return counts

    def number(self, run: int, record: Record) -> int:
        """The number of the state that a record of this run puts its id into."""
        error_type = record.error.type if record.error is not None else None
        number = self._numbers.get((run, record.outcome, error_type))
        return self._add(run, record.outcome, error_type) if number is None else number

    def _add(self, run: int, outcome: Outcome, error_type: str | None) -> int:
        # The API's types are foreign text: a log in which each is another must not fill the memory.
        if error_type is not None and error_type not in self._error_types:
            if len(self._error_types) >= MAX_ERROR_TYPES:
                error_type = OTHER_ERRORS
            self._error_types.add(error_type)
        state = State(run, outcome, error_type)
        if state not in self._numbers:
            self._numbers[state] = len(self._known)
            self._known.append(state)
        return self._numbers[state]


class Latest:
    """Ids in the order of their first appearance, each with the number of its latest state."""

    def __init__(self) -> None:
        self.states: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self.states)

    def counts(self) -> Counter[int]:
        """How many ids are in each state, by the state's number."""
        return Counter(self.states.values())

    def ids(self, wanted: Callable[[int], bool]) -> Iterator[str]:
        """The ids whose state's number is wanted."""
        return (unpack_id(key) for key, number in self.states.items() if wanted(number))

    def merge(self, other: Latest, rank: Sequence[float]) -> None:
        """Take over another log's ids; of an id in both, the state of the higher rank counts."""
        mine = self.states
        for key, number in other.states.items():
            if key not in mine or rank[number] >= rank[mine[key]]:
                mine[key] = number
