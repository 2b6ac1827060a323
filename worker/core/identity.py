"""Which run this is, and where: what tells its log and its account from those of others."""

from __future__ import annotations

from datetime import datetime

import msgspec


class RunIdentity(msgspec.Struct, frozen=True):
    """`target` is a `worker.core.target.Target` as text; `began` is in UTC."""

    run: str
    version: str
    host: str
    pid: int
    target: str
    began: datetime
