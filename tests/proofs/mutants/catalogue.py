"""All mutants: what is replaced by what, and the promise that breaks by it."""

from __future__ import annotations

from typing import Final

from tests.proofs.mutants.of_api import API
from tests.proofs.mutants.of_cluster import CLUSTER
from tests.proofs.mutants.of_ledger import LEDGER
from tests.proofs.mutants.of_pacing import PACING
from tests.proofs.mutants.of_runner import RUNNER

MUTANTS: Final = (*LEDGER, *RUNNER, *API, *PACING, *CLUSTER)
