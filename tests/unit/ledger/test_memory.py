from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest

from tests.support.ledgers import A, B, record
from worker.core.outcomes import Outcome, Record
from worker.ledger.files import Block
from worker.ledger.lines import encode_line
from worker.ledger.memory import DeadRun, Memory, Standing

DEAD = DeadRun("run-1", log_lines=0)
NOBODY = None


def block_of(*records: Record, first: int = 1) -> Block:
    return Block(first, [encode_line(each).rstrip(b"\n") for each in records])


def memory_of(*records: Record, force: bool = False) -> Memory:
    memory = Memory(force=force)
    memory.learn([block_of(*records)], NOBODY)
    return memory


@pytest.mark.parametrize("outcome", [Outcome.PROCESSING, Outcome.NOT_FOUND])
def test_a_settled_id_is_left_alone(outcome: Outcome) -> None:
    memory = memory_of(record(A, outcome))
    assert memory.settled() == 1
    assert memory.standing(A) is Standing.SETTLED


def test_an_id_that_failed_is_sent_again() -> None:
    memory = memory_of(record(A, error="http_503"))
    assert memory.settled() == 0
    assert memory.standing(A) is Standing.NEW


def test_an_id_that_failed_in_doubt_is_read_first() -> None:
    assert memory_of(record(A, error="ambiguous")).standing(A) is Standing.CHECK


def test_an_unknown_id_is_new_once_and_a_duplicate_ever_after() -> None:
    memory = memory_of()
    assert [memory.standing(A) for _ in range(3)] == [
        Standing.NEW,
        Standing.DUPLICATE,
        Standing.DUPLICATE,
    ]


@pytest.mark.parametrize(
    ("history", "standing"),
    [
        ([record(A), record(A, error="http_500")], Standing.NEW),
        ([record(A, error="http_500"), record(A)], Standing.SETTLED),
        ([record(A, error="ambiguous"), record(A)], Standing.SETTLED),
        ([record(A), record(A, error="ambiguous")], Standing.CHECK),
        ([record(A, error="ambiguous"), record(A, error="http_400")], Standing.NEW),
    ],
)
def test_the_last_line_of_an_id_is_its_state(history: list[Record], standing: Standing) -> None:
    assert memory_of(*history).standing(A) is standing


def test_force_sends_settled_ids_again_but_reads_those_in_doubt_first() -> None:
    memory = memory_of(record(A), record(B, error="ambiguous"), force=True)
    assert memory.standing(A) is Standing.NEW
    assert memory.standing(B) is Standing.CHECK


def test_an_id_of_a_dead_run_without_an_outcome_is_read_first() -> None:
    memory = Memory()
    memory.expect(A)
    memory.expect(A)
    memory.learn([block_of(record(A, run="run-0"))], DEAD)
    assert memory.pending == 1
    assert memory.settled() == 0
    assert memory.standing(A) is Standing.CHECK


@pytest.mark.parametrize("error", [None, "http_400"])
def test_an_outcome_of_the_dead_run_ends_the_doubt(error: str | None) -> None:
    memory = Memory()
    memory.expect(A)
    memory.learn([block_of(record(A, error=error))], DEAD)
    assert memory.pending == 0
    assert memory.standing(A) is (Standing.NEW if error else Standing.SETTLED)


def test_a_name_given_to_two_runs_does_not_settle_what_the_second_left_in_doubt() -> None:
    memory = Memory()
    memory.expect(A)
    memory.learn([block_of(record(A, error="http_400"))], DeadRun("run-1", log_lines=1))
    assert memory.standing(A) is Standing.CHECK


def test_an_outcome_of_this_run_ends_the_doubt_about_a_carried_id() -> None:
    memory = Memory()
    for each in (A, B):
        memory.expect(each)
    memory.record(A)
    memory.record(A)
    memory.record("of-no-dead-run")
    assert list(memory.pending_ids()) == [B]
    assert memory.pending == 1
    memory.record(B)
    assert list(memory.pending_ids()) == []


GOOD = encode_line(record(A)).rstrip(b"\n")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"   ",
        b"garbage",
        b"\0" * 100,
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"id":"x","outcome":"processing"}',
        b'{"outcome":"processing","error":null,"run":"r"}',
        GOOD.replace(b"processing", b"done"),
        GOOD.replace(b'"id":"', b'"id":7,"was":"'),
        GOOD.replace(b"null", b'"text"'),
        GOOD[:-1],
        GOOD + GOOD,
        GOOD + b"\0\0",
        GOOD.replace(b"run-1", b"\xff"),
        GOOD.replace(b'"complete"', b'"\xff"'),
        b'{"z":' * 100_000,
        b"\xff\xfe{\0}\0",
    ],
    ids=lambda line: str(line[:24]),
)
def test_a_line_that_is_no_record_is_reported_and_passed_over(line: bytes) -> None:
    memory = Memory()
    bad = memory.learn([Block(1, [GOOD, line]), block_of(record(B), first=3)], NOBODY)
    assert bad.first_numbers == [2]
    assert str(bad) == "1 line of the results log is not a record and was left in place: line 2"
    assert memory.settled() == 2
    assert memory.log_lines == 3


def test_only_the_first_foreign_lines_are_listed() -> None:
    bad = Memory().learn([Block(1, [b"?"] * 7)], NOBODY)
    assert str(bad).endswith("lines 1, 2, 3, 4, 5 and 2 more")
    few = Memory().learn([Block(1, [b"?"] * 2)], NOBODY)
    assert str(few).endswith("lines 1, 2")


def test_fields_of_other_versions_do_not_make_settled_ids_unknown() -> None:
    memory = Memory()
    line = b'{"run":"r","id":"x","news":[1,{"a":2}],"error":null,"outcome":"not_found"}'
    assert memory.learn([Block(1, [line])], NOBODY).count == 0
    assert memory.standing("x") is Standing.SETTLED


def test_an_id_is_remembered_in_at_most_130_bytes() -> None:
    line = encode_line(record("%24")).rstrip(b"\n")

    def blocks(numbers: range) -> Iterator[Block]:
        for number in numbers:
            yield Block(number + 1, [line.replace(b"%24", b"%024x" % number)])

    memory = Memory()
    just_grown = 87_382  # the worst: the table has twice the size that the ids need
    tracemalloc.start()
    try:
        memory.learn(blocks(range(just_grown)), NOBODY)
        assert tracemalloc.get_traced_memory()[0] / just_grown <= 130
        memory.learn(blocks(range(just_grown, 100_000)), NOBODY)
        assert tracemalloc.get_traced_memory()[0] / 100_000 <= 130
    finally:
        tracemalloc.stop()
    assert memory.settled() == 100_000
