"""What `--version` says: enough to tell one installation from another."""

from __future__ import annotations

import platform
import sys

import pytest

from worker import __version__
from worker.cli import main
from worker.cli.version import version_text


def test_version_names_all_that_the_program_runs_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["complete-sessions", "--version"])
    with pytest.raises(SystemExit) as ended:
        main()
    lines = capsys.readouterr().out.splitlines()
    assert ended.value.code == 0
    assert lines[0] == f"complete-sessions, version {__version__}"
    assert lines[1].startswith(f"Python {platform.python_version()}")
    assert [line.split()[0] for line in lines[2:]] == [
        *("platform", "aiohttp", "event", "extra", "extra", "extra", "extra")
    ]


def test_extra_that_is_missing_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.cli.version._EXTRAS", {"speed": ("no-such-package",)})
    assert version_text("x").endswith("extra speed: not installed")
