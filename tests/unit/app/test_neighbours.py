"""Logs of a source that was shared out in other parts, or in none."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from tests.support.ledgers import A, record
from worker.app.paths import RunFiles
from worker.core.errors import UsageError
from worker.ledger.journal import journal_path
from worker.ledger.lines import encode_line
from worker.settings import Settings
from worker.sources import Shard

WHOLE = None
PARTS = [WHOLE, Shard(1, 2), Shard(2, 2), Shard(1, 3)]


def log_of(directory: Path, shard: Shard | None) -> Path:
    return RunFiles(Settings(), str(directory / "backlog.txt"), shard).results()


def is_shared_out_alike(one: Shard | None, other: Shard | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.parts == other.parts


@pytest.mark.parametrize(("first", "then"), [*product(PARTS, PARTS)])
def test_a_source_is_shared_out_in_one_way_only(
    tmp_path: Path, first: Shard | None, then: Shard | None
) -> None:
    log_of(tmp_path, first).write_bytes(encode_line(record(A)))
    if is_shared_out_alike(first, then):
        log_of(tmp_path, then)
        return
    with pytest.raises(UsageError, match="would be sent again") as caught:
        log_of(tmp_path, then)
    before = "without --shard" if first is None else f"with --shard K/{first.parts}"
    assert f"Go on {before}" in caught.value.advice


def test_a_log_that_was_put_away_counts_too(tmp_path: Path) -> None:
    (tmp_path / "backlog.1-of-2.results.jsonl.1.gz").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"backlog\.1-of-2\.results\.jsonl\.1\.gz"):
        log_of(tmp_path, Shard(1, 3))


def test_a_run_that_came_to_nothing_is_in_nobodys_way(tmp_path: Path) -> None:
    empty = log_of(tmp_path, Shard(1, 2))
    empty.touch()
    log_of(tmp_path, Shard(1, 3))
    journal_path(empty).touch()
    with pytest.raises(UsageError, match="would be sent again"):
        log_of(tmp_path, Shard(1, 3))


@pytest.mark.parametrize(
    "name",
    ["other.1-of-2.results.jsonl", "backlog.1-of-2.results.jsonl.torn", "backlog.1-of-2.txt"],
)
def test_other_files_do_not_matter(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    log_of(tmp_path, Shard(1, 3))


def test_a_log_with_a_name_of_its_own_is_its_owners_affair(tmp_path: Path) -> None:
    log_of(tmp_path, WHOLE).write_bytes(encode_line(record(A)))
    own = Settings(results=tmp_path / "rehearsal.jsonl")
    RunFiles(own, str(tmp_path / "backlog.txt"), Shard(1, 3)).results()
