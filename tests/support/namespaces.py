"""Processes that have mounts and process numbers of their own, where the system grants such."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

MOUNTS: Final = ("unshare", "--user", "--map-root-user", "--mount")
PROCESSES: Final = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")


@cache
def is_granted(namespace: tuple[str, ...]) -> bool:
    """Whether a command can be run behind these words; within a container often not."""
    if shutil.which(namespace[0]) is None:
        return False
    return subprocess.run([*namespace, "true"], check=False, capture_output=True).returncode == 0


def child_of(pid: int) -> int:
    """The one child of a process, by its number outside of its namespace."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
