"""What a run does when it has ended: its account, a command, and the code it exits with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from worker.core.files import READABLE_BY_OWNER, replace_file
from worker.core.secrets import redact
from worker.core.secrets.variables import SECRET_VARIABLES
from worker.core.text import shorten, visible
from worker.observers.account import Account, encode, may_hold_account
from worker.settings import STDOUT, EndingSettings

ON_EXIT_PATIENCE_S: Final = 60.0
"""A choice: a mail or a ping to a health check takes seconds, and whoever started the run waits."""

EXIT_CODE_VARIABLE: Final = "COMPLETE_SESSIONS_EXIT_CODE"

_LONGEST_COMPLAINT: Final = 300
"""Characters of it that are told. A choice: a line or two, as most programs complain."""


def conclude(settings: EndingSettings, account: Account, warn: Callable[[str], None]) -> int:
    """Write the account, run the command of --on-exit; returns what the process exits with.

    What goes wrong with either is told to `warn` and changes nothing.
    """
    summary = encode(account)
    if settings.summary_json is not None:
        _write(settings.summary_json, summary, warn)
    if settings.on_exit is not None:
        problem = run_command(settings.on_exit, summary, account.exit_code, os.environ)
        if problem:
            warn(f"the command of --on-exit {problem}")
    return 0 if account.exit_code in settings.exit_zero_on else account.exit_code


def _write(target: Path, summary: bytes, warn: Callable[[str], None]) -> None:
    try:
        if target == STDOUT:
            sys.stdout.buffer.write(summary)
            sys.stdout.flush()
        elif target.exists() and not target.is_file():
            _write_into(target, summary)
        elif not may_hold_account(target):
            warn(f"{target} is there and is no summary: it is not overwritten")
        else:
            replace_file(target, summary, mode=READABLE_BY_OWNER)
    except OSError as error:
        warn(f"the summary cannot be written to {target}: {error.strerror or error}")


def _write_into(target: Path, summary: bytes) -> None:
    """A device or a pipe cannot be replaced by a file, and one that nobody reads holds nobody."""
    descriptor = os.open(target, os.O_WRONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        file.write(summary)


def run_command(
    command: str,
    summary: bytes,
    exit_code: int,
    environ: Mapping[str, str],
    patience_s: float = ON_EXIT_PATIENCE_S,
) -> str:
    """Run a shell command with the summary as its standard input; what went wrong, or nothing.

    It is given the exit code in its environment, which lacks the key and the addresses of Redis and
    gateway; HTTPS_PROXY stays, as a ping to a health check may need it. After `patience_s` seconds
    it is killed with all that it has started, unless that is in a session of its own.
    """
    given = {name: value for name, value in environ.items() if name not in SECRET_VARIABLES}
    given[EXIT_CODE_VARIABLE] = str(exit_code)
    with tempfile.TemporaryFile() as complaints:
        try:
            process = subprocess.Popen(  # noqa: S603 - what the operator asks for
                ("/bin/sh", "-c", command),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                env=given,
                start_new_session=True,
            )
        except OSError as error:
            return f"cannot be started: {error.strerror or error}"
        try:
            with suppress(subprocess.TimeoutExpired):
                process.communicate(summary, patience_s)
        finally:
            is_killed = _end(process)
        if process.returncode is None or is_killed:
            ending = "was killed" if is_killed else "may not be killed: it goes on"
            return f"took longer than {patience_s:g}s, and {ending}"
        return _verdict(process.returncode, complaints)


def _end(process: subprocess.Popen[bytes]) -> bool:
    """See to it that nothing is left, also where Ctrl-C was pressed meanwhile; returns whether
    something was killed. What has become another user's cannot be."""
    if process.poll() is not None:
        return False
    with suppress(PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


def _verdict(code: int, complaints: IO[bytes]) -> str:
    if code == 0:
        return ""
    complaints.seek(0)
    text = complaints.read(4 * _LONGEST_COMPLAINT).decode("utf-8", "replace").strip()
    said = f": {shorten(visible(redact(text)), _LONGEST_COMPLAINT)}" if text else ""
    how = f"ended with {code}" if code > 0 else f"was ended by {signal.Signals(-code).name}"
    return how + said
