"""A hundred nights of several runs on one queue and one budget, each drawn from its seed."""

from __future__ import annotations

import pytest

from tests.proofs.simulation.cluster.night import simulate
from tests.proofs.simulation.cluster.scenario import ClusterScenario, MemberPlan, draw
from tests.proofs.simulation.night import Figures
from tests.proofs.simulation.scenario import Scenario, SessionPlan

_SEEDS_IN_A_TEST = 25


@pytest.mark.parametrize("first", range(0, 100, _SEEDS_IN_A_TEST))
def test_runs_that_share_a_queue_lose_no_id_and_complete_none_twice(first: int) -> None:
    for seed in range(first, first + _SEEDS_IN_A_TEST):
        try:
            simulate(draw(seed))
        except Exception as error:
            raise AssertionError(
                f"again: python -m tests.proofs.simulation.cluster --seed {seed}"
            ) from error


def test_a_run_that_stood_still_beyond_its_leases_sends_nothing_before_it_has_renewed_them() -> (
    None
):
    """Whichever of its first calls Redis answers first."""
    sessions = tuple(SessionPlan(f"{number:024x}") for number in range(3))
    members = (MemberPlan(stands_still=(0.9, 400.0)), MemberPlan(starts_at=10.0))
    for seed in range(20):
        base = Scenario(seed=seed, sessions=sessions, rate=2.0, concurrency=8, window=8)
        simulate(ClusterScenario(base, members))


def test_a_seed_gives_the_same_night_of_several_runs_again() -> None:
    once, again = Figures(), Figures()
    for seed in range(10):
        simulate(draw(seed), once)
        simulate(draw(seed), again)
    assert once == again
    assert once.crashes
