"""How the rate gives way to a limiter and to customers, and how it comes back."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from statistics import mean

import pytest

from tests.support.limiter_models import Account, LeakyBucket, Log
from worker.pacing.adaptive import AdaptiveRate


def test_the_rate_is_what_was_asked_for_until_something_is_refused() -> None:
    assert AdaptiveRate(10.0).rate(1e9) == 10.0


def test_a_429_takes_three_tenths_off_the_rate() -> None:
    rate = AdaptiveRate(10.0)
    assert rate.throttled(100.0, sent_at=99.9)
    assert rate.rate(100.0) == pytest.approx(7.0)


def test_a_volley_of_429s_cuts_the_rate_once_and_the_next_round_trip_again() -> None:
    rate = AdaptiveRate(10.0)
    cuts = [rate.throttled(100.0 + lag, sent_at=99.9 + lag) for lag in (0.0, 0.01, 0.05, 0.099)]
    assert cuts == [True, False, False, False]
    assert rate.throttled(100.2, sent_at=100.1)
    assert rate.rate(100.2) < 0.7 * 10.0


def test_the_rate_climbs_back_in_small_steps_and_never_beyond_what_was_asked_for() -> None:
    rate = AdaptiveRate(10.0)
    for at in (10.0, 11.0, 12.0, 13.0):
        rate.throttled(at, sent_at=at)
    rates = [rate.rate(13.0 + tenths / 10) for tenths in range(1000)]
    assert rates == sorted(rates)
    assert rates[-1] == 10.0
    assert max(later / earlier for earlier, later in pairwise(rates)) < 1.05


@pytest.mark.parametrize("asked", [0.01, 0.5, 10.0, 5000.0])
def test_however_much_is_refused_a_trickle_is_left(asked: float) -> None:
    rate = AdaptiveRate(asked)
    for at in range(1000):
        rate.throttled(float(at), sent_at=float(at))
    assert min(asked, max(asked / 50, 0.05)) <= rate.rate(999.0) <= max(asked / 20, 0.08)


def test_time_in_which_nothing_was_sent_does_not_bring_the_rate_back() -> None:
    rate = AdaptiveRate(10.0)
    rate.throttled(10.0, sent_at=10.0)
    rate.pause(10.5)
    before = rate.rate(10.5)
    assert rate.rate(300.0) == before
    rate.resume(310.5)
    assert rate.rate(310.5) == pytest.approx(before)
    assert rate.rate(311.5) > before


# --- beside customers, who take 4/s of a limit of 10/s that lets bursts of 10 pass ---------------


def beside_customers(seed: int, *, is_poisson: bool = False) -> Log:
    account = Account(
        LeakyBucket(10.0, 10.0),
        customers_at=lambda _: 4.0,
        is_poisson=is_poisson,
        first_probe=10,
        seed=seed,
    )
    return account.run(until=600.0)


def test_beside_customers_it_takes_what_they_leave_and_hardly_costs_them_anything() -> None:
    logs = [beside_customers(seed) for seed in range(8)]
    assert min(log.accepted_per_s(0.0, 600.0) for log in logs) >= 5.7
    assert max(log.refused_share for log in logs) < 0.03
    assert mean(log.customers_refused_share for log in logs) < 0.01


def test_customers_who_come_while_it_goes_at_the_full_limit_are_not_shut_out() -> None:
    # Their requests may well come just behind its own, for as long as both are evenly spaced.
    for seed in range(32):
        account = Account(
            LeakyBucket(10.0, 10.0),
            customers_at=lambda now: 4.0 if now > 20.0 else 0.0,
            latency_s=(0.001, 0.002),
            first_probe=10,
            seed=seed,
        )
        log = account.run(until=40.0)
        assert len(log.customers_refused) <= 6, seed


def test_beside_customers_who_come_at_random_it_still_takes_nine_tenths_of_what_they_leave() -> (
    None
):
    # Even a constant 5.7/s, known beforehand, has 1.5 % of them refused: they come in clumps.
    logs = [beside_customers(seed, is_poisson=True) for seed in range(8)]
    assert mean(log.accepted_per_s(0.0, 600.0) for log in logs) >= 5.4
    assert max(log.refused_share for log in logs) < 0.03
    assert mean(log.customers_refused_share for log in logs) < 0.03


def customers_until(gone_at: float) -> Callable[[float], float]:
    return lambda now: 4.0 if now < gone_at else 0.0


@pytest.mark.parametrize("first_probe", [None, 10])
@pytest.mark.parametrize("is_poisson", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_half_a_minute_after_the_customers_have_gone_it_is_back(
    seed: int, is_poisson: bool, first_probe: int | None
) -> None:
    gone_at = 200.0 + 3.1 * seed
    account = Account(
        LeakyBucket(10.0, 10.0),
        customers_at=customers_until(gone_at),
        is_poisson=is_poisson,
        first_probe=first_probe,
        seed=seed,
    )
    log = account.run(until=gone_at + 60.0)
    assert log.accepted_per_s(gone_at + 30.0, gone_at + 60.0) >= 0.95 * 10.0


# --- alone ---------------------------------------------------------------------------------------


def test_one_stray_429_at_full_speed_costs_next_to_nothing() -> None:
    for seed in range(4):
        log = Account(LeakyBucket(10.0, 5.0), strays={150}, seed=seed).run(1e9, requests=300)
        calm = Account(LeakyBucket(10.0, 5.0), seed=seed).run(1e9, requests=300)
        assert len(log.refused) == 1
        assert log.sent[-1] - calm.sent[-1] < 0.2


@pytest.mark.parametrize("burst", [0.0, 3.0, 10.0])
def test_a_limit_that_is_suddenly_halved_is_found_and_nearly_used(burst: float) -> None:
    account = Account(LeakyBucket(10.0, 10.0), latency_s=(0.05, 0.051))
    account.at(300.0, lambda: setattr(account.limiter, "rate", 5.0))
    account.at(300.0, lambda: setattr(account.limiter, "burst", burst))
    log = account.run(until=900.0)
    assert log.accepted_per_s(310.0, 900.0) >= 5.0 * (0.8 if burst == 0.0 else 0.95)
    assert sum(at > 300.0 for at in log.refused) / sum(at > 300.0 for at in log.sent) < 0.02


@pytest.mark.parametrize("burst", [3.0, 10.0])
def test_a_limit_that_lets_bursts_pass_is_used_to_the_full(burst: float) -> None:
    log = Account(LeakyBucket(10.0, burst), first_probe=10).run(1e9, requests=1000)
    assert not log.refused
    assert 999 / (log.sent[-1] - log.sent[0]) >= 0.99 * 10.0


def test_a_limit_without_bursts_refuses_a_probe_and_is_used_all_the_same() -> None:
    account = Account(LeakyBucket(10.0, 0.0), latency_s=(0.05, 0.0502), first_probe=10)
    log = account.run(1e9, requests=900)
    assert len(log.refused) == 3
    assert len(log.sent) / log.sent[-1] >= 0.985 * 10.0


def test_at_hundreds_a_second_a_halved_limit_is_found_too() -> None:
    account = Account(LeakyBucket(250.0, 50.0), asked=500.0, slots=200)
    log = account.run(until=60.0)
    assert log.accepted_per_s(10.0, 60.0) >= 0.75 * 250.0
    assert log.refused_share < 0.02
