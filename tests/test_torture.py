"""Runs that are killed at any moment: nothing lost, nothing done twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from torture import torture


@pytest.mark.parametrize(("seed", "kills"), [(1, 1), (2, 2)])
def test_a_backlog_outlives_its_runs(tmp_path: Path, seed: int, kills: int) -> None:
    verdict = torture(seed, ids=300, kills=kills, directory=tmp_path, lives_s=(0.4, 0.9))
    assert verdict.problems == []
    assert verdict.kills == kills
