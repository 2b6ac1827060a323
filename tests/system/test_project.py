"""The files around the package: locks and Makefile."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable

import pytest

from tests.support.examples import INSTALLED, ROOT

LOCKS = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for name in ("requirements.lock", "requirements-dev.lock")
}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
NIGHTLY_TARGETS = ["run", "nightly", "retry-failed", "report"]


def make(*arguments: str) -> str:
    """What make would do, or prints; `-n` and `-p` run nothing."""
    # A make above this one would hand its own flags down; and it need not look for a Python.
    clean = ["env", "-u", "MAKEFLAGS", "-u", "MAKELEVEL", f"PYTHON={sys.executable}"]
    command = [*clean, "make", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def requirement_name(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def locked(lock: str) -> dict[str, str]:
    """Version by name."""
    pins = re.findall(r"^([a-z][a-z0-9.-]*)==(\S+)", lock, re.MULTILINE)
    return {requirement_name(name): version for name, version in pins}


def names_of(requirements: Iterable[str | dict[str, str]]) -> set[str]:
    return {requirement_name(one) for one in requirements if isinstance(one, str)}


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_no_index_and_no_place_on_a_machine(lock: str) -> None:
    anywhere = r"://|^\s*-[-a-z]*(index|find|trusted)|\bfile:| /"
    assert not re.search(anywhere, LOCKS[lock], re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_has_a_hash_for_every_pin(lock: str) -> None:
    entries = re.split(r"^(?=[a-z])", LOCKS[lock], flags=re.MULTILINE)[1:]
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9.-]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry


def test_one_lock_holds_all_that_runs_and_the_other_all_that_work_on_it_needs_too() -> None:
    extras = PROJECT["optional-dependencies"].values()
    runs = names_of([*PROJECT["dependencies"], *(one for extra in extras for one in extra)])
    groups = PYPROJECT["dependency-groups"]
    run_lock, dev_lock = (locked(lock) for lock in LOCKS.values())
    assert runs | names_of(groups["build"]) <= run_lock.keys()
    assert runs | names_of(groups["dev"]) <= dev_lock.keys()
    assert run_lock.items() <= dev_lock.items()


def test_what_runs_is_locked_without_the_tools_for_work_on_it() -> None:
    assert not {"ruff", "mypy", "pytest", "hypothesis"} & locked(LOCKS["requirements.lock"]).keys()


@pytest.mark.parametrize("target", NIGHTLY_TARGETS)
def test_nightly_targets_use_the_given_source_and_log(target: str) -> None:
    recipe = make("-n", target, "SOURCE=june.txt")
    assert '"june.results.jsonl"' in recipe


def test_make_never_treats_a_results_log_as_a_target() -> None:
    database = make("-np", "help", "SOURCE=june.txt")
    targets = re.findall(r"^([^#\s:][^:=]*):(?!=)", database, re.MULTILINE)
    assert "nightly" in targets
    assert not [target for target in targets if "results" in target]


def test_every_make_target_but_the_set_up_is_phony() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):(?!=)", makefile, re.MULTILINE))
    phony = set(re.findall(r"^\.PHONY: ([a-z-]+)$", makefile, re.MULTILINE))
    assert targets == phony


def test_make_alone_lists_every_target() -> None:
    listed = set(re.findall(r"^make ([a-z-]+) ", make(), re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert listed == set(re.findall(r"^\.PHONY: ([a-z-]+)$", makefile, re.MULTILINE))


def test_no_hint_names_a_project_of_a_package_index() -> None:
    """Whoever registers that name there owns all who follow the hint."""
    paths = [ROOT / "README.md", *(ROOT / "config").iterdir(), *(ROOT / "worker").rglob("*.py")]
    hint = re.compile(r"pipx? install [^\n]*?['\" ]complete-sessions\b")
    assert [path for path in paths if path.is_file() and hint.search(path.read_text("utf-8"))] == []


def test_the_readme_crontab_line_names_the_program_by_its_path() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^ {4}\d+ \d+ \* \* \* (.*)$", readme, re.MULTILINE)
    words = command.split()
    assert words[0] == INSTALLED
    assert [word for word in words if "." in word and not word.startswith("/")] == []


def test_the_versions_that_the_readme_says_were_tested_are_those_that_are_allowed() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    said = readme.split("<!-- versions -->")[1].split("<!-- /versions -->")[0]
    oldest = dict(re.findall(r"([a-z-]+)\s([\d.]+)(?=[,)])", said.split("(")[1]))
    allowed = re.findall(r"^([\w-]+)>=([\d.]+)", "\n".join(PROJECT["dependencies"]), re.MULTILINE)
    assert oldest == dict(allowed)
    minors = {each.rsplit(" ", 1)[1] for each in PROJECT["classifiers"] if "Python :: 3." in each}
    assert set(re.findall(r"\b3\.\d+\b", said.split("(")[0])) == minors
