"""The burst probe of an account, in virtual time: one run's is everybody's."""

from __future__ import annotations

import pytest

from tests.support.shared_accounts import GAP_S, RATE, Account, Limiter


@pytest.mark.parametrize("count", [1, 4])
def test_where_bursts_are_let_through_all_runs_leave_early_now_and_then(count: int) -> None:
    account = Account(count, Limiter(burst=10), 20.0)
    gaps = account.gaps(since=5.0)
    early = sum(gap < 0.5 * GAP_S for gap in gaps)
    assert 0.15 * len(gaps) <= early <= 0.25 * len(gaps)
    assert account.refused == []
    assert len(gaps) / 15.0 >= 0.96 * RATE


@pytest.mark.parametrize("count", [1, 4])
def test_where_bursts_are_refused_one_run_has_found_out_for_all(count: int) -> None:
    account = Account(count, Limiter(burst=0), 30.0)
    assert len(account.refused) == 3
    assert min(account.gaps(since=account.refused[-1] + 1.0)) >= 0.9 * GAP_S
    assert min(account.rates) == RATE


def test_a_probe_is_one_runs_and_brings_no_more_within_a_second_than_even_gaps() -> None:
    account = Account(4, Limiter(burst=0), 20.0)
    first, last = account.refused[0], account.refused[-1]
    probing = {by for at, by in zip(account.sent, account.by, strict=True) if first <= at <= last}
    assert len(probing) == 1
    times = sorted(account.sent)
    assert max(sum(at <= one < at + 0.999 for one in times) for at in times) <= RATE
