"""What the shells make of a press of the TAB key."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete

from worker.cli import group
from worker.core.errors import ExitCode
from worker.core.explanations import ERROR_TYPES
from worker.settings import OPTIONS, Option

PATIENCE_S = 30.0
KILL_LINE = "\x15"
INTERACTIVE = {
    "bash": ("bash", "--norc", "--noprofile", "-i"),
    "zsh": ("zsh", "-f", "-i"),
}
PREPARE = {"bash": "", "zsh": "autoload -Uz compinit && compinit -u -D; "}
TYPED = [
    ("expl", "explain"),
    ("run --on-amb", "run --on-ambiguous"),
    ("run --on-ambiguous res", "run --on-ambiguous resend"),
    ("run backl", "run backlog.txt"),
    ("run --results backl", "run --results backlog.txt"),
    ("ids --outcome not", "ids --outcome not_found"),
]
"""What stands there before TAB, and after."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory with a source in it, and the program in its bin."""
    (tmp_path / "backlog.txt").touch()
    program = tmp_path / "bin" / "complete-sessions"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m worker "$@"\n')
    program.chmod(0o755)
    return tmp_path


def environment(home: Path) -> dict[str, str]:
    path = f"{home / 'bin'}:{os.environ['PATH']}"
    source = str(Path(__file__).parents[3])
    return os.environ | {"PATH": path, "HOME": str(home), "PYTHONPATH": source, "TERM": "dumb"}


def skip_without(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")


class Terminal:
    """The keyboard and the screen of a program, as bytes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._screen = b""

    def press(self, keys: str) -> None:
        self._screen = b""
        os.write(self._descriptor, keys.encode())

    def wait_for(self, text: str) -> None:
        ends_at = time.monotonic() + PATIENCE_S
        while text.encode() not in self._screen:
            assert time.monotonic() < ends_at, f"{text!r} is not in {self._screen!r}"
            if select.select([self._descriptor], [], [], 1.0)[0]:
                self._screen += os.read(self._descriptor, 4096)


@contextmanager
def shell_with_completion(shell: str, home: Path) -> Iterator[Terminal]:
    keyboard, line = os.openpty()
    with subprocess.Popen(
        INTERACTIVE[shell],
        stdin=line,
        stdout=line,
        stderr=line,
        env=environment(home),
        cwd=home,
        start_new_session=True,
    ) as process:
        os.close(line)
        try:
            terminal = Terminal(keyboard)
            script = f'eval "$(complete-sessions completion {shell})"'
            # The sum, so that the echo of what is typed is not taken for the answer.
            terminal.press(f"{PREPARE[shell]}{script}; echo ready $((6 * 7))\n")
            terminal.wait_for("ready 42")
            yield terminal
        finally:
            process.kill()
            os.close(keyboard)


@pytest.mark.parametrize("shell", INTERACTIVE)
def test_tab_completes_commands_options_choices_and_files(shell: str, home: Path) -> None:
    skip_without(shell)
    with shell_with_completion(shell, home) as terminal:
        for before, after in TYPED:
            terminal.press(f"complete-sessions {before}\t")
            terminal.wait_for(f"complete-sessions {after} ")
            terminal.press(KILL_LINE)


@pytest.mark.parametrize(("before", "after"), TYPED)
def test_fish_completes_too(before: str, after: str, home: Path) -> None:
    skip_without("fish")
    script = "source (complete-sessions completion fish | psub); complete -C $argv[1]"
    command = ["fish", "--no-config", "-c", script, f"complete-sessions {before}"]
    ended = subprocess.run(
        command, env=environment(home), cwd=home, capture_output=True, text=True, check=True
    )
    assert ended.stdout.split("\t")[0].strip() == after.rsplit(maxsplit=1)[-1]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("explain 3", "3\tStopped: the API refuses the key or the account (401, 402, 403), a"),
        ("chec", "check\tTry the settings, the key, the API and the files of a run"),
        ("run --format=cs", "--format=csv"),
    ],
)
def test_fish_shows_whole_descriptions_and_completes_behind_a_sign(
    typed: str, offered: str, home: Path
) -> None:
    skip_without("fish")
    script = "source (complete-sessions completion fish | psub); complete -C $argv[1]"
    command = ["fish", "--no-config", "-c", script, f"complete-sessions {typed}"]
    ended = subprocess.run(
        command, env=environment(home), cwd=home, capture_output=True, text=True, check=True
    )
    assert ended.stdout.startswith(offered)


def completions(monkeypatch: pytest.MonkeyPatch, line: str) -> list[tuple[str, str]]:
    """The type and value of each answer, where the last word of `line` is being typed."""
    words = line.split(" ")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    answer = BashComplete(group, {}, "complete-sessions", "_COMPLETE_SESSIONS_COMPLETE").complete()
    return [(kind, value) for kind, _, value in (one.partition(",") for one in answer.splitlines())]


def test_commands_are_completed_without_importing_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(type(group), "get_command", refuse)
    names = group.list_commands(click.Context(group))
    assert completions(monkeypatch, "complete-sessions ") == [("plain", name) for name in names]


@pytest.mark.parametrize("option", [one for one in OPTIONS if one.choices and one.flag])
def test_every_choice_of_a_setting_is_offered(
    monkeypatch: pytest.MonkeyPatch, option: Option
) -> None:
    offered = completions(monkeypatch, f"complete-sessions run {option.flag} ")
    assert offered == [("plain", choice) for choice in option.choices]


@pytest.mark.parametrize(
    "line",
    [
        *(f"run {one.flag} " for one in OPTIONS if one.flag and one.metavar == "FILE"),
        "run ",
        "check ",
        "report ",
        "ids ",
        "sandbox --sessions ",
    ],
)
def test_files_are_left_to_the_shell(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    assert completions(monkeypatch, f"complete-sessions {line}") == [("file", "")]


@pytest.mark.parametrize("line", ["explain ", "ids --error-type "])
def test_error_types_are_offered(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    offered = {value for _, value in completions(monkeypatch, f"complete-sessions {line}")}
    assert offered >= set(ERROR_TYPES)


def test_exit_codes_are_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = {value for _, value in completions(monkeypatch, "complete-sessions explain ")}
    assert offered >= {str(int(code)) for code in ExitCode}
