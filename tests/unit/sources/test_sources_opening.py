"""Which sources can be opened, what is known of them, and what is said of the others."""

from __future__ import annotations

import gzip
import os
import pty
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from worker.core.errors import UsageError
from worker.sources import open_source


def ids(path: Path | str, **options: str) -> list[str]:
    source = open_source(str(path), **options)  # type: ignore[arg-type]
    try:
        return [item.id for items in iter(lambda: source.take(1), []) for item in items]
    finally:
        source.close()


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


# --- formats by name ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.txt", b"x\ny\n"),
        ("a.csv", b"id\nx\ny\n"),
        ("a.TSV", b"n\tid\n1\tx\n2\ty\n"),
        ("a.jsonl", b'"x"\n"y"\n'),
        ("a.ndjson", b'{"id":"x"}\n{"id":"y"}\n'),
        ("a", b'{"id":"x"}\n{"id":"y"}\n'),
        ("a.list", b"name;id\n1;x\n2;y\n"),
        ("a.csv.gz", gzip.compress(b"n,id\n1,x\n2,y\n", mtime=0)),
        ("a.gz", gzip.compress(b"x\ny\n", mtime=0)),
    ],
)
def test_the_format_is_told_by_the_name_or_else_by_the_first_line(
    tmp_path: Path, name: str, data: bytes
) -> None:
    assert ids(written(tmp_path / name, data)) == ["x", "y"]


def test_the_format_asked_for_overrules_the_name(tmp_path: Path) -> None:
    assert ids(written(tmp_path / "a.csv", b"id\nx\n"), format="lines") == ["id", "x"]


def test_a_json_array_is_an_error_at_once(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", b'["x", "y"]')
    with pytest.raises(UsageError, match=r"a\.json cannot be read: it is one JSON value"):
        open_source(str(path))


def test_a_missing_column_of_a_file_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no column is called 'id'"):
        open_source(str(written(tmp_path / "a.csv", b"session\nx\n")))


def test_an_unknown_format_or_an_empty_field_is_an_error(tmp_path: Path) -> None:
    path = str(written(tmp_path / "a", b"x"))
    with pytest.raises(UsageError, match="no format 'xml'"):
        open_source(path, format="xml")
    with pytest.raises(UsageError, match="field is empty"):
        open_source(path, field="")


# --- how many -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "total"),
    [
        (b"", 0),
        (b"a\nb\n", 2),
        (b"a\nb", 2),
        (b"a\r\nb\r\n", 2),
        (b"a\rb\r", 2),
        (b"id,n\na,1\nb,2\n", 2),
        (b'"a"\n', 1),
        (gzip.compress(b"a\nb\n", mtime=0), None),
    ],
)
def test_the_total_is_known_of_plain_files(tmp_path: Path, data: bytes, total: int | None) -> None:
    source = open_source(str(written(tmp_path / "a", data)))
    assert source.total == total
    source.close()


def test_the_total_of_a_file_on_stdin_counts_from_where_it_stands(tmp_path: Path) -> None:
    fd = os.open(written(tmp_path / "a", b"a\nb\nc\n"), os.O_RDONLY)
    os.read(fd, 2)
    source = open_source("-", stdin=fd)
    assert (source.name, source.total) == ("stdin", 2)
    assert [item.id for item in source.take(9)] == ["b", "c"]
    source.close()
    os.close(fd)  # It was not ours, so `close` has left it open.


def test_a_file_of_any_length_is_read_in_little_memory(tmp_path: Path) -> None:
    text = b"ok\n" + b"".join(b"%024x\n" % number for number in range(100_000))
    source = open_source(str(written(tmp_path / "ids", text)))
    tracemalloc.start()
    try:
        count = sum(map(len, iter(lambda: source.take(1000), [])))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        source.close()
    assert count == 100_001
    assert peak < 4e6


def test_an_empty_file_has_no_ids(tmp_path: Path) -> None:
    assert ids(written(tmp_path / "a.csv", b"")) == []
    assert ids(written(tmp_path / "b.csv", b"id\n")) == []
    assert ids("/dev/null") == []


# --- what cannot be opened ------------------------------------------------------------------------


def test_a_missing_file_is_an_error_that_names_those_nearest(tmp_path: Path) -> None:
    written(tmp_path / "backlog.csv", b"id\n")
    with pytest.raises(UsageError, match=r"there is no file .*baklog") as caught:
        open_source(str(tmp_path / "baklog.csv"))
    assert f"Did you mean '{tmp_path / 'backlog.csv'}'?" in caught.value.advice


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        open_source(str(tmp_path / "none" / "a.csv"))


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 5000])
def test_a_path_that_cannot_be_one_is_an_error(path: str) -> None:
    with pytest.raises(UsageError):
        open_source(path)


def test_a_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory"):
        open_source(str(tmp_path))


@pytest.mark.usefixtures("permissions")
def test_a_file_that_may_not_be_read_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path / "a", b"x")
    path.chmod(0)
    with pytest.raises(UsageError, match="may not be read"):
        open_source(str(path))


def test_a_descriptor_that_is_not_open_is_an_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    with pytest.raises(UsageError, match="standard input is closed"):
        open_source("-", stdin=reader)
    with pytest.raises(UsageError, match=f"/dev/fd/{reader} is not open"):
        open_source(f"/dev/fd/{reader}")


@pytest.mark.parametrize(
    ("path", "said"), [("-", "standard input is closed"), ("/dev/stdin", "is not open")]
)
def test_a_program_started_without_stdin_says_so(path: str, said: str) -> None:
    program = f"from worker.sources import open_source; open_source({path!r})"
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" "$@" <&-', sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"UsageError: {path if path != '-' else ''}".rstrip() in done.stderr
    assert said in done.stderr


def test_a_directory_as_stdin_is_an_error(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(UsageError, match="standard input is a directory"):
        open_source("-", stdin=fd)
    os.close(fd)


def test_a_stdin_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "a", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(UsageError, match="stdin cannot be read: Bad file descriptor"):
        open_source("-", stdin=fd)
    os.close(fd)


def test_ids_can_be_typed() -> None:
    keyboard, terminal = pty.openpty()
    source = open_source("-", stdin=terminal)
    os.write(keyboard, b"typed\n")
    assert [item.id for item in source.take(1)] == ["typed"]
    source.close()
    os.close(keyboard)
    os.close(terminal)


def test_nothing_is_left_open_by_an_error_or_after_close(tmp_path: Path) -> None:
    bad, good = written(tmp_path / "a.csv", b"name\n"), written(tmp_path / "b", b"x\n")
    before = set(Path("/dev/fd").iterdir())
    for path in [bad, tmp_path, good]:
        try:
            source = open_source(str(path))
        except UsageError:
            continue
        source.close()
        source.close()
    assert set(Path("/dev/fd").iterdir()) <= before
