"""Makes a failing night smaller: fewer sessions, faults, runs and spells, and an earlier death."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import msgspec

from tests.proofs.simulation.scenario import RunPlan, Scenario

T = TypeVar("T")

_MOST_TRIES: Final = 500
_replace = msgspec.structs.replace


def shrink(scenario: T, fails: Callable[[T], bool], candidates: Callable[[T], Iterator[T]]) -> T:
    """The smallest scenario found that still `fails`, each part of it being needed."""
    tries = 0
    is_smaller = True
    while is_smaller and tries < _MOST_TRIES:
        is_smaller = False
        for candidate in candidates(scenario):
            tries += 1
            if fails(candidate):
                scenario, is_smaller = candidate, True
                break
            if tries == _MOST_TRIES:
                break
    return scenario


def smaller(scenario: Scenario) -> Iterator[Scenario]:
    """Scenarios with a part less, or a simpler one."""
    half = len(scenario.sessions) // 2
    if half > 1:
        yield _replace(scenario, sessions=scenario.sessions[:half])
        yield _replace(scenario, sessions=scenario.sessions[half:])
    for name in ("runs", "spells", "sessions"):
        parts = getattr(scenario, name)
        for index in range(len(parts)):
            if name != "sessions" or len(parts) > 1:
                yield _replace(scenario, **{name: parts[:index] + parts[index + 1 :]})
    yield from _with_simpler_sessions(scenario)
    for index, run in enumerate(scenario.runs):
        for simpler in _simpler_runs(run):
            runs = (*scenario.runs[:index], simpler, *scenario.runs[index + 1 :])
            yield _replace(scenario, runs=runs)


def _with_simpler_sessions(scenario: Scenario) -> Iterator[Scenario]:
    for index, session in enumerate(scenario.sessions):
        for place in range(len(session.treatments)):
            rest = session.treatments[:place] + session.treatments[place + 1 :]
            simpler = _replace(session, treatments=rest)
            sessions = (*scenario.sessions[:index], simpler, *scenario.sessions[index + 1 :])
            yield _replace(scenario, sessions=sessions)


def _simpler_runs(run: RunPlan) -> Iterator[RunPlan]:
    if run.power_cut:
        yield _replace(run, power_cut=False)
    for name in ("dies_at_step", "dies_at_operation", "fails_at_operation"):
        number = getattr(run, name)
        if number is not None and number > 1:
            yield _replace(run, **{name: number // 2})
            yield _replace(run, **{name: number - 1})
