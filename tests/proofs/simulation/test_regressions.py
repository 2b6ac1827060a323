"""Nights that break a promise where the program does not wait, found by the simulation."""

from __future__ import annotations

import pytest

from tests.proofs.simulation.night import simulate
from tests.proofs.simulation.scenario import Rotation, RunPlan, Scenario, SessionPlan, Spell

_LATE = (SessionPlan("000000000000000000000001", treatments=("late_502",)),)


@pytest.mark.parametrize("step", range(16, 24))
def test_a_backend_that_acts_after_its_gateway_gave_up_and_the_run_died(step: int) -> None:
    died = RunPlan(dies_at_step=step)
    simulate(Scenario(seed=1, sessions=_LATE, runs=(died,), rate=2.0, concurrency=1, window=1))


def test_a_backend_that_acts_after_its_gateway_gave_up_and_the_run_was_over() -> None:
    simulate(
        Scenario(
            seed=20426,
            sessions=_LATE,
            runs=(RunPlan(max_duration_s=11.331126790101168),),
            concurrency=8,
            window=24,
            is_pipe=True,
        )
    )


def test_a_request_that_a_second_signal_cut_off_is_read_by_the_next_run() -> None:
    simulate(
        Scenario(
            seed=1,
            sessions=(SessionPlan("000000000000000000000001", treatments=("acts_hang",)),),
            runs=(RunPlan(signals_s=(2.0, 4.0)),),
        )
    )


def test_a_window_full_of_ids_that_are_to_wait_for_hours_ends_the_run() -> None:
    throttled = SessionPlan("000000000000000000000001", treatments=("429_far",))
    plans = (throttled, SessionPlan("000000000000000000000002"))
    simulate(Scenario(seed=1, sessions=plans, runs=(RunPlan(),), concurrency=1, window=1))


def test_a_wait_of_the_programs_own_is_not_told_as_the_apis_nor_longer_than_patience() -> None:
    simulate(
        Scenario(
            seed=106320,
            sessions=(SessionPlan("000000000000000000000001"),),
            runs=(RunPlan(limit=4, source_fails_after=3),),
            spells=(Spell(2.4117463171406985, 62.4117463171407, "429"),),
            rate=0.5,
            concurrency=8,
            window=8,
            is_pipe=True,
            pipe_gap_s=16.0,
            patience_s=60.0,
            rotation=Rotation(17.325194479710547, 25.900557118109795),
        )
    )


def test_a_proxys_answers_after_a_page_of_the_list_are_an_outage_and_no_wrong_address() -> None:
    simulate(
        Scenario(
            seed=2000522,
            sessions=(
                SessionPlan("680000000000000000000002", treatments=("proxy_page",)),
                SessionPlan("680000000000000000000003", "cancelled"),
                SessionPlan("680000000000000000000004", "cancelled"),
            ),
            runs=(RunPlan(limit=3),),
            spells=(Spell(0.964590351096094, 2000.9645903510961, "proxy_page"),),
            rate=2.0,
            concurrency=2,
            window=2,
            grows=1,
            check_first=True,
            conflicts=True,
            first_probe=15,
            listing="fails",
        )
    )


@pytest.mark.parametrize("step", range(366, 371))
def test_the_last_request_of_a_run_that_died_left_long_after_its_last_line(step: int) -> None:
    simulate(
        Scenario(
            seed=1,
            sessions=tuple(SessionPlan(f"{number:024x}") for number in range(24)),
            runs=(RunPlan(dies_at_step=step),),
            spells=(Spell(3.0, 2003.0, "late_502"),),
            rate=2.0,
            concurrency=8,
            patience_s=60.0,
            max_attempts=1,
            on_ambiguous="fail",
        )
    )


def test_an_id_pays_for_no_429_while_nothing_but_429_comes() -> None:
    simulate(
        Scenario(
            seed=1000195029,
            sessions=(
                SessionPlan("680000000000000000000000"),
                SessionPlan("680000000000000000000001", "cancelled"),
            ),
            runs=(RunPlan(dies_at_step=23), RunPlan(dies_at_step=102)),
            spells=(Spell(0.8350622155801402, 2000.8350622155801, "429_wait"),),
            rate=0.5,
            concurrency=2,
            window=6,
            is_pipe=True,
            pipe_gap_s=0.1,
            patience_s=60.0,
            rotation=Rotation(12.443056216556688, 16.954627221167286),
            listing="fails",
        )
    )
