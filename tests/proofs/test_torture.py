"""Runs that are killed at any moment: nothing lost, nothing done twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.proofs.torture import Verdict, torture


def test_a_backlog_outlives_its_runs(tmp_path: Path) -> None:
    def suffer(seed: int) -> Verdict:
        directory = tmp_path / str(seed)
        directory.mkdir()
        return torture(seed, ids=300, kills=seed, directory=directory, lives_s=(0.4, 0.9))

    # Side by side, as most of it is waiting.
    with ThreadPoolExecutor() as threads:
        verdicts = list(threads.map(suffer, (1, 2)))
    assert [verdict.problems for verdict in verdicts] == [[], []]
    assert [verdict.kills for verdict in verdicts] == [1, 2]
