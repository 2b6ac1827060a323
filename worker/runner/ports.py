"""What the runner needs from the rooms below it, as it is handed in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from worker.api.verdict import Reply, Settled, Unfinished
from worker.core.departure import Departure
from worker.core.outcomes import Item, Record
from worker.ledger import Standing


class SourcePort(Protocol):
    """Gives ids, in batches. `total` is the number of lines where it is known in advance."""

    name: str

    @property
    def total(self) -> int | None: ...

    @property
    def exhausted(self) -> bool:
        """Whether the end was read."""
        ...

    async def take(self, most: int) -> list[Item]:
        """Up to `most` items as soon as there is one; an empty list is the end."""
        ...

    async def take_rest(self, most: int) -> list[Item]:
        """As `take`, but never waits for a writer: an empty list is the end or an idle pipe."""
        ...

    def interrupt(self) -> None:
        """Wake a `take` that waits, now and from now on; `take_rest` still gives what is there."""
        ...


class ClientPort(Protocol):
    """Sends one request when `departure` says so, once it is connected; returns what came back, or
    that nothing did."""

    async def complete(self, id: str, departure: Departure) -> Reply:
        """Complete the session."""
        ...

    async def check(self, id: str, departure: Departure) -> Reply:
        """Read the session."""
        ...


class StatusSearch(Protocol):
    """Looks for the statuses of many sessions at once."""

    async def next_page(self) -> Sequence[tuple[str, Settled | Unfinished]] | None:
        """What one more request tells of them; None where no other is worth it, or may be sent."""
        ...

    def rest(self) -> Sequence[str]:
        """The sessions of which nothing was told."""
        ...


class Statuses(Protocol):
    """Reads the statuses of many sessions with few requests."""

    def search(self, ids: Collection[str]) -> StatusSearch:
        """Begin to look for the statuses of these sessions."""
        ...

    def stop(self) -> None:
        """Send nothing more; a search that is under way ends."""
        ...


class LedgerPort(Protocol):
    """Remembers, durably, what may be in flight and what became of each id."""

    @property
    def recovered(self) -> int:
        """How many ids an earlier run may have sent, of which no outcome is known."""
        ...

    @property
    def doubt_since(self) -> float | None:
        """When the last request of an earlier run may have left, in seconds since 1970; None where
        nobody knows."""
        ...

    def standing(self, id: str) -> Standing:
        """What earlier runs left of an id; when it is asked for again, that it is a duplicate."""
        ...

    def owns(self, id: str) -> bool:
        """Whether an id that `standing` was asked for is still this run's to send; False is said
        once, and the run then forgets the id."""
        ...

    async def enter(self, ids: Sequence[str]) -> None:
        """On return the ids are durably noted: from then on they may be sent."""
        ...

    def append(self, record: Record) -> None:
        """Hand over an outcome, which `serve` makes durable."""
        ...

    async def serve(self, on_durable: Callable[[Sequence[Record]], None]) -> None:
        """Make outcomes durable until `finish`, and tell `on_durable` of each batch that is."""
        ...

    async def finish(self, *, good_order: bool) -> None:
        """Make durable what was handed over, and end `serve`. In good order nothing that has
        entered is in doubt any more."""
        ...
