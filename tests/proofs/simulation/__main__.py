"""`python -m tests.proofs.simulation`: nights for as long as one likes, or one of them again."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import msgspec

from tests.proofs.simulation.night import Figures, simulate
from tests.proofs.simulation.scenario import Scenario, draw
from tests.proofs.simulation.shrink import shrink, smaller

_ENOUGH: Final = 10
"""Violations after which there is enough to do."""


class Simulation(NamedTuple):
    """What is simulated: the module to call, what a night is, how it is drawn, carried out, and
    made smaller."""

    module: str
    scenario: type
    draw: Callable[[int], Any]
    simulate: Callable[..., None]
    smaller: Callable[[Any], Iterator[Any]]

    def failure(self, scenario: Any, figures: Figures | None = None) -> Exception | None:
        try:
            self.simulate(scenario, figures)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
            return error
        return None


def main(simulation: Simulation) -> int:
    arguments = _parse(simulation.module)
    if arguments.replay is not None:
        simulation.simulate(msgspec.json.decode(arguments.replay, type=simulation.scenario))
        return 0
    if arguments.seed is not None:
        return _try(simulation, arguments.seed, Figures())
    return _go_on_for(simulation, arguments.seconds, arguments.first_seed)


def _parse(module: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to go on")
    parser.add_argument("--first-seed", type=int, default=0, help="where to begin")
    parser.add_argument("--seed", type=int, help="carry out this one only")
    parser.add_argument("--replay", metavar="JSON", help="carry out the scenario as it stands")
    return parser.parse_args()


def _go_on_for(simulation: Simulation, seconds: float, seed: int) -> int:
    figures, began, failed = Figures(), time.monotonic(), 0
    while time.monotonic() - began < seconds and failed < _ENOUGH:
        failed += _try(simulation, seed, figures)
        seed += 1
    per_s = figures.runs / time.process_time()
    _say(
        f"{figures.nights} nights of {figures.runs} runs ({per_s:.0f} a second of the processor),"
        f" {figures.virtual_s / 3600:.1f} virtual hours, {figures.requests} requests,"
        f" {figures.faults} of them in trouble, {figures.crashes} crashes,"
        f" {figures.power_cuts} of them power cuts: {failed} violations"
    )
    return min(failed, 1)


def _try(simulation: Simulation, seed: int, figures: Figures) -> int:
    scenario = simulation.draw(seed)
    error = simulation.failure(scenario, figures)
    if error is None:
        return 0
    kind = type(error)
    smallest = shrink(
        scenario, lambda one: isinstance(simulation.failure(one), kind), simulation.smaller
    )
    told = msgspec.json.encode(smallest).decode()
    _say(f"seed {seed}: {kind.__name__}: {simulation.failure(smallest)}")
    _say(f"  again: python -m {simulation.module} --seed {seed}")
    _say(f"  made smaller: python -m {simulation.module} --replay '{told}'")
    return 1


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(Simulation("tests.proofs.simulation", Scenario, draw, simulate, smaller)))
