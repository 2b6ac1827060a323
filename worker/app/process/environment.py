"""What a process is given by whoever starts it: its time zone, secrets, and signals."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from worker.core.durations import DAY_S
from worker.core.errors import ExitCode
from worker.core.secrets import learn, learn_address
from worker.core.secrets.variables import ADDRESS_VARIABLES, KEY_FILE_VARIABLE, KEY_VARIABLE

_HOLD_ADDRESSES: Final = ("_PROXY", *ADDRESS_VARIABLES)


CODES: Final = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
    signal.SIGHUP: ExitCode.TERMINATED,
}
"""The signals that end a command, and with which code."""


class SignalInterrupt(KeyboardInterrupt):
    """The signal `number` ends the command, as Ctrl-C does: it may come in the midst of an import
    or of a loop's callback, where an error would be taken for one of theirs."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = signal.Signals(number)


def signal_of(interrupt: KeyboardInterrupt) -> signal.Signals:
    """The signal that an interrupt stands for."""
    return interrupt.number if isinstance(interrupt, SignalInterrupt) else signal.SIGINT


def hold_time_zone() -> None:
    """Let UTC stand in for a zone that is a day or more away from it: Python knows none such."""
    if max(abs(time.timezone), abs(time.altzone)) >= DAY_S:
        os.environ["TZ"] = "UTC0"
        time.tzset()


def learn_secrets(environ: Mapping[str, str], arguments: Sequence[str] = ()) -> None:
    """Learn the keys, and the passwords of proxies and of Redis, before anything can be shown.

    Args:
        environ: the environment, which may hold a key or name its file.
        arguments: the command line, which may name a key file or an address with a password.
    """
    learn(environ.get(KEY_VARIABLE, "").strip())
    for name, text in environ.items():
        if name.upper().endswith(_HOLD_ADDRESSES):
            learn_address(text)
    files = [environ.get(KEY_FILE_VARIABLE, "")]
    for option, text in _options(arguments):
        if option == "--api-key-file":
            files.append(text)
        elif option in ("--shared", "--metrics-push"):
            learn_address(text)
    for file in filter(None, files):
        from worker.settings import learn_key_file  # noqa: PLC0415 - where it is needed

        learn_key_file(Path(file))


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each long option with its value: of the same word, or the word that follows."""
    for word, following in pairwise((*arguments, "")):
        if word.startswith("--"):
            option, is_joined, value = word.partition("=")
            yield option, value if is_joined else following


def heed_signals() -> None:
    """Let SIGTERM and SIGHUP end a command with their code, unless they are being ignored (nohup).

    A run has its own way to end. Without a handler process 1 of a container would miss them.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    # A run says how it stands: before it can, and after its end, nobody is to die of the question.
    signal.signal(signal.SIGUSR1, _pass_over)


def _pass_over(number: int, frame: FrameType | None) -> None:
    """Unlike SIG_IGN, a handler is not passed on to the programs that this one starts."""


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise SignalInterrupt(number)
