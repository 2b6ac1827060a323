"""Exit codes, and the errors that end a run. What goes wrong with one id is a value instead."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """One code per cause, in the manner of sysexits(3) and 128+signal."""

    OK = 0
    SOME_FAILED = 1
    USAGE = 2
    REFUSED = 3
    UNAVAILABLE = 4
    STOPPED = 5
    INPUT_UNREADABLE = 66
    DEFECT = 70
    LOG_UNWRITABLE = 74
    LOCKED = 75
    INTERRUPTED = 130
    TERMINATED = 143


EXIT_PRECEDENCE = (
    ExitCode.DEFECT,
    ExitCode.LOG_UNWRITABLE,
    ExitCode.INTERRUPTED,
    ExitCode.TERMINATED,
    ExitCode.REFUSED,
    ExitCode.UNAVAILABLE,
    ExitCode.USAGE,
    ExitCode.LOCKED,
    ExitCode.STOPPED,
    ExitCode.INPUT_UNREADABLE,
    ExitCode.SOME_FAILED,
    ExitCode.OK,
)
"""Where several causes hold, the first of these is the exit code. Every code has its place."""


class WorkerError(Exception):
    """Ends the run. `message` says what and where; `advice` says what to do about it.

    `error_type` is what `explain` knows more about, by the name that events give it.
    """

    exit_code = ExitCode.DEFECT

    def __init__(self, message: str, advice: str = "", error_type: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.error_type = error_type

    def __str__(self) -> str:
        return f"{self.message}. {self.advice}" if self.advice else self.message


class UsageError(WorkerError):
    """A wrong option, setting, key, address or file.

    Most are found before a run begins; one that is found later, as what a pipe holds is, ends it.
    """

    exit_code = ExitCode.USAGE


class SourceError(WorkerError):
    """The source could be read in part only; what was read is completed."""

    exit_code = ExitCode.INPUT_UNREADABLE


class RefusedError(WorkerError):
    """The API refuses the key or the account, the address is wrong, or TLS cannot be trusted."""

    exit_code = ExitCode.REFUSED


class UnavailableError(WorkerError):
    """The API stayed down, or throttled everything, for longer than the run's patience."""

    exit_code = ExitCode.UNAVAILABLE


class LedgerError(WorkerError):
    """The results log or the journal cannot be read or written."""

    exit_code = ExitCode.LOG_UNWRITABLE


class LockedError(WorkerError):
    """Another run holds the results log."""

    exit_code = ExitCode.LOCKED


def how_to_install(extra: str) -> str:
    """What to do where the libraries of an extra are missing.

    It names no project of an index: whoever registers that name there owns all who follow it.
    """
    return f"In the checkout: pip install '.[{extra}]'; with a wheel: pip install 'WHEEL[{extra}]'"
