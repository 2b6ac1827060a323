"""What the commands that only read the API have in common: their settings, and the key."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final

from worker.app.process.streams import say
from worker.cli.options import given_flags
from worker.cli.queue_options import warnings
from worker.settings import ApiKey, Settings, load, load_key

ASKING: Final = (
    "api.base_url",
    "api.key_file",
    "pace.rate",
    "stop.patience",
    "shared.url",
    "shared.account",
)
"""The paths of the settings that they take as options."""


class ProgressLine:
    """How far a command is, on one line of a terminal that it is told to; nothing elsewhere."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()

    def show(self, text: str) -> None:
        """Put `text` in place of what stood there."""
        if self._is_shown:
            say(f"\r{text}\x1b[K", err=True, nl=False)

    def clear(self) -> None:
        """Leave nothing of it."""
        self.show("")

    def tell(self, text: str) -> None:
        """Say something that stays, on a line of its own."""
        self.clear()
        say(text, err=True)


def load_access(values: dict[str, Any], config: Path | None) -> tuple[Settings, ApiKey]:
    """The settings and the key; what is unwise about them is said on stderr. Raises UsageError."""
    loaded = load(flags=given_flags(values), environ=os.environ, config=config)
    key = load_key(loaded.settings, os.environ)
    for warning in (*key.warnings, *warnings(loaded)):
        say(warning, err=True)
    return loaded.settings, key
