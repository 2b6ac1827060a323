from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.settings import format_duration, parse_duration

UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("90s", 90.0),
        ("15m", 900.0),
        ("6h", 21_600.0),
        ("1h30m", 5400.0),
        ("1h1m1s1ms", 3661.001),
        ("1m5ms", 60.005),
        ("1.5h", 5400.0),
        ("0.57s", 0.57),
        ("90", 90.0),
        ("0.25", 0.25),
        ("0", 0.0),
        ("0s", 0.0),
        ("010", 10.0),
    ],
)
def test_reads_what_people_write(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "s", "-1", "-1s", "+1s", "1 s", " 1s", "1s ", "1s\n", "5\n", "90 s"),
        *("nan", "inf", "infinity", "-inf", "1e3", "1_000", "1,5s", ".5", "5.", "1..5s"),
        *("2d", "1w", "15M", "1H", "15min", "1sec", "1m1h", "1s1s", "1ms1s", "30m1h30m"),
        *("\u0661s", "\u00b2s", "\uff11s", "0x10", "1h30", "one"),
        *("1" * 399, "1" * 500, "9" * 400 + "h"),
    ],
)
def test_refuses_everything_else(text: str) -> None:
    with pytest.raises(ValueError, match=r"\A(not a duration|too long|too large)\Z"):
        parse_duration(text)


@given(st.floats(min_value=0, allow_nan=False, allow_infinity=False))
@example(-0.0)
@example(5e-324)
@example(math.nextafter(1e12, 0))
@example(1.7976931348623157e308)
def test_any_duration_survives_the_round_trip(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(min_value=0, max_value=10**12))
def test_whole_milliseconds_are_shown_in_units_and_survive(total_ms: int) -> None:
    text = format_duration(total_ms / 1000)
    assert text[-1].isalpha()
    assert parse_duration(text) == total_ms / 1000


@given(st.dictionaries(st.sampled_from(list(UNITS)), st.integers(0, 10_000), min_size=1))
def test_parts_add_up(counts: dict[str, int]) -> None:
    text = "".join(f"{counts[unit]}{unit}" for unit in UNITS if unit in counts)
    expected = sum(count * UNITS[unit] for unit, count in counts.items())
    assert parse_duration(text) == pytest.approx(expected)


@given(st.text(max_size=20) | st.from_regex(r"[0-9.hms ]{0,12}"))
def test_any_text_gives_a_usable_number_or_value_error(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert math.isfinite(seconds)
    assert seconds >= 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.5, "500ms"),
        (10.0, "10s"),
        (60.0, "1m"),
        (90.0, "1m30s"),
        (5400.0, "1h30m"),
        (172_800.0, "48h"),
        (0.0001, "0.0001"),
    ],
)
def test_shows_the_shortest_form(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf, -0.001])
def test_what_is_no_duration_is_not_shown_as_one(seconds: float) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        format_duration(seconds)
