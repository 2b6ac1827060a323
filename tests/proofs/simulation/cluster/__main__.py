"""`python -m tests.proofs.simulation.cluster`: nights of several runs, or one of them again."""

from __future__ import annotations

import sys

from tests.proofs.simulation.__main__ import Simulation, main
from tests.proofs.simulation.cluster.night import simulate
from tests.proofs.simulation.cluster.scenario import ClusterScenario, draw, smaller

if __name__ == "__main__":
    sys.exit(main(Simulation(__package__, ClusterScenario, draw, simulate, smaller)))
