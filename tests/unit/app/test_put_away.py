"""Results logs where a list of ids was meant, and logs that somebody has put away."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.ledgers import A, record
from worker.app.paths import results_path
from worker.core.errors import UsageError
from worker.ledger.lines import encode_line
from worker.settings import Settings


def test_a_results_log_given_as_the_source_is_refused_and_the_way_is_named(tmp_path: Path) -> None:
    log = tmp_path / "old.results.jsonl"
    log.write_bytes(encode_line(record(A)))
    with pytest.raises(UsageError, match="is a results log") as caught:
        results_path(str(log), Settings())
    assert f"complete-sessions ids {log}" in caught.value.advice
    assert "run -" in caught.value.advice


@pytest.mark.parametrize("ending", [".gz", ".1", ".2.gz", "-20261126", "-20261126.xz", ".bak"])
def test_a_log_that_was_put_away_is_not_overlooked(tmp_path: Path, ending: str) -> None:
    source, log = tmp_path / "backlog.txt", tmp_path / "backlog.results.jsonl"
    log.with_name(log.name + ending).touch()
    with pytest.raises(UsageError, match="stands beside it"):
        results_path(str(source), Settings())
    log.touch()
    assert results_path(str(source), Settings()) == log


@pytest.mark.parametrize("name", ["x.txt", "backlog.results.jsonl.torn", "other.results.jsonl.gz"])
def test_other_files_beside_it_do_not_matter(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    results_path(str(tmp_path / "backlog.txt"), Settings())
