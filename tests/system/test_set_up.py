"""The Makefile's own set-up of .venv, from an index that has newer releases than the lock."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from sys import executable

import pytest

from tests.support.examples import ROOT

BACKEND = """
import base64, hashlib, pathlib, zipfile

def build_editable(directory, config_settings=None, metadata_directory=None):
    name = "project-1-py3-none-any.whl"
    metadata = "Metadata-Version: 2.1\\nName: project\\nVersion: 1\\nRequires-Dist: needs\\n"
    with zipfile.ZipFile(pathlib.Path(directory, name), "w") as wheel:
        wheel.writestr("project-1.dist-info/METADATA", metadata)
        wheel.writestr("project-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr("project-1.dist-info/RECORD", "")
    return name
"""
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "project"
version = "1"
dependencies = ["needs"]
"""


def make_wheel(folder: Path, name: str, version: str, *metadata: str) -> str:
    """A wheel of an empty package in `folder`; returns its SHA-256."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *metadata]
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": "\n".join([*lines, ""]),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in files.items():
            wheel.writestr(file, text)
        record = [f"{file},sha256={_urlsafe(text)},{len(text)}" for file, text in files.items()]
        wheel.writestr(f"{info}/RECORD", "\n".join([*record, f"{info}/RECORD,,", ""]))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _urlsafe(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The real Makefile over a small project; `has` is asked for with an extra, and is newer."""
    index = tmp_path / "index"
    index.mkdir()
    needs = make_wheel(index, "needs", "1.0", "Requires-Dist: has[more]")
    has = make_wheel(index, "has", "1.0", "Provides-Extra: more")
    make_wheel(index, "has", "2.0", "Provides-Extra: more")
    lock = f"needs==1.0 --hash=sha256:{needs}\nhas==1.0 --hash=sha256:{has}\n"
    (tmp_path / "requirements.lock").write_text(lock)
    (tmp_path / "requirements-dev.lock").write_text(lock)
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (tmp_path / "backend.py").write_text(BACKEND)
    shutil.copy(ROOT / "Makefile", tmp_path)
    return tmp_path


def set_up(project: Path, python: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(project / "index")}
    return subprocess.run(
        ["make", ".venv/.installed-dev", f"PYTHON={python}"],
        cwd=project,
        env={**kept, **index, "PIP_CONFIG_FILE": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )


def version_of(project: Path, package: str) -> tuple[int, ...]:
    asked = f"from importlib.metadata import version; print(version({package!r}))"
    python = project / ".venv/bin/python"
    found = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True)
    return tuple(int(part) for part in re.findall(r"\d+", found.stdout))


def pythons() -> Iterator[str]:
    """This Python, and the others of the machine: each brings a pip of its own."""
    yield str(Path(executable).resolve())
    for name in ("python3.11", "python3.12", "python3.13", "python3.14"):
        asked = [name, "-c", "import ensurepip, sys, venv; print(sys.executable)"]
        if shutil.which(name):
            found = subprocess.run(asked, capture_output=True, text=True, check=False)
            if found.returncode == 0:
                yield str(Path(found.stdout.strip()).resolve())


@pytest.mark.timeout(240)
@pytest.mark.parametrize("python", sorted(set(pythons())))
def test_set_up_takes_what_is_locked_whatever_is_published_later(
    project: Path, python: str
) -> None:
    done = set_up(project, python)
    assert done.returncode == 0, done.stderr
    assert version_of(project, "has") == (1, 0)


@pytest.mark.timeout(240)
def test_a_lock_that_is_resolved_again_breaks_with_an_old_pip(project: Path) -> None:
    """Which is why it is not: pip before 24 looks for hashes of the newer release."""
    makefile = (project / "Makefile").read_text()
    locked = "install --no-deps --no-compile --require-hashes"
    assert locked in makefile
    (project / "Makefile").write_text(makefile.replace(locked, "install --require-hashes"))
    done = set_up(project, str(Path(executable).resolve()))
    assert (done.returncode != 0) == (version_of(project, "pip") < (24,)), done.stderr


@pytest.mark.timeout(240)
def test_a_lock_that_lacks_something_is_found_out(project: Path) -> None:
    lock = project / "requirements.lock"
    lock.write_text(lock.read_text().splitlines()[0] + "\n")
    done = set_up(project, str(Path(executable).resolve()))
    assert done.returncode != 0
    assert "make clean" in done.stderr
