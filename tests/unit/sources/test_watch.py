"""A file that changes while it is read: no line of it is made up, and no change stays unseen."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.core.errors import SourceError
from worker.sources import Source, open_source

LINES = [f"id-{number:07}" for number in range(50_000)]


def text(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "backlog.txt"
    path.write_bytes(text(LINES))
    return path


def read_with(path: Path, change: Callable[[], object], *, after: int = 1) -> tuple[list[str], str]:
    """All ids, where `change` happens after some were taken, and how the reading ended."""
    source = open_source(str(path))
    try:
        return _read_with(source, change, after)
    finally:
        source.close()


def _read_with(source: Source, change: Callable[[], object], after: int) -> tuple[list[str], str]:
    ids: list[str] = []
    while len(ids) < after:
        ids += [item.id for item in source.take(after)]
    change()
    try:
        while items := source.take(1000):
            assert all(item.problem is None for item in items)
            ids += [item.id for item in items]
    except SourceError as error:
        assert not source.exhausted
        return ids, str(error)
    assert source.exhausted
    return ids, ""


def test_a_file_that_stays_is_read_to_its_end(path: Path) -> None:
    assert read_with(path, lambda: None) == (LINES, "")


def test_a_file_that_was_touched_only_is_what_it_was(path: Path) -> None:
    assert read_with(path, lambda: os.utime(path)) == (LINES, "")


def test_a_file_that_was_cut_amid_a_line_gives_no_torn_id(path: Path) -> None:
    ids, error = read_with(path, lambda: os.truncate(path, 200_005))
    assert "it was cut to 200005 bytes while it was read" in error
    assert 1000 < len(ids) < 20_000
    assert ids == LINES[: len(ids)]


def test_a_file_that_was_emptied_is_reported(path: Path) -> None:
    ids, error = read_with(path, lambda: path.write_bytes(b""))
    assert "it was cut to 0 bytes" in error
    assert ids == LINES[: len(ids)]


@pytest.mark.parametrize("more", [0, 7, 100_000])
def test_a_file_that_was_rewritten_in_place_gives_no_line_at_the_seam(
    path: Path, more: int
) -> None:
    other = [f"other-{number:07}" for number in range(len(LINES) + more)]
    ids, error = read_with(path, lambda: path.write_bytes(text(other)))
    assert "it was rewritten while it was read" in error
    assert ids == LINES[: len(ids)]


def test_a_change_in_what_was_read_already_is_seen_at_the_end(path: Path) -> None:
    def change() -> None:
        with path.open("r+b") as file:
            file.write(b"XX")

    ids, error = read_with(path, change, after=20_000)
    assert ids == LINES
    assert "it was rewritten while it was read" in error


def test_a_file_whose_name_was_given_to_another_is_read_and_reported(path: Path) -> None:
    def change() -> None:
        other = path.with_name("other")
        other.write_bytes(b"x\n")
        other.replace(path)

    ids, error = read_with(path, change)
    assert ids == LINES
    assert "another file has taken its place while it was read" in error


def test_a_file_that_was_removed_is_read_to_its_end(path: Path) -> None:
    assert read_with(path, path.unlink) == (LINES, "")


def grow(path: Path, data: bytes) -> Callable[[], None]:
    def change() -> None:
        with path.open("ab") as file:
            file.write(data)

    return change


def test_a_file_that_only_grew_is_read_to_its_new_end(path: Path) -> None:
    more = [f"more-{number:07}" for number in range(30_000)]
    assert read_with(path, grow(path, text(more))) == ([*LINES, *more], "")


def test_a_line_that_is_still_being_written_is_not_taken(path: Path) -> None:
    ids, error = read_with(path, grow(path, b"whole\nhal"))
    assert ids == [*LINES, "whole"]
    assert "its last line has no end: it is still being written" in error


def test_a_packed_file_is_looked_after_as_well(tmp_path: Path) -> None:
    noise = [os.urandom(16).hex() for _ in range(50_000)]
    path = tmp_path / "backlog.gz"
    path.write_bytes(gzip.compress(text(noise)))
    ids, error = read_with(path, lambda: os.truncate(path, path.stat().st_size // 2))
    assert "it was cut" in error
    assert ids == noise[: len(ids)]
