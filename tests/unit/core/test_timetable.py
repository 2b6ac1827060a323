from __future__ import annotations

import math
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.core.timetable import DAYS, Slot, Timetable, parse_timetable

pytestmark = pytest.mark.usefixtures("central_europe")

EXAMPLES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def table(text: str) -> Timetable:
    return parse_timetable(text, highest=10_000)


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def local(utc_s: float) -> str:
    return f"{datetime.fromtimestamp(utc_s, UTC).astimezone():%a %d %H:%M}"


@pytest.mark.parametrize(
    ("moment", "rate", "until"),
    [
        ("2026-11-26 00:00", 10, "Thu 26 07:00"),
        ("2026-11-26 06:59:59.9", 10, "Thu 26 07:00"),
        ("2026-11-26 07:00", 4, "Thu 26 22:00"),
        ("2026-11-26 21:59", 4, "Thu 26 22:00"),
        ("2026-11-26 22:00", 10, "Fri 27 07:00"),
    ],
)
def test_each_slot_holds_until_the_next_one(moment: str, rate: float, until: str) -> None:
    period = table("07:00,4 22:00,10").period(at(moment))
    assert (period.rate, local(period.ends_at)) == (rate, until)


def test_a_slot_of_a_day_holds_until_another_begins_however_many_days_later() -> None:
    week = table("Mon-07:00,4 Sat-00:00,10")
    assert local(week.period(at("2026-11-26 12:00")).ends_at) == "Sat 28 00:00"
    assert week.period(at("2026-11-29 23:00")).rate == 10
    assert week.period(at("2026-11-30 06:59")).rate == 10
    assert week.period(at("2026-11-30 07:00")).rate == 4


def test_the_slot_of_a_day_counts_more_than_that_of_every_day_at_its_time() -> None:
    for text in ("07:00,4 Sun-07:00,9", "Sun-07:00,9 07:00,4"):
        assert table(text).period(at("2026-11-29 08:00")).rate == 9
        assert table(text).period(at("2026-11-30 08:00")).rate == 4


def test_one_slot_holds_always() -> None:
    period = table("07:00,4").period(at("2026-11-26 01:00"))
    assert (period.rate, period.ends_at) == (4, math.inf)


def test_slots_of_the_same_rate_are_one_period() -> None:
    assert local(table("07:00,4 09:00,4 22:00,1").period(at("2026-11-26 08:00")).ends_at) == (
        "Thu 26 22:00"
    )


def test_a_time_that_comes_twice_begins_its_slot_once() -> None:
    night = table("02:10,1 02:50,2 05:00,3")
    first = at("2026-10-25 02:00")
    rates = [night.period(first + 60 * minutes).rate for minutes in range(0, 181, 10)]
    assert rates == [3] + [1] * 4 + [2] * 14


def test_a_time_that_is_passed_over_begins_its_slot_when_the_clock_passes_it() -> None:
    night = table("01:00,7 02:10,1 02:50,2 03:10,3")
    first = at("2026-03-29 01:50")
    rates = [night.period(first + 60 * minutes).rate for minutes in range(0, 41, 5)]
    assert rates == [7, 7, 2, 2, 3, 3, 3, 3, 3]


@pytest.mark.parametrize(("text", "rate"), [("02:10,5 02:50,3", 3), ("02:50,3 02:10,5", 3)])
def test_of_times_that_are_passed_over_at_once_the_last_one_counts(text: str, rate: float) -> None:
    night = table(f"00:00,1 {text} 04:00,3")
    passed = night.period(at("2026-03-29 03:00"))
    assert (passed.rate, night.period(at("2026-03-29 01:59")).rate) == (rate, 1)
    assert local(passed.ends_at) == "Mon 30 00:00"


@EXAMPLES
@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(0, 6),
            st.times(),
            st.floats(0, 50).map(lambda rate: round(rate, 2)),
        ),
        min_size=1,
        max_size=6,
        unique_by=lambda slot: (slot[0], slot[1].hour, slot[1].minute),
    ),
    st.integers(0, 365 * 86_400),
)
def test_a_period_ends_where_another_rate_begins(
    slots: list[tuple[int | None, time, float]], second: int
) -> None:
    whole_minutes = ((day, time(clock.hour, clock.minute), rate) for day, clock, rate in slots)
    timetable = Timetable(tuple(Slot(*slot) for slot in whole_minutes))
    now = at("2026-01-01 00:00") + second
    period = timetable.period(now)
    assert period.ends_at > now
    if period.ends_at < math.inf:
        assert timetable.period(period.ends_at - 0.5).rate == period.rate
        assert timetable.period(period.ends_at).rate != period.rate
    fresh = Timetable(timetable.slots)
    assert fresh.period(now) == period


def test_requests_take_as_long_as_the_slots_on_their_way_allow() -> None:
    week = table("07:00,4 22:00,10 00:00,0")
    evening = at("2026-11-26 21:00")
    assert week.seconds_for(0, evening) == 0
    assert week.seconds_for(4 * 3600, evening) == 3600
    assert week.seconds_for(4 * 3600 + 10, evening) == 3601
    by_midnight = 4 * 3600 + 10 * 7200
    assert week.seconds_for(by_midnight, evening) == 3 * 3600
    assert week.seconds_for(by_midnight + 4, evening) == 10 * 3600 + 1


def test_more_than_years_of_requests_take_for_ever() -> None:
    assert table("07:00,0.001 22:00,0").seconds_for(1e9, at("2026-11-26 21:00")) == math.inf


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("07:00,4 22:00,10", "07:00,4 22:00,10"),
        ("  7:00,4.50   sat-0:05,0 ", "07:00,4.5 Sat-00:05,0"),
        ("Mon-07:00,4\tSUN-22:00,10", "Mon-07:00,4 Sun-22:00,10"),
        ("07:00,12.3456789 22:00,0.00001", "07:00,12.3456789 22:00,0.00001"),
    ],
)
def test_is_written_as_it_is_read(text: str, written: str) -> None:
    timetable = parse_timetable(text, highest=100)
    assert str(timetable) == written
    assert parse_timetable(written, highest=100) == timetable


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a rate above 0"),
        ("07:00,0 22:00,0", "a rate above 0"),
        ("07:00", "'07:00' is no slot"),
        ("07:00,4 22:00", "'22:00' is no slot"),
        ("07:00,-4", "is no slot"),
        ("07:00,nan", "is no slot"),
        ("24:00,4", "is no slot"),
        ("07:00, 4", "is no slot"),
        ("7,4", "is no slot"),
        ("Mond-07:00,4", "not 'Mond'"),
        ("07:00,4 07:00,5", "07:00 stands once"),
        ("7:00,4 07:00,4", "07:00 stands once"),
        ("Sat-07:00,4 sat-07:00,5", "Sat-07:00 stands once"),
        ("07:00,101", "from 0 to 100"),
        ("07:00,4 22:00,0.009", "from 0.01 requests a second on, or 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_timetable(text, lowest=0.01, highest=100)


@pytest.mark.parametrize("key", ["live_R2tWdU1SSk5pZ3F4f3a9", "R2tWdU1SSk5pZ3F4f3a9", "x" * 5000])
def test_what_may_be_a_key_is_not_shown_nor_a_text_without_end(key: str) -> None:
    with pytest.raises(ValueError, match="a timetable such as") as caught:
        parse_timetable(f"{key},4")
    assert key not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_every_hour_of_a_year_has_the_rate_that_the_clock_shows() -> None:
    weekly = table(" ".join(f"{day}-06:00,{number + 1}" for number, day in enumerate(DAYS)))
    moment = datetime(2026, 1, 1, 12, tzinfo=UTC)
    for _ in range(365):
        shown = moment.astimezone()
        assert weekly.period(moment.timestamp()).rate == shown.weekday() + 1
        moment += timedelta(days=1)
