"""The pace of several runs on one budget, in virtual time, with the real scripts."""

from __future__ import annotations

import pytest

from tests.support.shared_budgets import Account, Member, Way, alike

CASES = [
    (count, rate, round_trip_ms)
    for round_trip_ms in (0.2, 5.0, 50.0)
    for rate in (5.0, 10.0, 50.0, 200.0)
    for count in (1, 2, 8)
] + [(1, 1000.0, 50.0), (4, 1000.0, 5.0)]


@pytest.mark.parametrize(("count", "rate", "round_trip_ms"), CASES)
def test_the_budget_is_used_up_and_never_exceeded_however_far_redis_is(
    count: int, rate: float, round_trip_ms: float
) -> None:
    seconds = 24.0 if rate < 20 else 8.0
    account = Account(alike(count, rate), Way(round_trip_ms / 1000), seconds)
    assert account.most_per_s <= rate
    assert account.per_s() >= 0.97 * rate
    assert account.fairness >= 0.98


def test_a_high_rate_costs_few_calls() -> None:
    account = Account(alike(1, 1000.0), Way(), 3.0)
    assert account.members[0].calls < len(account.sent) / 10


@pytest.mark.parametrize("round_trip_ms", [0.2, 50.0])
@pytest.mark.parametrize("rate", [10.0, 200.0])
def test_there_is_no_burst_after_a_stall_of_redis(rate: float, round_trip_ms: float) -> None:
    way = Way(round_trip_ms / 1000, stalls=(5.0, 8.0))
    account = Account(alike(4, rate), way, 14.0)
    assert account.most_per_s <= rate
    assert account.per_s(since=9.0) >= 0.96 * rate


def test_the_time_in_which_redis_was_away_is_not_taken_for_its_distance() -> None:
    account = Account(alike(2, 10.0), Way(0.005, stalls=(5.0, 305.0)), 312.0)
    assert account.most_per_s <= 10
    assert account.per_s(since=306.5) >= 0.97 * 10


def test_the_lowest_rate_holds_for_all_while_its_run_lasts_and_each_says_so() -> None:
    high, low = Member(50.0), Member(10.0, starts_at=5.0, ends_at=15.0)
    account = Account([high, low], Way(), 30.0)
    assert account.per_s(1.0, 5.0) >= 0.97 * 50
    assert account.per_s(6.0, 15.0) <= 10.0
    assert account.per_s(22.0) >= 0.97 * 50
    assert high.warnings == [
        "another run on the account has --rate 10: the lowest holds for all, here instead of 50"
    ]
    assert low.warnings == []


def test_runs_that_come_and_go_leave_no_gap_and_no_burst() -> None:
    members = [Member(50.0, starts_at=2.0 * number, ends_at=10.0 + number) for number in range(4)]
    account = Account([*members, Member(50.0)], Way(0.005), 24.0)
    assert account.most_per_s <= 50
    assert account.per_s(since=18.0) >= 0.97 * 50
