"""What the tests of the examples in config/ share."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config"
INSTALLED = "/opt/complete-sessions/bin/complete-sessions"
STATE = "/var/lib/complete-sessions"
METRICS_FILE = "/var/lib/prometheus/node-exporter/complete-sessions.prom"


def text_of(name: str) -> str:
    """An example with its continued lines joined."""
    return re.sub(r"\s*\\\n[#\s]*", " ", (CONFIG / name).read_text(encoding="utf-8"))


def need(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


def program_in(home: Path) -> Path:
    """The command as a program of its own."""
    program = home / "bin" / "complete-sessions"
    program.parent.mkdir(exist_ok=True)
    script = f'export PYTHONPATH={ROOT}\nexec {sys.executable} -m worker "$@"\n'
    program.write_text(f"#!/bin/sh\n{script}")
    program.chmod(0o755)
    return program


def moved_to(home: Path, text: str) -> str:
    """An example with the paths of an installation replaced by such in `home`, key included."""
    key = home / "api-key"
    key.write_text("test_R2tWdU1SSk5pZ3F4f3a9\n")
    key.chmod(0o600)
    places = {
        INSTALLED: program_in(home),
        METRICS_FILE.replace(".prom", "-%i.prom"): home / "complete-sessions-%i.prom",
        METRICS_FILE: home / "complete-sessions.prom",
        STATE: home,
        "/etc/complete-sessions/api-key": key,
        "/etc/complete-sessions/redis.env": home / "redis.env",
    }
    for path, place in places.items():
        text = text.replace(path, str(place))
    return text
