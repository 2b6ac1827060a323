"""What a process is given by whoever starts it: its time zone, and what a hang-up does to it."""

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


def heed_hang_up() -> None:
    """Let SIGHUP end a command as SIGTERM ends a run, unless it is being ignored (nohup)."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, _hang_up)


def _hang_up(number: int, frame: FrameType | None) -> NoReturn:
    from worker.app.process.signals import SignalledError  # noqa: PLC0415 - asyncio, and rarely needed

    raise SignalledError(signal.Signals(number))
