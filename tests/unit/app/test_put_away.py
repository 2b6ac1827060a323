"""Results logs where a list of ids was meant, and logs that somebody has put away."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.support.ledgers import A, record
from tests.support.program import run, shell
from worker.app.paths import RunFiles
from worker.core.errors import UsageError
from worker.ledger.lines import encode_line
from worker.settings import Settings


def test_a_results_log_given_as_the_source_is_refused_and_the_way_is_named(tmp_path: Path) -> None:
    log = tmp_path / "old.results.jsonl"
    log.write_bytes(encode_line(record(A)))
    with pytest.raises(UsageError, match="is a results log") as caught:
        RunFiles(Settings(), str(log)).results()
    assert f"complete-sessions ids {log}" in caught.value.advice
    assert "run -" in caught.value.advice


async def test_it_is_one_too_if_it_is_compressed_or_the_standard_input(tmp_path: Path) -> None:
    line = encode_line(record(A))
    log = tmp_path / "old.jsonl"
    log.write_bytes(b"spoilt\n" + line)
    packed = tmp_path / "old.results.jsonl.gz"
    packed.write_bytes(gzip.compress(line))
    with pytest.raises(UsageError, match="is a results log"):
        RunFiles(Settings(), str(packed)).results()
    done = await run("run", "-", "--results", tmp_path / "new.jsonl", program=shell(f"<{log}"))
    assert (done.code, "is a results log" in done.err) == (2, True)


@pytest.mark.parametrize(
    "ending",
    [
        *(".gz", ".1", ".2.gz", "-20261126", "-20261126.xz", ".bak", "~", ".orig", ".zip"),
        *(".2026-11-26", ".20261126-0100.gz", "-20261126-1795655000", "-2026-11-26T01.zst"),
    ],
)
def test_a_log_that_was_put_away_is_not_overlooked(tmp_path: Path, ending: str) -> None:
    source, log = tmp_path / "backlog.txt", tmp_path / "backlog.results.jsonl"
    log.with_name(log.name + ending).touch()
    with pytest.raises(UsageError, match="stands beside it"):
        RunFiles(Settings(), str(source)).results()
    log.touch()
    assert RunFiles(Settings(), str(source)).results() == log


@pytest.mark.parametrize("number", ["-20261126", ".1", "-2026-11-26"])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_nor_is_one_with_a_number_before_its_suffix(
    tmp_path: Path, number: str, ending: str
) -> None:
    put_away = tmp_path / f"backlog.results{number}.jsonl{ending}"
    put_away.touch()
    with pytest.raises(UsageError, match="stands beside it") as caught:
        RunFiles(Settings(), str(tmp_path / "backlog.txt")).results()
    assert str(put_away) in caught.value.message


def test_one_log_for_each_night_is_nobodys_rotation(tmp_path: Path) -> None:
    (tmp_path / "night-20261125.jsonl").touch()
    settings = Settings(results=tmp_path / "night-20261126.jsonl")
    RunFiles(settings, str(tmp_path / "backlog.txt")).results()


@pytest.mark.parametrize("name", ["x.txt", "backlog.results.jsonl.torn", "other.results.jsonl.gz"])
def test_other_files_beside_it_do_not_matter(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    RunFiles(Settings(), str(tmp_path / "backlog.txt")).results()
