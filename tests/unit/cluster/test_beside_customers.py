"""Several runs on one account beside customers, in virtual time."""

from __future__ import annotations

from statistics import median

import pytest

from tests.support.shared_accounts import Account, Limiter

SECONDS = 300.0


@pytest.mark.parametrize(("count", "refused"), [(1, 0.01), (2, 0.01), (4, 0.02)])
def test_customers_come_first_however_many_runs_share_the_account(
    count: int, refused: float
) -> None:
    """They take 4/s of 10/s, of a limiter that lets bursts of 10 pass. Of four runs each sees but
    a fourth of what is refused, and learns later."""
    accounts = [
        Account(count, Limiter(burst=10), SECONDS, customers_per_s=4.0, seed=seed)
        for seed in range(3)
    ]
    let_through = [(len(one.sent) - len(one.refused)) / SECONDS for one in accounts]
    assert median(one.customers_refused / one.customers for one in accounts) < refused
    assert median(let_through) >= 5.6
