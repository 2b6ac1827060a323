"""A small change that breaks a promise, and who should notice it."""

from __future__ import annotations

from typing import Final, NamedTuple

SIMULATION: Final = (
    "tests/proofs/simulation/test_simulation.py",
    "tests/proofs/simulation/test_regressions.py",
)
CLUSTER_SIMULATION: Final = ("tests/proofs/simulation/cluster/test_cluster.py",)


class Mutant(NamedTuple):
    """In `file` the text `old`, which stands there once, becomes `new`.

    First the `simulation` is asked, then the `tests`. `equivalent` is the reason why nobody can
    notice it; None where somebody must.
    """

    name: str
    breaks: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    simulation: tuple[str, ...] = SIMULATION
    equivalent: str | None = None
