"""The burst probe of an account, in virtual time: one run's is everybody's."""

from __future__ import annotations

from typing import cast

import pytest

from tests.support.shared_accounts import GAP_S, RATE, Account, Limiter
from worker.cluster.shared_pacer import AccountBursts, AccountPermits


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


class Run:
    """A run whose permits are of given kinds; what becomes of its requests is told by hand."""

    def __init__(self) -> None:
        self.last_kind = "even"
        self.has_told = False
        self.bursts = AccountBursts(cast("AccountPermits", self), self._tell)
        self._sent = 0

    def _tell(self) -> None:
        self.has_told = True

    def probe(self, *, early: float = 0.2) -> list[int]:
        """The numbers of a probe's early requests, the first of which left so soon."""
        self.send("even", 3.4)
        return [self.send("probe", early), self.send("probe"), self.send("probe")]

    def send(self, kind: str, gaps: float = 0.2) -> int:
        self._sent += 1
        self.last_kind = kind
        self.bursts.departed(self._sent, gaps, RATE)
        return self._sent


def test_a_probe_that_is_let_through_is_told_to_all_once() -> None:
    run = Run()
    for number in run.probe():
        assert not run.has_told
        run.bursts.answered(number)
    assert run.has_told


@pytest.mark.parametrize("end", ["refused last", "refused first", "held up", "timed out"])
def test_what_passed_of_one_probe_does_not_count_for_the_next(end: str) -> None:
    run = Run()
    first, second, third = run.probe()
    if end == "refused first":
        assert run.bursts.refused(first)
        first = third
    run.bursts.answered(first)
    run.bursts.answered(second)
    if end in ("refused last", "held up"):
        run.bursts.refused(third)
    later = run.probe()
    run.bursts.answered(later[0])
    run.bursts.answered(later[1])
    run.bursts.answered(third)
    assert not run.has_told
    run.bursts.answered(later[2])
    assert run.has_told


def test_a_probes_request_that_was_held_up_proves_nothing() -> None:
    run = Run()
    for number in run.probe(early=0.9):
        run.bursts.answered(number)
    assert not run.has_told


def test_all_that_are_refused_in_a_probe_were_so_for_being_early() -> None:
    run = Run()
    assert [run.bursts.refused(number) for number in run.probe()] == [True] * 3
    assert not run.bursts.refused(run.send("early"))


def test_a_request_of_a_round_was_early_and_an_even_one_was_not() -> None:
    run = Run()
    assert run.bursts.was_early(run.send("early"))
    assert not run.bursts.was_early(run.send("even", 1.0))
