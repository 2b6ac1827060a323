"""`python -m tests.proofs.mutants`: applies each mutant to a copy, and says what noticed it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.proofs.mutants.catalogue import MUTANTS, Mutant

_ROOT: Final = Path(__file__).parents[3]
_SIMULATION: Final = "tests/proofs/simulation"
_LONGEST_S: Final = 240.0
_NOBODY: Final = "nobody"
_NOBODY_ASKED: Final = "nobody: its text is not in the file any more"


def main() -> int:
    missed = 0
    for mutant in MUTANTS:
        noticed_by = _try(mutant)
        missed += noticed_by.startswith(_NOBODY)
        sys.stdout.write(f"{mutant.name}: noticed by {noticed_by}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{len(MUTANTS) - missed} of {len(MUTANTS)} were noticed\n")
    return min(missed, 1)


def _try(mutant: Mutant) -> str:
    """What noticed the mutant."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory)
        for name in ("worker", "tests", "config"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(_ROOT / name, copy / name, ignore=ignored)
        for name in ("pyproject.toml", "README.md", "Makefile", "CHANGELOG.md"):
            shutil.copy(_ROOT / name, copy)
        if not _applies(mutant, copy / mutant.file):
            return _NOBODY_ASKED
        if not _passes(_SIMULATION, copy):
            return "the simulation"
        return _NOBODY if _passes(mutant.tests, copy) else mutant.tests


def _applies(mutant: Mutant, file: Path) -> bool:
    """Apply the mutant; False where its text does not stand in the file exactly once."""
    text = file.read_text()
    if text.count(mutant.old) != 1:
        return False
    file.write_text(text.replace(mutant.old, mutant.new))
    return True


def _passes(tests: str, copy: Path) -> bool:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider"]
    try:
        ended = subprocess.run(
            [*command, tests],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            timeout=_LONGEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return ended.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
