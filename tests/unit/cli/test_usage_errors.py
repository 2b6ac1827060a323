"""What a mistake on the command line is answered with: one line, the remedy in it, and 2."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.program import in_this_process
from worker.cli import main
from worker.core import errors
from worker.core.errors import ExitCode, WorkerError

Ask = Callable[[str], str]

KEY = "live_R2tWdU1SSk5pZ3F4f3a9"


@pytest.fixture
def answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Ask:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "backlog.txt").write_text("a\n")
    (tmp_path / "night.jsonl").write_text("")

    def ask(line: str) -> str:
        monkeypatch.setattr(sys, "argv", ["complete-sessions", *line.split()])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == ExitCode.USAGE
        shown = capsys.readouterr()
        assert shown.out == ""
        return shown.err

    return ask


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("run backlog.txt --rat 5", "there is no option --rat. Did you mean --rate?"),
        ("run backlog.txt --max-atempts 3", "Did you mean --max-attempts?"),
        ("run backlog.txt --metric-file x", "Did you mean --metrics-file?"),
        ("rnu backlog.txt", "Did you mean `complete-sessions run`?"),
        ("reprot night.jsonl", "Did you mean `complete-sessions report`?"),
        ("backlog.txt", "Did you mean `complete-sessions run backlog.txt`?"),
        ("frobnicate", "`complete-sessions --help` lists them"),
        ("x" * 300, "`complete-sessions --help` lists them"),
        ("queue statsu", "no such command 'statsu'. Did you mean status?"),
        ("--verison", "Did you mean --version?"),
        ("--rate 5 run backlog.txt", "Options stand behind a command"),
        ("run backlog.txt -z", "`complete-sessions run --help` lists them"),
        ("run backlog.txt --on-ambiguous resent", "Did you mean resend?"),
        ("run backlog.txt --format cvs", "one of auto, lines, csv, jsonl. Did you mean csv?"),
        ("run backlog.txt --on-ambiguous xyzzy", "it must be one of check, resend, fail"),
        ("run backlog.txt --until 25:00", "it must be a time of day from 00:00 to 23:59"),
        ("run backlog.txt other.txt", "Write `complete-sessions run [OPTIONS] [SOURCE]`"),
        ("run backlog.txt --limit", "'--limit' requires an argument. The command's own --help"),
        ("run backlog.txt --force=yes", "'--force' does not take a value"),
        ("run", "no SOURCE was given. Name a file of ids"),
        ("report", "RESULTS... is missing. Write `complete-sessions report [OPTIONS] RESULTS...`"),
        ("ids night.jsonl --outcome faild", "not one of 'processing', 'not_found', 'failed'"),
        ("sandbox --port abc", "--port is 'abc'; it must be a whole number from 0 to 65535"),
        ("sandbox --seed abc", "`complete-sessions sandbox --help` says what is allowed"),
        ("check --api-key abc", "Did you mean --api-key-file?"),
        ("run backlog.txt -v -q", "-v and -q do not go together. Leave one of them out"),
        ("run backlog.txt --config -", "--config is '-'; it must be the path of a file"),
        ("sandbox --any-id --limit nan", "--limit is 'nan'; it must be a number of 0 or more"),
        ("sandbox --any-id --limit inf", "--limit is 'inf'; it must be a number of 0 or more"),
        ("sandbox --any-id --retry-after a\x07b:c", "--retry-after holds what no header can"),
    ],
)
def test_a_mistake_is_answered_with_its_remedy(answer: Ask, line: str, remedy: str) -> None:
    shown = answer(line)
    assert remedy in shown
    assert shown.startswith("complete-sessions: ")
    assert shown.count("\n") == 1


def test_an_empty_name_is_not_taken_for_standard_input(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    done = in_this_process("run", "", monkeypatch=monkeypatch, capfd=capfd)
    assert done.code == 2
    assert "SOURCE is empty, as where a variable of the shell is not set" in done.err


@pytest.mark.parametrize(
    "line",
    [
        KEY,
        f"run backlog.txt {KEY}",
        f"run backlog.txt --{KEY}",
        f"check --api-key={KEY}",
        f"ids night.jsonl --outcome {KEY}",
        f"run backlog.txt --on-ambiguous {KEY}",
        f"sandbox --port {KEY}",
    ],
)
def test_a_key_in_the_wrong_place_is_not_shown(answer: Ask, line: str) -> None:
    shown = answer(line)
    assert KEY.removeprefix("live_") not in shown
    assert "key" in shown


def raised_errors() -> list[tuple[str, ast.Call]]:
    """Every error of the program's own that its code makes, and where."""
    names = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, WorkerError)
    }
    return [
        (f"{path.name}:{node.lineno}", node)
        for path in Path(errors.__file__).parents[1].rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names
    ]


def test_every_error_says_what_to_do_or_what_must_be() -> None:
    found = raised_errors()
    assert len(found) > 50
    silent = [
        where
        for where, call in found
        if len(call.args) + len(call.keywords) < 2 and " must be " not in ast.unparse(call)
    ]
    assert silent == []
