"""What is done when a run has ended: the account, the command, the exit code."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.sample_events import finished, tally
from worker.app.ending import conclude, run_command
from worker.core.errors import ExitCode, UsageError
from worker.core.identity import RunIdentity
from worker.core.secrets import learn
from worker.observers.account import Account, account_of, account_of_failure
from worker.settings import EndingSettings
from worker.settings.syntax import STDOUT

IDENTITY = RunIdentity(
    "r1", "1.2.3", "host", 7, "https://x live 01", datetime(2026, 11, 26, tzinfo=UTC)
)


def account(code: ExitCode = ExitCode.STOPPED) -> Account:
    return account_of(finished(code, tally(5, 3, 2), reason="time is over"), IDENTITY, "run it")


def concluded(settings: EndingSettings, ended: Account) -> tuple[int, list[str]]:
    warned: list[str] = []
    return conclude(settings, ended, warned.append), warned


@pytest.mark.parametrize(("codes", "expected"), [((), 5), ((1, 75), 5), ((5,), 0), ((1, 5), 0)])
def test_chosen_exit_codes_become_0_and_the_account_keeps_them(
    tmp_path: Path, codes: tuple[int, ...], expected: int
) -> None:
    file = tmp_path / "end.json"
    settings = EndingSettings(summary_json=file, exit_zero_on=codes)
    assert concluded(settings, account()) == (expected, [])
    written = json.loads(file.read_bytes())
    assert (written["exit_code"], written["cause"]) == (5, "stopped")
    assert written["work"]["ids"]["failed"] == 2
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_account_of_a_run_that_never_began_says_why() -> None:
    error = UsageError("the key is missing", "Give one")
    ended = account_of_failure(error, ExitCode.USAGE, IDENTITY, "run it")
    assert (ended.exit_code, ended.reason, ended.advice) == (2, "the key is missing", "Give one")
    assert ended.work is None


def test_no_secret_is_left_in_the_account() -> None:
    learn("live_secret_of_somebody")
    error = UsageError("live_secret_of_somebody is wrong")
    ended = account_of_failure(error, ExitCode.USAGE, IDENTITY, "run live_secret_of_somebody")
    assert "secret_of" not in str(ended)


def test_account_goes_to_the_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert concluded(EndingSettings(summary_json=STDOUT), account()) == (5, [])
    assert json.loads(capfdbinary.readouterr().out)["run"] == "r1"


def test_account_replaces_an_older_one_and_no_other_file(tmp_path: Path) -> None:
    file = tmp_path / "end.json"
    settings = EndingSettings(summary_json=file)
    concluded(settings, account())
    assert concluded(settings, account(ExitCode.OK)) == (0, [])
    assert json.loads(file.read_bytes())["exit_code"] == 0
    file.write_text("5eb2b61e02df0a0008f1cf2b\n")
    code, [warning] = concluded(settings, account())
    assert code == 5
    assert "is no summary: it is not overwritten" in warning
    assert file.read_text() == "5eb2b61e02df0a0008f1cf2b\n"


def test_account_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    settings = EndingSettings(summary_json=tmp_path / "missing" / "end.json")
    code, [warning] = concluded(settings, account())
    assert code == 5
    assert "No such file" in warning


def test_a_device_is_not_replaced() -> None:
    concluded(EndingSettings(summary_json=Path("/dev/null")), account())
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_command_gets_the_account_and_the_code_and_no_secret(tmp_path: Path) -> None:
    command = f"cat > {tmp_path}/in; env > {tmp_path}/env"
    environ = dict(os.environ, COMPLYCUBE_API_KEY="live_x", WORKER_SHARED_URL="redis://:p@x")
    assert run_command(command, b"{}", 5, environ) == ""
    assert (tmp_path / "in").read_bytes() == b"{}"
    given = (tmp_path / "env").read_text()
    assert "COMPLETE_SESSIONS_EXIT_CODE=5\n" in given
    assert "live_x" not in given
    assert "WORKER_SHARED_URL" not in given


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("echo no such host >&2; exit 7", "ended with 7: no such host"),
        ("kill -9 $$", "was ended by SIGKILL"),
        ("true", ""),
        ("nowhere-to-be-found", "ended with 127: "),
    ],
)
def test_failure_of_the_command_is_told(command: str, problem: str) -> None:
    told = run_command(command, b"x" * 200_000, 0, os.environ)
    assert told.startswith(problem)
    assert bool(told) == bool(problem)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_command_that_cannot_be_killed_is_told_of_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(group: int, number: int) -> None:
        raise PermissionError(errno.EPERM, f"no signal {number} to {group}")

    with monkeypatch.context() as patched:
        patched.setattr(os, "killpg", refuse)
        told = run_command(f"echo $$ > {tmp_path}/pid; exec sleep 60", b"", 0, os.environ, 0.5)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert told == "took longer than 0.5s, and may not be killed: it goes on"


def test_command_that_hangs_is_killed_with_what_it_started(tmp_path: Path) -> None:
    command = f"sleep 600 & echo $! > {tmp_path}/pid; wait"
    began = time.monotonic()
    assert run_command(command, b"", 0, os.environ, 0.5) == "took longer than 0.5s, and was killed"
    assert time.monotonic() - began < 60
    pid = int((tmp_path / "pid").read_text())
    for _ in range(200):
        if not Path(f"/proc/{pid}").exists() or _is_zombie(pid):
            return
        time.sleep(0.05)
    pytest.fail("its child is still there")


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
