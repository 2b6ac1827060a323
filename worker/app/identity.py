"""Who a run is, and how it was called, as its records and events name it."""

from __future__ import annotations

import os
import secrets
import shlex
import socket
from collections.abc import Sequence
from datetime import datetime

from worker import __version__
from worker.core.identity import RunIdentity
from worker.core.secrets import redact
from worker.core.target import Target


def identify(began: datetime, target: Target | None) -> RunIdentity:
    """A run of this process, under a name that no other run has."""
    return RunIdentity(
        run=f"{began:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}",
        version=__version__,
        host=socket.gethostname(),
        pid=os.getpid(),
        target="" if target is None else str(target),
        began=began,
    )


def command_line(arguments: Sequence[str]) -> str:
    """What a shell takes, without any secret: quoting would rewrite one so that none finds it."""
    return shlex.join(redact(text) for text in ("complete-sessions", *arguments))
