"""Three hundred nights, each drawn from its seed; `make simulate` goes on for longer."""

from __future__ import annotations

from unittest.mock import patch

import msgspec
import pytest

from tests.proofs.simulation.night import Figures, simulate
from tests.proofs.simulation.scenario import LISTINGS, draw, listed

_SEEDS_IN_A_TEST = 50


@pytest.mark.parametrize("first", range(0, 300, _SEEDS_IN_A_TEST))
def test_no_night_loses_an_id_or_completes_one_twice(first: int) -> None:
    for seed in range(first, first + _SEEDS_IN_A_TEST):
        try:
            simulate(draw(seed))
        except Exception as error:
            raise AssertionError(
                f"again: python -m tests.proofs.simulation --seed {seed}"
            ) from error


@pytest.mark.parametrize("listing", LISTINGS)
def test_no_list_of_statuses_makes_a_night_lose_or_repeat_anything(listing: str) -> None:
    for seed in range(1000, 1025):
        night = msgspec.structs.replace(listed(draw(seed), listing), check_first=True)
        try:
            simulate(night)
        except Exception as error:
            raise AssertionError(f"seed {seed} with a list that is {listing}") from error


def test_a_seed_gives_the_same_night_again_in_another_process() -> None:
    once, again = Figures(), Figures()
    for seed in range(20):
        for figures, pid, host in ((once, 7, "a"), (again, 70_000, "abc")):
            with (
                patch("os.getpid", return_value=pid),
                patch("socket.gethostname", return_value=host),
            ):
                simulate(draw(seed), figures)
    assert once == again
    assert once.crashes
    assert once.faults
