"""What a process is given by whoever starts it: its time zone, secrets, and signals."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from types import FrameType
from typing import Final, NoReturn

from worker.core.secrets import learn, learn_address

_DAY_S: Final = 86_400
_KEY: Final = "COMPLYCUBE_API_KEY"
_ADDRESSES: Final = ("_PROXY", "WORKER_SHARED_URL")


def hold_time_zone() -> None:
    """Let UTC stand in for a zone that is a day or more away from it: Python knows none such."""
    if max(abs(time.timezone), abs(time.altzone)) >= _DAY_S:
        os.environ["TZ"] = "UTC0"
        time.tzset()


def learn_secrets(environ: Mapping[str, str]) -> None:
    """Learn the key, and the passwords of proxies and of Redis, before anything can be shown."""
    learn(environ.get(_KEY, "").strip())
    for name, text in environ.items():
        if name.upper().endswith(_ADDRESSES):
            learn_address(text)


def heed_signals() -> None:
    """Let SIGTERM and SIGHUP end a command with their code, unless they are being ignored (nohup).

    A run has its own way to end. Without a handler process 1 of a container would miss them.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    from worker.app.process.signals import SignalledError  # noqa: PLC0415 - asyncio, and rarely needed

    raise SignalledError(signal.Signals(number))
