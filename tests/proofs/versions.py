"""Run the tests with the oldest and the newest versions allowed, on every Python that is here.

`python -m tests.proofs.versions --uv .uv/bin/uv` is `make test-versions`. Each combination has an
environment of its own in `.versions`, made anew; this program itself needs nothing but Python.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
PLACE: Final = ROOT / ".versions"
OLDEST: Final = (3, 11)
RESOLUTIONS: Final = {"lowest": "lowest-direct", "newest": "highest"}
"""What is allowed is written in pyproject.toml; uv chooses within that, as it names the choices."""

_TELL_VERSION: Final = (
    "import sys, ensurepip, venv;"
    "print(sys.implementation.name, *sys.version_info[:3], int(sys.version_info[3] == 'final'))"
)
_LONGEST_S: Final = 1200


class Python(NamedTuple):
    """An interpreter; `version` is (3, 11, 7)."""

    version: tuple[int, int, int]
    path: Path

    @property
    def minor(self) -> str:
        return f"{self.version[0]}.{self.version[1]}"

    def __str__(self) -> str:
        return ".".join(map(str, self.version))


def pythons() -> list[Python]:
    """The newest release of each minor version of CPython that is new enough, oldest first."""
    newest: dict[str, Python] = {}
    for python in sorted(filter(None, map(_probe, dict.fromkeys(_candidates())))):
        newest[python.minor] = python
    return list(newest.values())


def _candidates() -> Iterator[Path]:
    """What may be an interpreter: on the PATH, and where pyenv and uv install them."""
    home = Path.home()
    yield Path(sys.executable)
    for folder in os.get_exec_path():
        yield from Path(folder).glob("python3.[0-9]*[0-9]")
    yield from Path(os.environ.get("PYENV_ROOT", home / ".pyenv")).glob("versions/*/bin/python3")
    yield from (home / ".local/share/uv/python").glob("cpython-*/bin/python3")


def _probe(path: Path) -> Python | None:
    """The interpreter at `path`; None where there is none that the tests could run with."""
    try:
        done = subprocess.run(
            [str(path), "-c", _TELL_VERSION], capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return None
    name, *numbers = done.stdout.split()
    major, minor, patch, is_final = map(int, numbers)
    if name != "cpython" or not is_final or (major, minor) < OLDEST:
        return None
    return Python((major, minor, patch), path)


def environment(uv: str, python: Python, choice: str) -> Path:
    """A new environment with all that the tests need; returns its interpreter."""
    place = PLACE / f"{python.minor}-{choice}"
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(exist_ok=True)
    own = place / "bin/python"
    chosen = place / "requirements.txt"
    install = (uv, "pip", "install", "--quiet", "--no-config", "--python", str(own), "--no-deps")
    _call(uv, "venv", "--quiet", "--no-config", "--seed", "--python", str(python.path), str(place))
    _call(
        *(uv, "pip", "compile", "pyproject.toml", "--quiet", "--no-config", "--all-extras"),
        *("--group", "dev", "--resolution", RESOLUTIONS[choice], "--python", str(own)),
        *("--no-header", "--no-annotate", "--output-file", str(chosen)),
    )
    _call(*install, "--requirement", str(chosen))
    _call(*install, "--no-build-isolation", "--editable", ".")
    return own


def _call(*command: str) -> None:
    subprocess.run(command, cwd=ROOT, check=True)


def run_tests(python: Path) -> tuple[bool, str]:
    """Whether all passed, and how pytest sums it up; what failed is printed."""
    command = [str(python), "-m", "pytest", "-q", "--color=no"]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=_LONGEST_S
        )
    except subprocess.TimeoutExpired:
        return False, f"not done after {_LONGEST_S} s"
    if done.returncode != 0:
        _tell(done.stdout[-20_000:] + done.stderr[-2_000:])
    summary = re.findall(r"^=*\s*(\d+ \w+.* in [\d.]+s.*?)\s*=*$", done.stdout, re.MULTILINE)
    return done.returncode == 0, summary[-1] if summary else "no tests ran"


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uv", default="uv", help="The program uv.")
    parser.add_argument("--only", default="", help="Such as 3.12, lowest or 3.12-lowest.")
    options = parser.parse_args()
    all_passed = True
    for python in pythons():
        for choice in RESOLUTIONS:
            if options.only not in f"{python.minor}-{choice}":
                continue
            passed, summary = run_tests(environment(options.uv, python, choice))
            all_passed = all_passed and passed
            _tell(f"Python {python}, {choice} versions: {summary}")
    return not all_passed


if __name__ == "__main__":
    sys.exit(main())
