"""Counts that add up, and percentiles in constant memory."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.outcomes import Error, Outcome, Record, Via
from worker.core.tally import OTHER_ERRORS, Histogram, Tally


@given(st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=200), st.floats(0, 100))
def test_a_percentile_is_within_a_bucket_of_the_exact_one(
    values: list[float], percent: float
) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    exact = sorted(values)[max(math.ceil(len(values) * percent / 100), 1) - 1]
    assert histogram.percentile(percent) == pytest.approx(exact, rel=0.033)


@given(st.lists(st.floats(0, 1e6), max_size=100), st.floats(1e-3, 1e6))
def test_at_most_counts_what_lies_below_the_bound(values: list[float], bound: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    count = histogram.at_most(bound)
    assert sum(value <= bound for value in values) <= count
    assert count <= sum(value <= bound * 1.07 + 1e-6 for value in values)


def test_nothing_counted_has_no_percentile() -> None:
    assert Histogram().percentile(50) is None


def test_memory_does_not_grow_with_the_values() -> None:
    histogram = Histogram()
    for value in range(1, 100_000):
        histogram.add(value)
    assert len(histogram.counts) < 300


def test_memory_does_not_grow_with_the_names_that_errors_are_given() -> None:
    tally = Tally()
    for number in range(1000):
        error = Error(f"type {number % 500}", "")
        record = Record("a", Outcome.FAILED, None, 400, error, 1, Via.COMPLETE, 1.0, 1.0, "", "", 1)
        tally.count([record])
    assert len(tally.errors) == 201
    assert tally.errors["type 0"] == 2
    assert tally.errors[OTHER_ERRORS] == 600


def test_a_line_that_went_nowhere_is_noticed() -> None:
    tally = Tally()
    tally.input = 3
    tally.settled = tally.duplicates = 1
    assert not tally.balanced
    tally.not_attempted = 1
    assert tally.balanced
