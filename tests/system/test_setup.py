"""The set-up from a lock: whatever has been published since, it installs what the lock says."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def wheel(index: Path, name: str, version: str, *requires: str, extra: str = "") -> Path:
    """A package without code in the folder that stands for an index."""
    info = f"{name}-{version}.dist-info"
    asked = "".join(f"Requires-Dist: {one}\n" for one in requires)
    offered = f"Provides-Extra: {extra}\n" if extra else ""
    path = index / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"version = {version!r}\n")
        archive.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{offered}{asked}",
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """One package asks for another with an extra, as pytest-cov does for coverage[toml]."""
    folder = tmp_path / "index"
    folder.mkdir()
    pins = [
        wheel(folder, "asking", "1.0", "asked[more]>=1"),
        wheel(folder, "asked", "1.0", extra="more"),
    ]
    lock = [f"{line.name.split('-')[0]}==1.0 --hash=sha256:{digest(line)}\n" for line in pins]
    (tmp_path / "requirements.lock").write_text("".join(lock))
    wheel(folder, "asked", "2.0", extra="more")
    return folder


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a virtual environment, with the pip that this Python brings."""
    place = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    return place / "bin/python"


@pytest.fixture
def environment(interpreter: Path) -> Iterator[Path]:
    yield interpreter
    for installed in interpreter.parents[1].glob("lib/python*/site-packages/ask*"):
        # What pip would take a second for.
        shutil.rmtree(installed) if installed.is_dir() else installed.unlink()


def options_of_the_makefile() -> list[str]:
    """What the Makefile gives to `pip install` before the name of a lock."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = re.search(r"^INSTALL_LOCK = \$\(PIP\) install (.*)$", makefile, re.MULTILINE)
    assert found
    assert makefile.count("$(INSTALL_LOCK) requirements") == 2
    return found[1].split()


def install(python: Path, index: Path, options: list[str]) -> subprocess.CompletedProcess[str]:
    offline = ["--no-index", "--find-links", str(index), "--disable-pip-version-check"]
    lock = str(index.parent / "requirements.lock")
    command = [str(python), "-m", "pip", "install", *offline, *options, lock]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def version_of(python: Path, module: str) -> str:
    command = [str(python), "-c", f"import {module}; print({module}.version)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_newer_release_of_a_locked_package_is_not_taken_and_breaks_nothing(
    index: Path, environment: Path
) -> None:
    done = install(environment, index, options_of_the_makefile())
    assert done.returncode == 0, done.stderr
    assert version_of(environment, "asked") == version_of(environment, "asking") == "1.0"
    subprocess.run([str(environment), "-m", "pip", "check"], check=True, capture_output=True)


def test_a_lock_that_lacks_something_is_found_out(index: Path, environment: Path) -> None:
    lock = index.parent / "requirements.lock"
    lock.write_text(lock.read_text().splitlines()[0] + "\n")
    assert install(environment, index, options_of_the_makefile()).returncode == 0
    check = [str(environment), "-m", "pip", "check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "asked" in done.stdout
    assert "$(PIP) check" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_what_was_published_with_another_content_is_refused(index: Path, environment: Path) -> None:
    (index / "asked-1.0-py3-none-any.whl").unlink()
    wheel(index, "asked", "1.0", "asking", extra="more")
    done = install(environment, index, options_of_the_makefile())
    assert done.returncode != 0
    assert "HASH" in done.stderr.upper()


def test_a_lock_that_is_resolved_again_breaks_with_an_old_pip(
    index: Path, environment: Path
) -> None:
    """Which is why it is not: pip before 24 asks for a hash of the newer release."""
    options = options_of_the_makefile()
    options.remove("--no-deps")
    done = install(environment, index, options)
    asked = [str(environment), "-m", "pip", "--version"]
    pip = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()[1]
    assert (done.returncode != 0) == (int(pip.partition(".")[0]) < 24), done.stderr
