"""Every id of the logs in the page: small enough for a mail, or left out with a word."""

from __future__ import annotations

import base64
import json
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.log_samples import hex_id, record
from tests.unit.report.test_report_page import Page, page_of
from worker.core.outcomes import Outcome
from worker.report import lookup, page
from worker.report.aggregation import Aggregator
from worker.report.lookup import MAX_LOOKED_UP, Lookup, lookup_of

LABELS = {"log": "log"}


def aggregator_of(outcomes: dict[str, Outcome]) -> Aggregator:
    aggregator = Aggregator()
    aggregator.read("log", [record(key, outcome.value) for key, outcome in outcomes.items()])
    return aggregator


def unpacked(packed: Lookup) -> dict[str, str]:
    """What the page's script makes of it: each id's outcome."""
    columns = zlib.decompress(base64.b64decode(packed.hexadecimal))
    count = len(columns) // 14
    ids = [bytes(columns[place * count + n] for place in range(12)).hex() for n in range(count)]
    assert ids == sorted(ids)
    numbers = [columns[12 * count + n] + 256 * columns[13 * count + n] for n in range(count)]
    others, other_numbers = json.loads(zlib.decompress(base64.b64decode(packed.others)))
    states = packed.tables["states"]
    pairs = zip([*ids, *others], [*numbers, *other_numbers], strict=True)
    return {key: str(states[number][0]) for key, number in pairs}


@given(
    st.dictionaries(
        st.text(max_size=8) | st.from_regex(r"[0-9a-f]{24}", fullmatch=True),
        st.sampled_from(Outcome),
        min_size=1,
        max_size=30,
    )
)
def test_every_id_is_found_with_its_outcome(outcomes: dict[str, Outcome]) -> None:
    packed = lookup_of(aggregator_of(outcomes), LABELS)
    assert packed is not None
    assert unpacked(packed) == {key: outcome.value for key, outcome in outcomes.items()}


SHARE = 20
"""What is in proportion to the number of ids is measured with a part of them."""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages that hold a part of the ids that they may, in that part of the room."""
    for module in (page, lookup):
        monkeypatch.setattr(module, "MAX_LOOKED_UP", MAX_LOOKED_UP // SHARE)
    monkeypatch.setattr(page, "MAX_PAGE_BYTES", page.MAX_PAGE_BYTES // SHARE)


@pytest.mark.usefixtures("small")
def test_a_million_random_ids_fit_into_a_mail() -> None:
    assert MAX_LOOKED_UP == 1_000_000
    aggregator = aggregator_of({hex_id(1): Outcome.PROCESSING, hex_id(2): Outcome.FAILED})
    dice = random.Random(1)
    states = aggregator.latest.states
    while len(states) < lookup.MAX_LOOKED_UP:
        states[dice.randbytes(12)] = dice.choice((0, 0, 0, 1))
    text = page_of(aggregator)
    assert len(text) < page.MAX_PAGE_BYTES * 0.7
    assert "lookup-hexadecimal" in text


@pytest.mark.usefixtures("small")
def test_more_ids_than_a_page_holds_are_asked_of_the_logs() -> None:
    aggregator = aggregator_of({hex_id(1): Outcome.PROCESSING, "x": Outcome.FAILED})
    with_room = page_of(aggregator)
    aggregator.latest.states.update((str(n).encode(), 0) for n in range(lookup.MAX_LOOKED_UP))
    text = page_of(aggregator)
    assert 'id="lookup-hexadecimal"' in with_room
    assert 'id="lookup-hexadecimal"' not in text
    assert "complete-sessions report RESULTS --id ID" in Page(text).text("section")


@pytest.mark.usefixtures("small")
def test_ids_too_long_for_a_mail_are_asked_of_the_logs() -> None:
    aggregator = aggregator_of({"x": Outcome.PROCESSING})
    dice = random.Random(1)
    aggregator.latest.states.update(
        (dice.randbytes(99).hex().encode(), 0) for _ in range(200_000 // SHARE)
    )
    text = page_of(aggregator)
    assert len(text) < page.MAX_PAGE_BYTES
    assert 'id="lookup-hexadecimal"' not in text
