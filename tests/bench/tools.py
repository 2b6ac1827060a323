"""The programs of others: found, installed where that is possible, or named as missing."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Sequence

PACKAGES = {"nginx": "nginx", "curl": "curl", "parallel": "parallel", "xargs": "findutils"}
_EXTRA_PATH = "/usr/sbin:/sbin"
_INSTALL_S = 300


def find(program: str) -> str | None:
    path = os.environ.get("PATH", os.defpath)
    return shutil.which(program, path=f"{path}:{_EXTRA_PATH}")


def install_missing() -> str:
    """Install what is missing, through apt where it is at hand; says what was done, or why not."""
    missing = [program for program in PACKAGES if find(program) is None]
    if not missing:
        return ""
    named = ", ".join(missing)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return f"Not here, and not installed without apt-get and root: {named}"
    packages = [PACKAGES[program] for program in missing]
    for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        if not _apt(command):
            return f"apt-get {command[0]} failed; missing: {named}"
    return f"Installed: {named}"


def _apt(arguments: Sequence[str]) -> bool:
    # At runlevel 1 no package starts its service: an nginx of the system's is not wanted.
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    try:
        done = subprocess.run(
            ["apt-get", "-qq", *arguments],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_INSTALL_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def why_missing(needs: Sequence[str]) -> str:
    """Why a contender cannot take part; empty where it can. `python:NAME` is a module."""
    for need in needs:
        kind, _, module = need.partition(":")
        if module and importlib.util.find_spec(module) is None:
            return f"the module {module} is not installed"
        if not module and find(kind) is None:
            return f"{kind} is not installed"
    return ""
