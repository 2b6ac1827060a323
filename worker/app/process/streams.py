"""The standard streams, which may be closed, full, or left by their reader."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from typing import Final

import click

from worker.core.secrets import redact
from worker.core.text import visible
from worker.observers.stream import QuietStream

_STDOUT: Final = 1
_STDERR: Final = 2


def hold_standard_streams() -> None:
    """Let /dev/null stand in for those that are closed.

    Else the next file that is opened gets the descriptor of one, and whatever is written to that
    stream goes into the file, were it the results log. And Python makes None of a closed stream,
    which nobody can ask whether it is a terminal.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = os.fdopen(_STDOUT, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(_STDERR, "w", closefd=False)


def say(text: str, *, nl: bool = True, err: bool = False) -> None:
    """Write to the standard output or the standard error; never a secret.

    All that a command prints goes through here. What the stream's encoding cannot hold is shown as
    an escape. Raises OSError where the stream cannot be written to.

    Args:
        text: what is shown.
        nl: whether a newline follows.
        err: whether the standard error is meant.
    """
    encoding = getattr(sys.stderr if err else sys.stdout, "encoding", None) or "utf-8"
    safe = redact(text).encode(encoding, "backslashreplace").decode(encoding)
    click.echo(safe, nl=nl, err=err)  # noqa: TID251 - here, and nowhere else


def tell(text: str) -> None:
    """Write one line to the standard error, if that can be written to."""
    tell_all(visible(text))


def tell_all(text: str) -> None:
    """Write lines of our own to the standard error, if that can be written to; never a secret."""
    safe = redact(text.removesuffix("\n"))
    stream = QuietStream(sys.stderr)
    stream.write(safe + "\n")
    stream.drain()


def hold_tracebacks() -> None:
    """Let what Python prints of exceptions that nobody caught hold no secret either: of the main
    thread, of other threads, and of what is being thrown away."""
    sys.excepthook = lambda *error: tell_all("".join(traceback.format_exception(*error)))
    threading.excepthook = _tell_of_thread
    sys.unraisablehook = _tell_of_unraisable


def _tell_of_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        name = "a thread" if args.thread is None else args.thread.name
        tell_all(f"Exception in {name}:\n" + "".join(traceback.format_exception(args.exc_value)))


def _tell_of_unraisable(args: sys.UnraisableHookArgs) -> None:
    what = args.err_msg or "Exception ignored in"
    told = [] if args.exc_value is None else traceback.format_exception(args.exc_value)
    tell_all(f"{what}: {args.object!r}\n" + "".join(told))
