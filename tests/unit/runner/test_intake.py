"""The intake: every line of the source is counted once, and only what is in the journal goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.defaults import policy as default_policy
from worker.core.errors import LedgerError, SourceError
from worker.core.outcomes import Item, Record
from worker.core.tally import Tally
from worker.ledger import Standing
from worker.runner.intake import Intake
from worker.runner.job import Policy


class Listed:
    """A source that gives its items a few at a time, then fails if it is to."""

    name = "listed"
    total = None

    def __init__(self, items: Sequence[Item], *, at_once: int = 3, fails: bool = False) -> None:
        self._items = list(items)
        self._at_once = at_once
        self._fails = fails
        self.exhausted = False
        self.asked = 0

    async def take(self, most: int) -> list[Item]:
        self.asked += 1
        count = min(most, self._at_once)
        given, self._items = self._items[:count], self._items[count:]
        if not given and self._fails:
            self._fails = False
            raise SourceError("broken off")
        self.exhausted = not self._items and not self._fails
        return given

    async def take_rest(self, most: int) -> list[Item]:
        return await self.take(most)

    def interrupt(self) -> None:
        raise AssertionError


class Remembering:
    """A ledger that knows some ids, and writes down which ones enter."""

    recovered = 0
    doubt_since = None

    def __init__(self, known: dict[str, Standing] | None = None, *, full: bool = False) -> None:
        self._known = dict(known or {})
        self._full = full
        self.entered: list[list[str]] = []

    def standing(self, id: str) -> Standing:
        standing = self._known.get(id, Standing.NEW)
        self._known[id] = Standing.DUPLICATE
        return standing

    async def enter(self, ids: Sequence[str]) -> None:
        if self._full:
            raise LedgerError("disk full")
        self.entered.append(list(ids))

    def owns(self, id: str) -> bool:
        raise AssertionError(id)

    def append(self, record: Record) -> None:
        raise AssertionError(record)

    async def serve(self, on_durable: Callable[[Sequence[Record]], None]) -> None:
        raise AssertionError(on_durable)

    async def finish(self, *, good_order: bool) -> None:
        raise AssertionError(good_order)


class Harness:
    def __init__(
        self,
        lines: str,
        known: dict[str, Standing] | None = None,
        *,
        limit: int | None = None,
        policy: Policy | None = None,
        fails: bool = False,
        full: bool = False,
    ) -> None:
        items = [
            Item(text, line, problem="not an id" if text == "!" else None)
            for line, text in enumerate(lines.split(), 1)
        ]
        self.source = Listed(items, fails=fails)
        self.ledger = Remembering(known, full=full)
        self.tally = Tally()
        self.invalid: list[Item] = []
        self.intake = Intake(
            self.source,
            self.ledger,
            self.tally,
            policy or default_policy(),
            limit=limit,
            on_invalid=self.invalid.append,
            look_ahead=None,
            ahead=0,
        )

    async def admit_all(self, room: int = 100) -> list[str]:
        admitted = []
        while not self.intake.ended:
            admitted += [job.id for job in await self.intake.admit(room)]
        return admitted

    @property
    def accounted(self) -> int:
        tally, intake = self.tally, self.intake
        others = tally.settled + tally.duplicates + tally.not_attempted
        return intake.admitted + len(self.invalid) + others


async def test_what_is_admitted_is_in_the_journal_before() -> None:
    harness = Harness("a b c d e")
    assert [job.id for job in await harness.intake.admit(2)] == ["a", "b"]
    assert harness.ledger.entered == [["a", "b"]]
    assert [job.line for job in await harness.intake.admit(100)] == [3]
    assert harness.ledger.entered == [["a", "b"], ["c"]]


async def test_no_more_are_admitted_than_there_is_room_for() -> None:
    harness = Harness("a b c d")
    assert len(await harness.intake.admit(1)) == 1
    assert harness.source.asked == 1
    assert (await harness.admit_all(1), harness.intake.ended) == (["b", "c", "d"], True)
    assert harness.intake.complete


async def test_each_line_is_counted_as_what_it_is() -> None:
    harness = Harness("a s a ! s b", {"s": Standing.SETTLED})
    assert await harness.admit_all() == ["a", "b"]
    assert (harness.tally.input, harness.tally.settled, harness.tally.duplicates) == (6, 1, 2)
    assert [item.line for item in harness.invalid] == [4]
    assert harness.accounted == 6


async def test_what_a_dead_run_may_have_sent_is_read_first() -> None:
    harness = Harness("a b", {"a": Standing.CHECK})
    jobs = await harness.intake.admit(100)
    assert [(job.unresolved, job.check_next) for job in jobs] == [(True, True), (False, False)]


async def test_who_wants_to_resend_does_not_read_first() -> None:
    harness = Harness("a", {"a": Standing.CHECK}, policy=default_policy(on_ambiguous="resend"))
    [job] = await harness.intake.admit(100)
    assert (job.unresolved, job.check_next) == (False, False)


async def test_who_wants_to_check_first_reads_without_doubt() -> None:
    [job] = await Harness("a", policy=default_policy(check_first=True)).intake.admit(100)
    assert (job.unresolved, job.check_next) == (False, True)


async def test_the_first_id_beyond_the_limit_ends_the_intake() -> None:
    harness = Harness("s a a b s c d", {"s": Standing.SETTLED}, limit=2)
    assert await harness.admit_all() == ["a", "b"]
    assert harness.intake.limit_reached
    await harness.intake.count_rest(lambda: False)
    assert (harness.tally.input, harness.tally.not_attempted, harness.accounted) == (7, 2, 7)
    assert harness.intake.complete


async def test_settled_ids_and_doubles_beyond_the_limit_do_not_reach_it() -> None:
    harness = Harness("a b s a b ! s", {"s": Standing.SETTLED}, limit=2)
    assert await harness.admit_all() == ["a", "b"]
    assert not harness.intake.limit_reached
    assert (harness.accounted, len(harness.invalid)) == (7, 1)


async def test_the_rest_is_counted_as_far_as_there_is_time() -> None:
    harness = Harness("a b c d e f g h i", {"d": Standing.SETTLED})
    await harness.intake.admit(1)
    rounds = iter([False, True])
    await harness.intake.count_rest(lambda: next(rounds))
    assert (harness.tally.input, harness.tally.not_attempted) == (3, 2)
    assert not harness.intake.complete


async def test_what_could_not_enter_the_journal_was_not_attempted() -> None:
    harness = Harness("a b c", full=True)
    with pytest.raises(LedgerError):
        await harness.intake.admit(100)
    assert (harness.tally.input, harness.tally.not_attempted) == (3, 3)


async def test_a_source_that_breaks_off_is_no_end_of_the_input() -> None:
    harness = Harness("a b", fails=True)
    assert await harness.admit_all() == ["a", "b"]
    assert isinstance(harness.intake.failure, SourceError)
    assert not harness.intake.complete


async def test_a_source_that_breaks_off_while_the_rest_is_counted_is_none_either() -> None:
    harness = Harness("a b c d", fails=True, limit=1)
    await harness.admit_all()
    await harness.intake.count_rest(lambda: False)
    assert isinstance(harness.intake.failure, SourceError)
    assert (harness.accounted, harness.intake.complete) == (4, False)


@given(
    lines=st.lists(st.sampled_from("abcdes!"), max_size=30),
    room=st.integers(1, 5),
    limit=st.none() | st.integers(1, 5),
    rounds=st.integers(0, 8),
)
async def test_the_sum_adds_up_whatever_comes(
    lines: list[str], room: int, limit: int | None, rounds: int
) -> None:
    harness = Harness(" ".join(lines), {"s": Standing.SETTLED, "e": Standing.CHECK}, limit=limit)
    for _ in range(rounds):
        if not harness.intake.ended:
            await harness.intake.admit(room)
    await harness.intake.count_rest(lambda: False)
    assert harness.tally.input == harness.accounted == len(lines)
    assert harness.intake.admitted <= (len(lines) if limit is None else limit)
    entered = [key for batch in harness.ledger.entered for key in batch]
    assert len(entered) == len(set(entered))
