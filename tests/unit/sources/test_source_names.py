"""Where the id is: names of columns and keys, broken over lines or in another case."""

from __future__ import annotations

import io

import pytest

from tests.support.ledgers import A, B
from worker.core.errors import UsageError
from worker.core.outcomes import Item
from worker.sources import open_source


def read(data: bytes, format: str = "auto") -> list[Item]:
    source = open_source("-", format=format, stdin=io.BytesIO(data))
    items = []
    while some := source.take(7):
        items += some
    return items


BROKEN_HEADERS = [
    f'"workflow\nid";id;name\nx;{A};x\ny;{B};y\n',
    f'"id\n",name\n{A},x\n{B},y\n',
    f'"\n\nid"\tname\n{A}\tx\n{B}\ty\n',
    f'name|"note, of\nanything"|ID\nx|y|{A}\nx|y|{B}\n',
]


@pytest.mark.parametrize("format", ["auto", "csv"])
@pytest.mark.parametrize("text", BROKEN_HEADERS[:3])
def test_a_first_cell_of_the_header_may_be_broken_over_lines(text: str, format: str) -> None:
    items = read(text.encode(), format=format)
    assert [(item.id, item.problem) for item in items] == [(A, None), (B, None)]


def test_so_may_any_other_of_a_table_that_is_known_as_one() -> None:
    assert [item.id for item in read(BROKEN_HEADERS[3].encode(), format="csv")] == [A, B]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        (f'{{"ID":"{A}"}}\n{{"ID":"{B}"}}\n', [A, B]),
        (f'{{"id":"{A}"}}\n{{"Id":"{B}","ID":5}}\n', [A]),
        (f'{{"id":"{A}","ID":"{B}"}}\n', [A]),
    ],
)
def test_a_key_in_another_case_is_taken_where_there_is_one_such(text: str, ids: list[str]) -> None:
    assert [item.id for item in read(text.encode()) if item.problem is None] == ids


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("abc1\nabc2\n", "if that is an id already, say --format lines"),
        ("abc1,Ann\nabc2,Bob\n", "if it holds an id already, put a line above it"),
        ("session,name\nabc1,Ann\n", ""),
    ],
)
def test_advice_on_the_column_eats_no_id_however_short(text: str, advice: str) -> None:
    with pytest.raises(UsageError, match="no column is called 'id'") as caught:
        read(text.encode(), format="csv")
    assert advice in caught.value.advice
    assert ("already" in caught.value.advice) is bool(advice)


def test_files_put_together_bring_their_separators_along() -> None:
    part = "sep=;\nid;n\n{};x\n"
    items = read((part.format(A) + "\ufeff" + part.format(B)).encode())
    assert [(item.id, item.problem) for item in items] == [(A, None), (B, None)]


def test_that_a_key_in_another_case_was_taken_is_told() -> None:
    source = open_source("-", stdin=io.BytesIO(f'{{"ID":"{A}"}}\n'.encode() * 9))
    source.take(9)
    assert source.notes == ["The key 'ID' is taken for 'id'"]
