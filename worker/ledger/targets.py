"""Whether a log's records are of the target that a run is for."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Final

from worker.core.errors import UsageError
from worker.core.target import Target


class Relation(Enum):
    """How the target of a record stands to the run's own."""

    SAME = "same"
    OTHER_KEY = "other key"
    FOREIGN = "foreign"


class Targets:
    """The targets of the records that were read; `own` is None where none is to be compared."""

    def __init__(self, own: Target | None) -> None:
        self._own = own
        self._relations: dict[str | None, Relation] = {}

    def relation(self, target: object) -> Relation:
        """How a record's `target` stands to the run's; a record without one is the run's own."""
        text = target if isinstance(target, str) else None
        known = self._relations.get(text)
        if known is None:
            known = self._relations[text] = self._compare(text)
        return known

    def refuse_other_target(self, log: Path) -> None:
        """Raise UsageError where there was a record of another API or of another kind of key."""
        for text, relation in self._relations.items():
            if relation is Relation.FOREIGN and self._own is not None:
                theirs = text and Target.parse(text)
                raise UsageError(
                    f"{log} holds what was sent to {_named(theirs or text)}, "
                    f"and this run is for {_named(self._own)}",
                    "Give each of them a results log of its own with --results FILE",
                )

    def notes(self) -> list[str]:
        """What the operator should know of records that count though they name another target."""
        if self._own is None:
            return []
        notes = []
        if Relation.OTHER_KEY in self._relations.values():
            notes.append(_OTHER_KEY)
        if None in self._relations:
            notes.append(_NO_TARGET)
        return notes

    def _compare(self, text: str | None) -> Relation:
        if self._own is None or text is None or text == str(self._own):
            return Relation.SAME
        theirs = Target.parse(text)
        if theirs is not None and theirs.place == self._own.place:
            return Relation.OTHER_KEY
        return Relation.FOREIGN


_OTHER_KEY: Final = (
    "The results log holds records of another key of the same kind: what it accepted stays "
    "settled, and what it did not find is asked again"
)
_NO_TARGET: Final = (
    "Records of the results log do not name their target, as older versions wrote them: they count "
    "as this run's own"
)


def _named(target: Target | str | None) -> str:
    if isinstance(target, Target):
        return f"{target.base_url} with a {target.kind} key"
    return str(target)
