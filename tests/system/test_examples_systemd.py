"""The service and the timer: valid, locked up, and in step with the program."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.examples import CONFIG, METRICS_FILE, STATE, moved_to, need, text_of
from worker.core.errors import ExitCode
from worker.settings import Settings, parse_duration

SERVICE = "complete-sessions.service"
TIMER = "complete-sessions.timer"


def values(unit: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", text_of(unit), re.MULTILINE)


def analyze(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    for unit in (SERVICE, TIMER):
        (home / unit).write_text(moved_to(home, (CONFIG / unit).read_text()))
    return subprocess.run(
        [need("systemd-analyze"), *arguments], cwd=home, capture_output=True, text=True, check=False
    )


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    found = analyze(tmp_path, "verify", "--man=no", f"./{SERVICE}", f"./{TIMER}")
    if "Failed to initialize manager" in found.stderr:
        pytest.skip("systemd-analyze cannot work here")
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_the_service_is_locked_up(tmp_path: Path) -> None:
    found = analyze(tmp_path, "security", "--offline=true", "--threshold=20", f"./{SERVICE}")
    if "unrecognized option" in found.stderr or "Failed to" in found.stderr:
        pytest.skip("systemd-analyze cannot work here")
    assert found.returncode == 0, found.stdout


def test_what_was_asked_for_is_no_failure() -> None:
    (codes,) = values(SERVICE, "SuccessExitStatus")
    assert {int(code) for code in codes.split()} == {ExitCode.STOPPED, ExitCode.TERMINATED}


def test_a_stop_waits_for_what_is_in_flight() -> None:
    (stop,) = values(SERVICE, "TimeoutStopSec")
    assert parse_duration(stop) > Settings().api.timeout
    assert values(SERVICE, "KillMode") == ["mixed"]
    assert values(SERVICE, "KillSignal") in ([], ["SIGTERM"])


def test_the_last_resort_comes_after_any_until() -> None:
    (start,) = values(SERVICE, "TimeoutStartSec")
    assert parse_duration(start) > parse_duration("24h")
    assert values(SERVICE, "Type") == ["oneshot"]
    assert values(SERVICE, "RuntimeMaxSec") == [], "it has no effect on a oneshot"


def test_a_missed_night_is_not_made_up_for() -> None:
    assert values(TIMER, "Persistent") == ["no"]
    assert values(SERVICE, "Restart") == ["no"]


def test_the_paths_fit_together() -> None:
    (command,) = values(SERVICE, "ExecStart")
    (condition,) = values(SERVICE, "ConditionPathExists")
    (state,) = values(SERVICE, "StateDirectory")
    assert condition == f"{STATE}/{command.split()[2]}"
    assert values(SERVICE, "WorkingDirectory") == [f"%S/{state}"]
    assert f"/var/lib/{state}" == STATE
    assert f"--metrics-file {METRICS_FILE}" in command
    assert values(SERVICE, "ReadWritePaths") == [f"-{Path(METRICS_FILE).parent}"]


def test_the_directory_that_the_condition_looks_into_is_made_before() -> None:
    """The service manager makes it only after the condition has held."""
    (user,), (mode,) = values(SERVICE, "User"), values(SERVICE, "StateDirectoryMode")
    assert f"#   install -d -o {user} -g {user} -m {mode} {STATE}\n" in text_of(SERVICE)


def test_the_key_comes_as_a_credential() -> None:
    (credential,) = values(SERVICE, "LoadCredential")
    (command,) = values(SERVICE, "ExecStart")
    assert f"--api-key-file %d/{credential.partition(':')[0]} " in command
    assert "KEY" not in "".join(values(SERVICE, "Environment"))
