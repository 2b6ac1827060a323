"""What the commands that only read the API have in common: their settings, and the key."""

from __future__ import annotations

import os
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


def load_access(values: dict[str, Any], config: Path | None) -> tuple[Settings, ApiKey]:
    """The settings and the key; what is unwise about them is said on stderr. Raises UsageError."""
    loaded = load(flags=given_flags(values), environ=os.environ, config=config)
    key = load_key(loaded.settings, os.environ)
    for warning in (*key.warnings, *warnings(loaded)):
        say(warning, err=True)
    return loaded.settings, key
