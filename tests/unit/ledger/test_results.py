from __future__ import annotations

import errno
import gzip
import json
import os
import subprocess
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.ledgers import A, B, C, name_of, python, record, records_in
from worker.core.errors import ExitCode, LedgerError
from worker.ledger import Ledger, Standing, read_records
from worker.ledger.disk import Disk, File
from worker.ledger.files import CHUNK_BYTES, MAX_LINE_BYTES, Block, read_blocks
from worker.ledger.lines import encode_line, trace_of
from worker.ledger.lock import open_locked, some_process
from worker.ledger.results import ResultsLog, locate

DISK = Disk()
LINES = [encode_line(record(each)) for each in (A, B, C)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


@pytest.fixture
def log(path: Path) -> Iterator[ResultsLog]:
    log = open_log(path)
    yield log
    log.close()


def open_log(path: Path) -> ResultsLog:
    return ResultsLog(DISK, path, open_locked(DISK, path, some_process))


def repair(path: Path) -> list[str]:
    log = open_log(path)
    try:
        log.sync()
        return log.repair()
    finally:
        log.close()


def torn_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.torn")


# Lines


def test_a_line_is_what_the_format_says() -> None:
    line = encode_line(record(A, error="http_503", message="…", line=3))
    assert list(json.loads(line)) == [
        "id",
        "outcome",
        "session_status",
        "http_status",
        "error",
        "attempts",
        "via",
        "latency_ms",
        "elapsed_ms",
        "at",
        "run",
        "line",
        "target",
    ]
    assert json.loads(line)["error"] == {"type": "http_503", "message": "…"}


HOSTILE = st.text(
    st.characters() | st.sampled_from("\n\r\0\x1b\x7f\x85\x9b\u2028\u202e\u2066\ud800")
)


@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_text_from_outside_breaks_or_forges_a_line(
    session_id: str, error: str, message: str
) -> None:
    line = encode_line(record(session_id, error=error or "x", message=message))
    text = line.decode()
    assert text.splitlines(keepends=True) == [text]
    assert text.endswith("}\n")
    assert not any(ch < " " or "\x80" <= ch <= "\x9f" for ch in text[:-1])
    assert not any("\u202a" <= ch <= "\u202e" or "\u2066" <= ch <= "\u2069" for ch in text)
    assert trace_of(line) is not None


@given(st.text(), st.text())
def test_a_record_survives_the_round_trip(
    tmp_path_factory: pytest.TempPathFactory, session_id: str, message: str
) -> None:
    path = tmp_path_factory.mktemp("log") / "results.jsonl"
    written = record(session_id, error="http_500", message=message)
    path.write_bytes(encode_line(written))
    assert records_in(path) == [written]


def test_lone_surrogates_are_written_as_escapes() -> None:
    line = encode_line(record("a\ud800", error="x\udcff", message="\ud800\n"))
    assert json.loads(line)["id"] == "a\\ud800"
    assert json.loads(line)["error"] == {"type": "x\\udcff", "message": "\\ud800\n"}


def test_a_text_too_long_for_a_line_is_cut() -> None:
    line = encode_line(record(A, error="t" * MAX_LINE_BYTES, message="m" * MAX_LINE_BYTES))
    assert len(line) < 2000
    assert trace_of(line) is not None


# Reading


def blocks_of(data: bytes) -> list[Block]:
    view = memoryview(data)

    def read(size: int) -> bytes:
        nonlocal view
        chunk, view = view[:size], view[size:]
        return bytes(chunk)

    return list(read_blocks(read))


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 5])
def test_a_line_of_any_length_is_one_line(size: int) -> None:
    blocks = blocks_of(b"first\n" + b"x" * size + b"\nlast\n")
    lines = [line for block in blocks for line in block.lines]
    assert lines == [b"first", b"x" * min(size, MAX_LINE_BYTES), b"last"]
    assert [block.torn for block in blocks] == [False] * len(blocks)


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    chunks = iter([b"x" * CHUNK_BYTES] * 30)
    tracemalloc.start()
    try:
        blocks = list(read_blocks(lambda size: next(chunks, b"")))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert blocks == [Block(1, [b"x" * MAX_LINE_BYTES], torn=True)]
    assert peak_bytes < 8 * CHUNK_BYTES


def test_line_numbers_go_on_from_chunk_to_chunk() -> None:
    line = b"x" * 999 + b"\n"
    blocks = blocks_of(line * 3000 + TORN)
    firsts = [block.first for block in blocks]
    assert firsts == [
        1 + sum(len(before.lines) for before in blocks[:n]) for n in range(len(firsts))
    ]
    assert blocks[-1] == Block(3001, [TORN], torn=True)


def test_a_byte_order_mark_does_not_cost_a_record(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + LINES[0] + LINES[1].replace(b"\n", b"\r\n"))
    assert [each.id for each in records_in(path)] == [A, B]


def read_leniently(path: Path) -> tuple[list[str], list[tuple[int, bytes]]]:
    bad: list[tuple[int, bytes]] = []
    records = [each.id for each in read_records(path, lambda *what: bad.append(what))]
    return records, bad


def test_the_reader_passes_over_what_is_no_record(path: Path) -> None:
    path.write_bytes(LINES[0] + b"\ngarbage\n" + LINES[1] + LINES[2][:-9])
    assert read_leniently(path) == ([A, B], [(2, b""), (3, b"garbage"), (5, LINES[2][:-9])])


def test_the_reader_takes_a_whole_last_line_without_its_newline(path: Path) -> None:
    path.write_bytes(LINES[0] + LINES[1][:-1])
    assert read_leniently(path) == ([A, B], [])


def test_the_reader_reads_what_a_rotation_compressed(path: Path) -> None:
    path.write_bytes(gzip.compress(LINES[0]) + gzip.compress(LINES[1]))
    assert read_leniently(path) == ([A, B], [])


def test_the_reader_takes_what_is_left_of_compressed_data(path: Path) -> None:
    records = [record(f"{number:024x}", line=number) for number in range(5000)]
    whole = gzip.compress(b"".join(map(encode_line, records)))
    path.write_bytes(whole[: len(whole) // 2])
    ids, bad = read_leniently(path)
    assert ids == [each.id for each in records[: len(ids)]]
    assert 1000 < len(ids) < 4000
    assert bad[-1][0] in (len(ids) + 1, len(ids) + 2)


def test_the_reader_says_which_file_it_cannot_read(path: Path) -> None:
    with pytest.raises(LedgerError, match=f"Cannot read the results log {path}: No such file"):
        next(read_records(path, lambda number, line: None))


# The tail


def test_a_log_that_ends_in_a_newline_is_left_as_it_is(path: Path) -> None:
    path.write_bytes(b"".join(LINES))
    assert repair(path) == []
    assert path.read_bytes() == b"".join(LINES)
    assert not torn_of(path).exists()


def test_a_whole_last_record_gets_its_newline(path: Path) -> None:
    path.write_bytes(LINES[0] + LINES[1][:-1])
    [note] = repair(path)
    assert "got the newline" in note
    assert path.read_bytes() == LINES[0] + LINES[1]
    assert not torn_of(path).exists()


TAILS = [
    LINES[1][:-2],
    b"{",
    b"x" * (2 * CHUNK_BYTES + 1),
    b"\0" * 5000,
    b"\xff",
]


BEGUN = [LINES[0][:-2], LINES[0][:9], b"{", b"\0" * 5000, b"\0\0" + LINES[0][:30]]


@pytest.mark.parametrize(
    ("head", "tail"),
    [*((LINES[0], tail) for tail in TAILS), *((b"", tail) for tail in BEGUN)],
    ids=lambda part: str(part[:9]),
)
def test_a_torn_tail_is_saved_and_cut_off(path: Path, head: bytes, tail: bytes) -> None:
    path.write_bytes(head + tail)
    [note] = repair(path)
    assert note == (
        f"The torn last line of the results log ({len(tail)} bytes) was moved to {torn_of(path)}"
    )
    assert path.read_bytes() == head
    assert torn_of(path).read_bytes() == tail + b"\n"
    assert torn_of(path).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("tail", [b"\0", b"\0\0\0", b'{"id":"torn'])
def test_a_whole_record_with_something_in_place_of_its_newline_is_kept(
    path: Path, tail: bytes
) -> None:
    path.write_bytes(LINES[0] + LINES[1][:-1] + tail)
    assert len(repair(path)) == 1
    assert path.read_bytes() == LINES[0] + LINES[1][:-1] + tail + b"\n"
    past = Ledger.preview(path)
    assert [past.standing(each) for each in (A, B)] == [Standing.SETTLED] * 2
    assert [each.id for each in read_records(path, lambda number, line: None)] == [A, B]


def test_torn_tails_are_gathered(path: Path) -> None:
    for tail in (b"one", b"two"):
        path.write_bytes(LINES[0] + tail)
        repair(path)
    assert torn_of(path).read_bytes() == b"one\ntwo\n"


@given(st.integers(1, len(b"".join(LINES))))
def test_wherever_a_crash_cuts_the_log_the_next_record_stands_on_a_line_of_its_own(
    tmp_path_factory: pytest.TempPathFactory, size: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "results.jsonl"
    path.write_bytes(b"".join(LINES)[:size])
    whole = [each for each in LINES if each[:-1] in path.read_bytes()]
    log = open_log(path)
    log.repair()
    log.append(LINES[0])
    log.close()
    assert path.read_bytes() == b"".join(whole) + LINES[0]


TORN = LINES[0][:20]


def test_a_torn_tail_that_cannot_be_saved_is_not_cut_off(path: Path) -> None:
    path.write_bytes(TORN)
    torn_of(path).symlink_to("/dev/full")
    with pytest.raises(LedgerError, match="not a regular file"):
        repair(path)
    assert path.read_bytes() == TORN


def test_a_torn_tail_is_saved_on_disk_before_it_is_cut_off(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(TORN)
    synced: list[str] = []
    fsync, ftruncate = os.fsync, os.ftruncate

    def note_fsync(fd: int) -> None:
        synced.append(name_of(fd).name)
        fsync(fd)

    def note_ftruncate(fd: int, size: int) -> None:
        synced.append("cut")
        ftruncate(fd, size)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "ftruncate", note_ftruncate)
    repair(path)
    cut = synced.index("cut")
    assert torn_of(path).name in synced[:cut]
    assert path.parent.name in synced[:cut]
    assert path.name in synced[cut:]


def test_what_a_killed_run_wrote_is_synced_before_it_is_believed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(LINES[0])
    synced: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(name_of(fd)))
    repair(path)
    assert synced == [path]


def test_a_compressed_log_is_not_appended_to(path: Path) -> None:
    path.write_bytes(whole := gzip.compress(LINES[0]))
    with pytest.raises(LedgerError, match="is compressed"):
        repair(path)
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "content", [b"", b"\n \r\n", b"garbage\n" + LINES[0], b"x\n" + LINES[0][:9]]
)
def test_a_log_may_be_blank_or_damaged(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    repair(path)
    assert path.read_bytes() == content.removesuffix(LINES[0][:9])


@pytest.mark.parametrize(
    "content",
    [
        b"test_OTHERKEY12345678",
        b"pace: {rate: 100}",
        b"5eb2b61e02df0a0008f1cf2b\n5eb2b61e02df0a0008f1cf2c\n",
        b'{"id":"5eb2b61e02df0a0008f1cf2b"}\n',
        b'{"ids": [',
        b"\0\0data\n",
        b"x" * (2 * CHUNK_BYTES + 1),
    ],
    ids=lambda content: str(content[:9]),
)
def test_a_file_that_is_no_log_is_not_touched(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="is not a results log"):
        repair(path)
    with pytest.raises(LedgerError, match="is not a results log"):
        Ledger.preview(path)
    assert path.read_bytes() == content
    assert [each.name for each in path.parent.iterdir()] == [path.name]


# Appending


def test_an_append_is_synced_before_it_returns(
    path: Path, log: ResultsLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bytes] = []
    monkeypatch.setattr(File, "sync_data", lambda file: synced.append(path.read_bytes()))
    log.append(LINES[0])
    log.append(LINES[1])
    assert synced == [LINES[0], LINES[0] + LINES[1]]


def test_a_sync_that_fails_takes_the_lines_back_for_good(
    path: Path, log: ResultsLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append(LINES[0])

    def fail(file: File) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(File, "sync_data", fail)
        with pytest.raises(LedgerError, match=f"Cannot write the results log {path}: Input/output"):
            log.append(LINES[1])
    with pytest.raises(LedgerError, match="Input/output error"):
        log.append(LINES[2])
    assert path.read_bytes() == LINES[0]


def test_a_write_that_is_cut_short_goes_on(
    path: Path, log: ResultsLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
    log.append(b"".join(LINES))
    monkeypatch.undo()
    assert path.read_bytes() == b"".join(LINES)


def remove(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    path.with_name("other").write_bytes(path.read_bytes())
    path.with_name("other").rename(path)


def truncate(path: Path) -> None:
    os.truncate(path, 10)


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"foreign\n")


def move_its_directory(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


@pytest.mark.parametrize(
    ("meddle", "what"),
    [
        (remove, "was removed"),
        (replace, "was replaced by another file"),
        (truncate, f"was cut from {len(LINES[0])} to 10 bytes"),
        (append, "was written to by another program"),
        (move_its_directory, "was removed"),
    ],
)
def test_a_log_that_another_program_touches_is_not_written_on(
    tmp_path: Path, meddle: object, what: str
) -> None:
    path = tmp_path / "directory" / "results.jsonl"
    path.parent.mkdir()
    log = open_log(path)
    log.append(LINES[0])
    assert callable(meddle)
    meddle(path)
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(LedgerError, match=f"The results log {path} {what}") as caught:
        log.append(LINES[1])
    assert caught.value.exit_code is ExitCode.LOG_UNWRITABLE
    assert (path.read_bytes() if path.exists() else None) == before
    log.close()
    log.close()


FILL = """
import resource, sys
from pathlib import Path
from tests.support.ledgers import A, record
from worker.core.errors import LedgerError
from worker.ledger.disk import Disk
from worker.ledger.lines import encode_line
from worker.ledger.lock import open_locked
from worker.ledger.results import ResultsLog
path, limit = Path(sys.argv[1]), int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
disk = Disk()
log = ResultsLog(disk, path, open_locked(disk, path, str))
written = 0
try:
    while True:
        log.append(encode_line(record(A)) * 7)
        written += 7
except LedgerError as error:
    print(written, error, sep="|")
"""


def check_that_only_counted_lines_stayed(path: Path, limit: int, reason: str) -> None:
    with python(FILL, path, limit) as process:
        out, err = process.communicate(timeout=30)
    written, _, message = out.partition("|")
    assert message.startswith(f"Cannot write the results log {path}: {reason}"), err
    assert int(written) > 0
    assert len(records_in(path)) == int(written)


def test_at_a_limit_of_the_files_size_what_was_counted_stays_and_nothing_torn(path: Path) -> None:
    check_that_only_counted_lines_stayed(path, 10_000, "File too large")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("file systems cannot be mounted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_on_a_full_disk_what_was_counted_stays_and_nothing_torn(small_disk: Path) -> None:
    check_that_only_counted_lines_stayed(small_disk / "results.jsonl", 0, "No space left on device")


def test_a_torn_tail_on_a_full_disk_is_not_cut_off(small_disk: Path) -> None:
    path = small_disk / "results.jsonl"
    path.write_bytes(tail := TORN.ljust(40_000, b"t"))
    with pytest.raises(LedgerError, match="Cannot save the torn end"):
        repair(path)
    assert path.read_bytes() == tail


def test_a_read_only_file_system_is_an_error(small_disk: Path) -> None:
    path = small_disk / "results.jsonl"
    path.touch()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(LedgerError, match=f"Cannot open the results log {path}: Read-only"):
        open_log(path)


# Opening


@pytest.mark.parametrize("target", ["/dev/full", "/dev/null", "fifo", "directory"])
def test_only_a_regular_file_can_be_a_log(tmp_path: Path, path: Path, target: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    path.symlink_to(target)
    with pytest.raises(LedgerError, match="not a regular file") as caught:
        open_log(locate(DISK, path))
    assert caught.value.exit_code is ExitCode.LOG_UNWRITABLE


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=f"There is no directory {tmp_path}/missing for"):
        locate(DISK, tmp_path / "missing" / "results.jsonl")


@pytest.mark.parametrize("name", ["a\0b", "n" * 300, "loop"])
def test_a_path_that_cannot_be_opened_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(LedgerError):
        open_log(locate(DISK, tmp_path / name))


def test_a_link_that_leads_nowhere_yet_names_the_log_it_leads_to(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("target")
    assert locate(DISK, link) == tmp_path / "target"
