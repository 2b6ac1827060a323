"""`python -m tests.proofs.mutants`: applies each mutant to a copy, and says who noticed it."""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from tests.proofs.mutants.catalogue import MUTANTS
from tests.proofs.mutants.mutant import Mutant

_ROOT: Final = Path(__file__).parents[3]
_DIRECTORIES: Final = ("worker", "tests", "config")
_FILES: Final = ("pyproject.toml", "README.md", "Makefile", "CHANGELOG.md")
_MOST_CPU_S: Final = 300
"""A run that goes round and round is ended; one that only waits is ended by its test's timeout."""

_NOBODY: Final = "nobody"
_NOBODY_ASKED: Final = "nobody: its text is not in the file any more"


def main() -> int:
    arguments = _parse()
    chosen = [one for one in MUTANTS if arguments.only in one.name or arguments.only in one.file]
    with tempfile.TemporaryDirectory() as directory:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(arguments.jobs):
            copies.put(_copy(Path(directory) / str(number)))
        with ThreadPoolExecutor(arguments.jobs) as pool:
            missed = sum(pool.map(lambda one: _tell(one, copies), chosen))
    sys.stdout.write(f"{missed} of {len(chosen)} were missed\n")
    return min(missed, 1)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.mutants", description=__doc__)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at a time")
    parser.add_argument("--only", default="", help="those with this in their names or files")
    return parser.parse_args()


def _tell(mutant: Mutant, copies: SimpleQueue[Path]) -> bool:
    """Try one mutant; whether it was missed."""
    began = time.monotonic()
    copy = copies.get()
    try:
        noticed_by = _try(mutant, copy)
    finally:
        copies.put(copy)
    is_missed = noticed_by.startswith(_NOBODY) and mutant.equivalent is None
    excuse = f" (equivalent: {mutant.equivalent})" if mutant.equivalent is not None else ""
    took_s = time.monotonic() - began
    sys.stdout.write(f"{mutant.name}: noticed by {noticed_by}{excuse}, {took_s:.0f} s\n")
    sys.stdout.flush()
    return is_missed


def _copy(directory: Path) -> Path:
    for name in _DIRECTORIES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(_ROOT / name, directory / name, ignore=ignored)
    for name in _FILES:
        shutil.copy(_ROOT / name, directory)
    return directory


def _try(mutant: Mutant, copy: Path) -> str:
    """Who noticed the mutant."""
    with _applied(mutant, copy / mutant.file) as is_applied:
        if not is_applied:
            return _NOBODY_ASKED
        for tests in (mutant.simulation, mutant.tests):
            failed = _failing(tests, copy)
            if failed is not None:
                return failed
    return _NOBODY


@contextmanager
def _applied(mutant: Mutant, file: Path) -> Iterator[bool]:
    """Within, the mutant is applied; False where its text does not stand in the file just once."""
    text = file.read_text()
    is_there = text.count(mutant.old) == 1
    if is_there:
        file.write_text(text.replace(mutant.old, mutant.new))
    try:
        yield is_there
    finally:
        file.write_text(text)


def _failing(tests: tuple[str, ...], copy: Path) -> str | None:
    """The first test that fails; None where all pass."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider"]
    ended = subprocess.run(
        [*command, *tests],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=_bound,
        check=False,
    )
    if ended.returncode == 0:
        return None
    lines = [line for line in ended.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return lines[0].split(" - ")[0] if lines else f"an end with {ended.returncode}"


def _bound() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (_MOST_CPU_S, _MOST_CPU_S))


if __name__ == "__main__":
    sys.exit(main())
