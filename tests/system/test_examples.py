"""The examples in config/: every command line is one, and the nightly ones run."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from tests.support.examples import CONFIG, ROOT, moved_to, text_of
from worker.cli import group
from worker.cli.options import given_flags
from worker.core.errors import ExitCode
from worker.sandbox.config import SandboxConfig
from worker.sandbox.server import Sandbox
from worker.settings import OPTIONS, load

FILLED = {"%d": "/run/credentials", "{{ $value }}": "4", "$1": "backlog.results.jsonl"}
NAMES = {option.name for option in OPTIONS}


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Each command line of each example, without the program's name."""
    commands = "|".join(group.list_commands(click.Context(group)))
    for path in sorted(CONFIG.iterdir()):
        if not path.is_file() or path.suffix in (".py", ".txt", ".json"):
            continue
        for line in re.findall(
            rf"complete-sessions ((?:{commands})\b[^`|)\n]*)", text_of(path.name)
        ):
            filled = re.sub("|".join(map(re.escape, FILLED)), lambda found: FILLED[found[0]], line)
            yield path.name, shlex.split(filled)
    yield "kubernetes-cronjob.yaml", kubernetes_arguments()


def kubernetes_arguments() -> list[str]:
    *_, job = yaml.safe_load_all((CONFIG / "kubernetes-cronjob.yaml").read_text())
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    arguments: list[str] = pod["containers"][0]["args"]
    return arguments


@pytest.mark.parametrize(("name", "arguments"), list(command_lines()))
def test_every_command_line_is_one(name: str, arguments: list[str]) -> None:
    command = group.get_command(click.Context(group), arguments[0])
    assert command is not None
    given = command.make_context(arguments[0], arguments[1:]).params
    if arguments[0] == "run":
        flags = given_flags({name: value for name, value in given.items() if name in NAMES})
        load(flags=flags, environ={}, cwd=Path("/"))


def test_the_examples_with_command_lines_are_found() -> None:
    assert {name for name, _ in command_lines()} >= {
        "Containerfile",
        "alerts.yaml",
        "complete-sessions.service",
        "crontab",
        "kubernetes-cronjob.yaml",
        "logrotate.conf",
        "worker.yaml",
    }


@pytest.mark.parametrize("path", sorted(CONFIG.iterdir()), ids=lambda path: path.name)
def test_every_example_ends_with_a_newline_and_speaks_of_no_key(path: Path) -> None:
    if path.is_file():
        text = path.read_text(encoding="utf-8")
        assert text.endswith("\n")
        assert not re.search(r"\b(live|test)_[A-Za-z0-9]{12}", text)


def test_the_container_is_given_a_directory_made_for_it() -> None:
    """With U it becomes another user's, whatever stands in it."""
    text = text_of("Containerfile")
    volume = re.search(r"--volume (\S+):/data:U", text)
    assert volume
    assert f"mkdir {volume[1]} " in text


def crontab_entries() -> list[tuple[list[str], str]]:
    """The five fields of the time, and the command, of each entry."""
    lines = [line for line in text_of("crontab").splitlines() if re.match(r"[0-9*]", line)]
    return [(fields[:5], fields[5]) for line in lines if (fields := line.split(maxsplit=5))]


@pytest.mark.parametrize(("time", "command"), crontab_entries())
def test_crontab_entries_are_such(time: list[str], command: str) -> None:
    assert all(re.fullmatch(r"[0-9*/,-]+", field) for field in time)
    assert "%" not in command, "cron cuts a command there"
    words = shlex.split(command)
    assert all(word.startswith("/") for word in words if "/" in word or "." in word)


def nightly_lines() -> dict[str, str]:
    service = re.search(r"^ExecStart=(.*)$", text_of("complete-sessions.service"), re.MULTILINE)
    assert service
    key = "/etc/complete-sessions/api-key"
    return {
        "cron": crontab_entries()[0][1],
        "systemd": service[1].replace("%d/api-key", key),
    }


async def nightly(line: str, home: Path, ids: str) -> tuple[int, str]:
    """The exit code of a night, and what it said."""
    (home / "backlog.txt").write_text(ids)
    async with Sandbox(SandboxConfig(any_id=True, limit=0)) as sandbox:
        process = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            moved_to(home, line),
            cwd=home,
            # As cron has it: next to nothing.
            env={
                "PATH": "/usr/bin:/bin",
                "WORKER_API_BASE_URL": sandbox.url,
                "WORKER_PACE_RATE": "500",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        shown, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, shown.decode()


@pytest.mark.parametrize("name", nightly_lines())
async def test_the_nightly_line_completes_its_backlog(name: str, tmp_path: Path) -> None:
    code, shown = await nightly(nightly_lines()[name], tmp_path, "a\nb\nc\n")
    assert code == ExitCode.OK, shown
    assert (tmp_path / "backlog.results.jsonl").read_text().count("processing") >= 3


async def test_cron_has_nothing_to_mail_when_all_is_well(tmp_path: Path) -> None:
    assert await nightly(nightly_lines()["cron"], tmp_path, "a\nb\n") == (ExitCode.OK, "")


@pytest.mark.parametrize("log_format", ["auto", "console"])
async def test_cron_has_nothing_to_mail_when_the_night_is_over(
    tmp_path: Path, log_format: str
) -> None:
    line = f"{nightly_lines()['cron']} --limit 1 --log-format {log_format}"
    assert await nightly(line, tmp_path, "a\nb\n") == (ExitCode.STOPPED, "")


async def test_cron_mails_what_failed(tmp_path: Path) -> None:
    code, shown = await nightly(nightly_lines()["cron"], tmp_path, "a\nno id!\n")
    assert code == ExitCode.SOME_FAILED
    assert "no id!" in shown


async def test_the_service_leaves_metrics(tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client")
    await nightly(nightly_lines()["systemd"], tmp_path, "a\n")
    metrics = (tmp_path / "complete-sessions.prom").read_text()
    assert "complete_sessions_exit_code 0.0" in metrics


def container_instructions() -> list[tuple[str, str]]:
    lines = text_of("Containerfile").splitlines()
    words = [line.partition(" ") for line in lines if re.match(r"[A-Z]+ ", line)]
    return [(name, rest) for name, _, rest in words]


def test_what_the_image_is_made_of_is_there() -> None:
    copied = [
        word
        for name, rest in container_instructions()
        if name == "COPY" and not rest.startswith("--from")
        for word in rest.split()[:-1]
    ]
    assert {"worker", "requirements.lock", "pyproject.toml"} <= set(copied)
    assert [word for word in copied if not (ROOT / word).exists()] == []


def test_the_image_holds_what_the_project_declares() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (extras,) = re.findall(r"'\.\[([a-z,]+)\]'", text_of("Containerfile"))
    assert set(extras.split(",")) == set(project["optional-dependencies"])
    assert {project["readme"], *project["license-files"]} <= set(text_of("Containerfile").split())
    last = dict(container_instructions())
    assert last["ENTRYPOINT"] == '["tini", "--", "complete-sessions"]'
    assert "install --yes --no-install-recommends tini" in text_of("Containerfile")
    assert "complete-sessions" in project["scripts"]
    assert "--require-hashes" in text_of("Containerfile")


def test_the_image_does_not_run_as_root() -> None:
    user = dict(container_instructions())["USER"]
    assert all(part.isdigit() and part != "0" for part in user.split(":"))
