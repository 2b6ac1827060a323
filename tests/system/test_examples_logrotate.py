"""The logrotate stanza, tried on logs: it rotates a log that is done, and no other."""

from __future__ import annotations

import fcntl
import gzip
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.examples import CONFIG, moved_to, need
from tests.support.log_samples import record, write_log


class Place:
    """An installation's state directory."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.log = home / "backlog.results.jsonl"
        text = moved_to(home, (CONFIG / "logrotate.conf").read_text(encoding="utf-8"))
        # The user is made at the installation.
        (home / "logrotate.conf").write_text(re.sub(r"^ *su .*\n", "", text, flags=re.MULTILINE))
        (home / "logrotate.conf").chmod(0o644)

    def rotate(self, *options: str) -> subprocess.CompletedProcess[str]:
        state = ["--state", str(self.home / "state")]
        command = [need("logrotate"), *options, *state, str(self.home / "logrotate.conf")]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    @property
    def rotated(self) -> list[Path]:
        return sorted(self.home.glob("backlog.results-*"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    write_log(place.log, record("a"), record("b", "not_found"))
    return place


def test_logrotate_understands_it(place: Place) -> None:
    found = place.rotate("--debug")
    assert found.returncode == 0
    assert "error" not in found.stderr


def test_a_log_that_is_done_is_rotated_when_it_is_asked_for(place: Place) -> None:
    content = place.log.read_bytes()
    found = place.rotate("--force")
    assert (found.returncode, found.stderr) == (0, "")
    (rotated,) = place.rotated
    assert rotated.name.endswith(".jsonl")
    assert rotated.read_bytes() == content
    assert not place.log.exists()


def test_the_one_before_is_compressed_and_can_be_read(place: Place) -> None:
    place.rotate("--force")
    # Two in one second would have one name.
    (earlier,) = place.rotated
    earlier.rename(earlier.with_name("backlog.results-20260101-1767225600.jsonl"))
    write_log(place.log, record("c"))
    assert place.rotate("--force").returncode == 0
    compressed, newest = place.rotated
    assert gzip.decompress(compressed.read_bytes()).count(b"\n") == 2
    assert newest.read_text().count("\n") == 1


def test_nothing_is_rotated_unasked(place: Place) -> None:
    assert place.rotate().returncode == 0
    assert place.rotated == []


def test_nothing_to_rotate_is_no_failure(place: Place) -> None:
    place.log.unlink()
    assert place.rotate("--force").returncode == 0


def test_a_log_that_a_run_holds_is_left_alone(place: Place) -> None:
    with place.log.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        found = place.rotate("--force")
    assert found.returncode != 0
    assert "a run holds" in found.stderr
    assert place.rotated == []


def test_a_log_over_which_a_run_died_is_left_alone(place: Place) -> None:
    Path(f"{place.log}.inflight").touch()
    found = place.rotate("--force")
    assert found.returncode != 0
    assert "run it again" in found.stderr
    assert place.rotated == []


def test_a_log_with_failed_ids_is_left_alone(place: Place) -> None:
    write_log(place.log, record("a"), record("b", "failed", "ambiguous"))
    found = place.rotate("--force")
    assert found.returncode != 0
    assert "still holds failed ids" in found.stderr
    assert place.rotated == []


def test_a_log_that_cannot_be_read_is_left_alone(place: Place) -> None:
    place.log.write_text("no record\n")
    assert place.rotate("--force").returncode != 0
    assert place.rotated == []


def test_it_never_copies_and_truncates() -> None:
    text = (CONFIG / "logrotate.conf").read_text(encoding="utf-8")
    assert re.findall(r"^ *(\w*copytruncate)$", text, re.MULTILINE) == ["nocopytruncate"]
