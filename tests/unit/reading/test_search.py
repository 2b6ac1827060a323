"""Finding given ids in the list: what it shows and what is left, and how many requests it takes."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.list_model import BORN_MS, ListModel, object_id
from worker.core.errors import RefusedError
from worker.reading.search import CREDIT, Search, created_second_ms
from worker.reading.sessions import ListedSession, Page

NOW_MS = BORN_MS + 10**10
HOUR_MS = 3_600_000
OTHER_FORMS = ("session-1", "A" * 24, "f" * 24, "0" * 24, "5eb2b61e", "5EB2B61E02DF0A0008F1CF2B")


def search_all(search: Search, model: ListModel) -> tuple[list[ListedSession], list[str]]:
    """What pages show and what is left of the ids."""
    shown: list[ListedSession] = []
    while (query := search.query()) is not None:
        shown += search.take(model.page(query))
    return shown, search.rest()


def costs(ids: list[str], model: ListModel) -> int:
    """All requests: pages, and one for each id that is left."""
    _, rest = search_all(Search(ids, NOW_MS), model)
    return model.requests + len(rest)


def spread(count: int, every_ms: int) -> tuple[list[str], ListModel]:
    model = ListModel()
    return [model.create(number * every_ms) for number in range(count)], model


# --- ids tell about when they were made ---------------------------------------------------------


def test_an_object_id_tells_its_second() -> None:
    assert created_second_ms("6890d6a9" + "0" * 16, NOW_MS * 2) == 1_754_322_601_000


@pytest.mark.parametrize("session_id", OTHER_FORMS)
def test_an_id_of_another_form_or_of_the_future_tells_nothing(session_id: str) -> None:
    assert created_second_ms(session_id, NOW_MS) is None


# --- what it finds -------------------------------------------------------------------------------


@given(
    created=st.lists(st.tuples(st.integers(0, 9000), st.integers(-3000, 3000)), max_size=40),
    wanted=st.sets(st.integers(0, 39)),
    absent=st.lists(st.integers(0, 9000), max_size=5),
    page_size=st.integers(1, 6),
    deeds=st.lists(st.tuples(st.booleans(), st.integers(0, 9000)), max_size=30),
)
def test_every_id_is_shown_once_or_left_once_while_others_create_and_complete(
    created: list[tuple[int, int]],
    wanted: set[int],
    absent: list[int],
    page_size: int,
    deeds: list[tuple[bool, int]],
) -> None:
    model = ListModel()
    for number, (offset_ms, apart_ms) in enumerate(created):
        model.create(offset_ms + apart_ms, object_id(offset_ms, number))
    ids = [each.id for number, each in enumerate(model.sessions) if number in wanted]
    missing = [object_id(offset_ms, 10**6 + at) for at, offset_ms in enumerate(absent)]
    search = Search([*ids, *missing, *OTHER_FORMS], NOW_MS, page_size)
    shown: list[str] = []
    while (query := search.query()) is not None:
        truth = {each.id: each.status for each in model.sessions}
        for session in search.take(model.page(query)):
            assert session.status == truth[session.id]
            shown.append(session.id)
        for creates, number in [deeds.pop()] if deeds else []:
            if creates:
                model.create(number, f"other-{len(model.sessions)}")
            elif model.sessions:
                model.complete(number)
    rest = search.rest()
    assert sorted(shown + rest) == sorted([*ids, *missing, *OTHER_FORMS])
    assert set(missing) | set(OTHER_FORMS) <= set(rest)
    assert search.rest() == []


@given(
    st.lists(st.integers(0, 100_000), max_size=60),
    st.lists(st.integers(0, 100_000), max_size=60),
    st.integers(1, 9),
)
def test_it_never_costs_much_more_than_reading_one_by_one(
    asked: list[int], others: list[int], page_size: int
) -> None:
    model = ListModel()
    for offset_ms in others:
        model.create(offset_ms)
    ids = [object_id(offset_ms, 10**6 + at) for at, offset_ms in enumerate(asked)]
    for at, session_id in enumerate(ids[::2]):
        model.create(asked[2 * at], session_id)
    _, rest = search_all(Search(ids, NOW_MS, page_size), model)
    assert model.requests + len(rest) <= len(ids) + CREDIT + 1


def test_more_sessions_than_a_page_in_one_millisecond_are_all_found() -> None:
    model = ListModel()
    ids = [model.create(500) for _ in range(3500)]
    shown, rest = search_all(Search(ids, NOW_MS), model)
    assert (len(shown), rest) == (3500, [])
    assert model.requests == 5


# --- what it costs -------------------------------------------------------------------------------


def test_five_thousand_sessions_of_five_thousand_take_five_pages_in_any_order() -> None:
    ids, model = spread(5000, 30_000)
    random.Random(1).shuffle(ids)
    assert costs(ids, model) == 5


def test_one_id_is_read_by_itself() -> None:
    ids, model = spread(5000, 30_000)
    assert costs(ids[:1], model) == 1
    assert model.requests == 0


def test_a_gap_is_left_out() -> None:
    ids, model = spread(20_000, 1000)
    assert costs([*ids[:900], *ids[-900:]], model) == 2


def test_ids_far_apart_are_read_one_by_one() -> None:
    ids, model = spread(30_000, 60_000)
    few = ids[::3000]
    assert costs(few, model) <= len(few) + 1
    assert model.requests == 1


def test_clusters_far_apart_take_a_page_each() -> None:
    ids, model = spread(30_000, 60_000)
    clusters = [each for at in range(0, 30_000, 6000) for each in ids[at : at + 100]]
    assert costs(clusters, model) == 5


def test_two_of_a_thousand_sessions_are_worth_a_page() -> None:
    ids, model = spread(1000, HOUR_MS // 10)
    assert costs([ids[0], ids[-1]], model) == 1


def test_a_list_that_shows_nothing_costs_no_more_than_its_credit() -> None:
    asked = [object_id(number * 1000, 10**6 + number) for number in range(3000)]
    _, model = spread(100_000, 30)
    assert costs(asked, model) == len(asked) + CREDIT + 1


# --- lists that lie ------------------------------------------------------------------------------


@pytest.mark.parametrize("total", [-5, 0, 10**30])
def test_absurd_totals_do_no_harm(total: int) -> None:
    ids, model = spread(50, 1000)
    search = Search(ids, NOW_MS, 10)
    shown: list[str] = []
    while (query := search.query()) is not None:
        page = model.page(query)
        shown += [each.id for each in search.take(Page(page.sessions, total, page.pages))]
    assert sorted(shown + search.rest()) == sorted(ids)


LIES = ("drop", "twice", "reverse", "again", "empty", "totals", "unfiltered", "truth")


def lie(kind: str, page: Page, pages: list[Page], model: ListModel) -> Page:
    match kind:
        case "drop":
            return msgspec.structs.replace(page, sessions=page.sessions[::2])
        case "twice":
            doubled = tuple(each for each in page.sessions for _ in range(2))
            return msgspec.structs.replace(page, sessions=doubled)
        case "reverse":
            return msgspec.structs.replace(page, sessions=page.sessions[::-1])
        case "again":
            return pages[-1] if pages else page
        case "empty":
            return msgspec.structs.replace(page, sessions=())
        case "totals":
            return msgspec.structs.replace(page, total=10**12, pages=10**12)
        case "unfiltered":
            return model.page({})
    return page


@given(
    created=st.lists(st.integers(0, 60_000), max_size=60),
    asked=st.sets(st.integers(0, 59)),
    lies=st.lists(st.sampled_from(LIES)),
    page_size=st.integers(1, 9),
)
def test_a_list_that_lies_costs_no_more_than_its_credit_and_hides_no_id(
    created: list[int], asked: set[int], lies: list[str], page_size: int
) -> None:
    model = ListModel()
    ids = [model.create(offset_ms) for offset_ms in created]
    ids = [each for number, each in enumerate(ids) if number in asked]
    search = Search(ids, NOW_MS, page_size)
    shown: list[str] = []
    pages: list[Page] = []
    while (query := search.query()) is not None:
        page = lie(lies.pop() if lies else "totals", model.page(query), pages, model)
        pages.append(page)
        try:
            shown += [session.id for session in search.take(page)]
        except RefusedError:
            search.give_up()
    rest = search.rest()
    assert sorted(shown + rest) == sorted(ids)
    assert len(pages) + len(rest) <= len(ids) + CREDIT + 2


def test_after_a_list_that_ignores_its_filters_all_that_is_left_is_read_one_by_one() -> None:
    ids, model = spread(50, 1000)
    search = Search(ids[:20], NOW_MS, 10)
    assert search.query() is not None
    with pytest.raises(RefusedError, match="does not heed"):
        search.take(model.page({}))
    search.give_up()
    assert search.query() is None
    assert sorted(search.rest()) == sorted(ids[:20])
