"""That every mutant can still be applied; `make mutants` says who notices it."""

from __future__ import annotations

from pathlib import Path

from tests.proofs.mutants.catalogue import MUTANTS

_ROOT = Path(__file__).parents[3]


def test_the_text_that_a_mutant_replaces_stands_once_in_its_file() -> None:
    text_of = {one.file: (_ROOT / one.file).read_text() for one in MUTANTS}
    lost = [one.name for one in MUTANTS if text_of[one.file].count(one.old) != 1]
    assert not lost


def test_the_tests_that_a_mutant_names_are_there() -> None:
    named = {test.partition("::")[0] for one in MUTANTS for test in (*one.simulation, *one.tests)}
    assert not [test for test in named if not (_ROOT / test).exists()]


def test_no_two_mutants_have_one_name() -> None:
    assert len({one.name for one in MUTANTS}) == len(MUTANTS)
