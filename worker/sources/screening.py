"""Whether a source holds ids at all: judged by its first lines, before any of them is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from worker.core.errors import UsageError
from worker.core.outcomes import Item
from worker.core.secrets import NOT_SHOWN, holds_credential, redact
from worker.core.text import shorten, visible

_JUDGED_BY: Final = 100
_SHOWN: Final = 3
_SHOWN_LENGTH: Final = 60
_ADVICE: Final = (
    "Give the file with the ids, or say with --format and --field how they are written in it"
)


class Screening:
    """Keeps items back while none of them is an id."""

    def __init__(self) -> None:
        self.is_over = False
        self._kept: list[Item] = []

    def pass_on(self, items: list[Item]) -> list[Item]:
        """What may be given now. Raises UsageError where the first 100 lines hold no id."""
        if self.is_over:
            return items
        self._kept += items
        judged = self._kept[:_JUDGED_BY]
        if any(item.problem is None for item in judged):
            return self.let_go()
        if len(judged) == _JUDGED_BY:
            raise _no_ids(judged, f"the first {_JUDGED_BY} lines")
        return []

    def end(self) -> list[Item]:
        """What was kept back, at the end. Raises UsageError where none of all lines is an id."""
        if self._kept:
            raise _no_ids(self._kept, f"its lines ({len(self._kept)} that count)")
        return self.let_go()

    def let_go(self) -> list[Item]:
        """What was kept back, judged or not."""
        kept, self._kept, self.is_over = self._kept, [], True
        return kept


def sample_of(item: Item) -> str:
    """A line that can be no id, and why, as a message may show it: without what may be a key."""
    # Before it is cut: half a secret would not be known as one.
    text = shorten(visible(redact(item.id)), _SHOWN_LENGTH)
    shown = NOT_SHOWN if holds_credential(item.id) else f"'{text}'"
    return f"line {item.line}, {shown}: {visible(item.problem or '')}"


def _no_ids(items: Sequence[Item], which: str) -> UsageError:
    samples = "; ".join(map(sample_of, items[:_SHOWN]))
    return UsageError(f"none of {which} can be an id ({samples})", _ADVICE)
