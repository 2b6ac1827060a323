"""What reading many statuses will cost: never less than said at least, never more than one each."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.list_model import BORN_MS, ListModel, object_id
from worker.reading.cost import ReadingCost
from worker.reading.search import CREDIT, Search

NOW_MS = BORN_MS + 10**10


def cost_of(ids: list[str]) -> ReadingCost:
    cost = ReadingCost(NOW_MS)
    for session_id in ids:
        cost.add(session_id)
    return cost


def test_ids_that_tell_no_time_and_those_in_doubt_take_one_request_each() -> None:
    cost = cost_of(["one", "two", *(object_id(at * 1000, at) for at in range(1500))])
    cost.add(object_id(0, 99), must_be_single=True)
    assert (cost.ids, cost.least) == (1503, 3 + 2)
    assert cost.given_total(5_000) == 3 + 6
    assert cost.given_total(10**9) == 1503


@given(st.lists(st.integers(0, 3000), max_size=40), st.lists(st.integers(0, 3000), max_size=40))
def test_a_search_costs_about_what_was_said(asked: list[int], others: list[int]) -> None:
    model = ListModel()
    ids = [model.create(offset_s * 1000) for offset_s in asked]
    for offset_s in others:
        model.create(offset_s * 1000)
    cost = cost_of(ids)
    if not cost.listable:
        return
    told = model.page(cost.query()).total
    model.requests = 0
    search = Search(ids, NOW_MS)
    while (query := search.query()) is not None:
        search.take(model.page(query))
    spent = model.requests + len(search.rest())
    assert cost.least <= spent <= cost.given_total(told) + CREDIT
