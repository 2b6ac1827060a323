"""Disks that are full or may not be written: nothing that was counted is lost."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.program import PROGRAM, run
from tests.support.run_harness import (
    RunHarness,
    backlog,
    ids,
    journal_of,
    records_in,
    results,
    sessions,
)
from worker.core.errors import ExitCode
from worker.sandbox.server import Sandbox


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that holds 96 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(disk)]
    try:
        failed = subprocess.run(mount, check=False, capture_output=True).returncode
    except OSError:
        failed = 1
    if failed:
        pytest.skip("this user may not mount a small file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def give_room(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=10m", str(disk)], check=True)


async def test_a_full_disk_stops_the_run_and_loses_nothing_that_was_counted(
    small_disk: Path,
) -> None:
    some = ids(500)
    source = backlog(small_disk, *some)
    async with Sandbox(sessions(some)) as sandbox:
        full = await run("run", source, "--base-url", sandbox.url, "--rate", "1000")
        assert full.code == 74
        assert "No space left on device" in full.last["reason"]
        counted = records_in(results(small_disk))
        assert full.last["processing"] == len(counted) > 0
        assert journal_of(results(small_disk)).exists()
        assert not [event for event in full.events if event["event"] == "defect"]
        give_room(small_disk)
        again = await RunHarness(small_disk, sandbox.url).run()
        assert (again.code, again.outcomes) == (ExitCode.OK, {"processing": 500})
        assert again.finished.tally.settled == len(counted)
        assert sandbox.sessions.triggered_twice == {}


@pytest.mark.parametrize("bytes_allowed", [0, 100, 5_000])
async def test_a_limit_on_file_sizes_does_the_same(tmp_path: Path, bytes_allowed: int) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_allowed, bytes_allowed))

    some = ids(300)
    source = backlog(tmp_path, *some)
    async with Sandbox(sessions(some)) as sandbox:
        full = await run("run", source, "--base-url", sandbox.url, preexec_fn=limit)
        assert full.code == 74
        assert "File too large" in full.err
        counted = len(records_in(results(tmp_path)))
        if bytes_allowed > 200:
            assert full.last["processing"] == counted
        again = await RunHarness(tmp_path, sandbox.url).run()
        assert (again.code, again.outcomes) == (ExitCode.OK, {"processing": 300})
        assert sandbox.sessions.triggered_twice == {}


def without_privileges() -> tuple[str, ...]:
    """The program, held to the permissions of files even where root runs it."""
    if os.geteuid() != 0:
        return PROGRAM
    return ("setpriv", "--bounding-set", "-dac_override,-dac_read_search", *PROGRAM)


async def test_a_directory_that_may_not_be_written_stops_the_run_before_it_begins(
    tmp_path: Path, make_read_only: Callable[[Path], None]
) -> None:
    source = backlog(tmp_path, *ids(3))
    make_read_only(tmp_path)
    async with Sandbox(sessions(ids(3))) as sandbox:
        done = await run(*("run", source, "--base-url", sandbox.url), program=without_privileges())
        assert (done.code, sandbox.sessions.triggered) == (74, 0)
        assert f"{results(tmp_path)}: Permission denied" in done.err


@pytest.fixture
def make_read_only() -> Iterator[Callable[[Path], None]]:
    made: list[Path] = []

    def make(directory: Path) -> None:
        made.append(directory)
        directory.chmod(0o500)

    yield make
    for directory in made:
        directory.chmod(0o700)


@pytest.mark.parametrize("log", ["missing/log", "backlog.txt/log", "directory", "/dev/full"])
async def test_a_log_that_cannot_be_opened_stops_the_run_before_it_begins(
    tmp_path: Path, log: str
) -> None:
    (tmp_path / "directory").mkdir()
    async with Sandbox(sessions(ids(3))) as sandbox:
        source = backlog(tmp_path, *ids(3))
        done = await run("run", source, "--base-url", sandbox.url, "--results", tmp_path / log)
        assert (done.code, sandbox.sessions.triggered) == (74, 0)
        assert str((tmp_path / log).parent) in done.err
