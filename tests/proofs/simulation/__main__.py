"""`python -m tests.proofs.simulation`: nights for as long as one likes, or one of them again."""

from __future__ import annotations

import argparse
import sys
import time

import msgspec

from tests.proofs.simulation.night import Figures, simulate
from tests.proofs.simulation.scenario import Scenario, draw
from tests.proofs.simulation.shrink import shrink

_COMMAND = "python -m tests.proofs.simulation"


def main() -> int:
    arguments = _parse()
    if arguments.replay is not None:
        simulate(msgspec.json.decode(arguments.replay, type=Scenario))
        return 0
    if arguments.seed is not None:
        return _try(arguments.seed, Figures())
    return _go_on_for(arguments.seconds, arguments.first_seed)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=_COMMAND, description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to go on")
    parser.add_argument("--first-seed", type=int, default=0, help="where to begin")
    parser.add_argument("--seed", type=int, help="carry out this one only")
    parser.add_argument("--replay", metavar="JSON", help="carry out the scenario as it stands")
    return parser.parse_args()


def _go_on_for(seconds: float, seed: int) -> int:
    figures, began, failed = Figures(), time.monotonic(), 0
    while time.monotonic() - began < seconds:
        failed += _try(seed, figures)
        seed += 1
    took = time.monotonic() - began
    _say(
        f"{figures.nights} nights of {figures.runs} runs ({figures.runs / took:.0f} a second),"
        f" {figures.virtual_s / 3600:.1f} virtual hours, {figures.requests} requests,"
        f" {figures.faults} of them in trouble, {figures.crashes} crashes,"
        f" {figures.power_cuts} of them power cuts: {failed} violations"
    )
    return min(failed, 1)


def _try(seed: int, figures: Figures) -> int:
    scenario = draw(seed)
    error = _failure(scenario, figures)
    if error is None:
        return 0
    kind = type(error)
    smallest = shrink(scenario, lambda smaller: isinstance(_failure(smaller), kind))
    told = msgspec.json.encode(smallest).decode()
    _say(f"seed {seed}: {kind.__name__}: {_failure(smallest)}")
    _say(f"  again: {_COMMAND} --seed {seed}")
    _say(f"  made smaller: {_COMMAND} --replay '{told}'")
    return 1


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _failure(scenario: Scenario, figures: Figures | None = None) -> Exception | None:
    try:
        simulate(scenario, figures)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
        return error
    return None


if __name__ == "__main__":
    sys.exit(main())
