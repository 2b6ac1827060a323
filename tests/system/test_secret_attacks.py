"""The key in every place of every command that takes a text: nothing that comes out of it holds it.

The commands and their options are asked of the program itself, so that new ones are attacked too.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import click
import pytest

from tests.support.program import environment, in_this_process, started
from tests.support.raw_server import Request, Sent, response
from tests.support.redis_server import needs_redis, redis_server
from tests.support.run_harness import FAST, ids
from tests.support.serving import Serving
from worker.cli import group

KEY = "live_R2tWdU1SSk5Z3F4f3a9"
PARTS = (KEY, KEY.upper(), KEY[5:17], KEY[-12:], quote(KEY, safe="")[6:])
(GOOD,) = ids(1)


def commands(
    of: click.Command = group, names: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(of, click.Group):
        yield names, of
        return
    context = click.Context(of)
    for name in of.list_commands(context):
        command = of.get_command(context, name)
        assert command is not None
        yield from commands(command, (*names, name))


COMMANDS = dict(commands())

ARGUMENTS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("run",): ("backlog.txt", "-v"),
    ("check",): ("backlog.txt",),
    ("report",): ("log.jsonl",),
    ("ids",): ("log.jsonl",),
    ("audit",): ("log.jsonl",),
    ("enqueue",): ("backlog.txt", "--queue", "june"),
    ("queue", "status"): ("--queue", "june"),
    ("queue", "results"): ("--queue", "june"),
    ("queue", "drop"): ("--queue", "gone"),
}
"""What a command needs, to come as far as it can."""

ALSO = {
    ("run",): (("--dry-run",), ("--print-settings",), ("--log-format", "console")),
    ("report",): (("--json",), ("--html", "page.html"), ("--id", KEY), ("--id", KEY, "--json")),
    ("ids",): (("--outcome", "processing"),),
    ("find",): (("--json",),),
    ("queue", "status"): (("--json",),),
}
"""Ways to use a command besides."""


def api(request: Request) -> Sent:
    """Says the key back in what it takes and in what it refuses."""
    said = request.headers.get("authorization", "")
    if request.method == "POST":
        body = {"status": "processing", "note": said}
        return Sent(response(json.dumps(body).encode()))
    if "?" not in request.path:
        body = {"type": said, "message": f"bad {said}", "param": said}
        return Sent(response(json.dumps(body).encode(), status="400 No"))
    session = {"id": GOOD, "status": "started", "createdAt": "2026-01-01T00:00:00Z", "note": said}
    listed = {"items": [session], "totalItems": 1, "pages": 1, "page": 1, "pageSize": 1}
    return Sent(response(json.dumps(listed).encode()))


def record(session_id: str, message: str) -> str:
    fields = {
        "id": session_id,
        "outcome": "failed",
        "session_status": message,
        "http_status": 400,
        "error": {"type": message, "message": f"x {message}", "param": message},
        "attempts": 1,
        "via": "complete",
        "latency_ms": 1.0,
        "elapsed_ms": 1.0,
        "at": "2026-01-01T00:00:00.000Z",
        "run": f"20260101T000000Z-{message[-4:]}",
        "line": 1,
        "target": f"https://api.complycube.com/v1 live {message}",
    }
    return json.dumps(fields)


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in which each file that a command may read holds the key."""
    place = tmp_path / "here"
    (place / KEY).mkdir(parents=True)
    monkeypatch.chdir(place)
    lines = f"{GOOD}\n{KEY}\nx{KEY}x\nkey={KEY}\n"
    (place / "backlog.txt").write_text(lines)
    (place / KEY / "there").write_text(lines)
    (place / "log.jsonl").write_text(f"{record(GOOD, KEY)}\n{record(KEY, KEY)}\n{KEY}\n")
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "key").chmod(0o600)
    return place


@pytest.fixture(scope="module")
def serving() -> Iterator[str]:
    with Serving(api) as server:
        yield server.url


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


def attacks(names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Command lines with the key in them."""
    base = ARGUMENTS.get(names, ())
    texts = [KEY, f"/nowhere/{KEY}/x", f"http://u:{KEY}@127.0.0.1:9/{KEY}"]
    if names != ("sandbox",):
        # That one would serve until it is stopped.
        texts.append(f"{KEY}/there")
    yield base
    for more in ALSO.get(names, ()):
        yield (*base, *more)
    yield (*base, f"--no-such-{KEY}")
    for parameter in COMMANDS[names].params:
        for text in texts:
            if isinstance(parameter, click.Argument):
                yield (text, *base[1:])
            elif not getattr(parameter, "is_flag", False):
                yield (*base, parameter.opts[0], text)


def written(place: Path) -> dict[str, str]:
    """What the commands have written by now."""
    planted = {"backlog.txt", "log.jsonl", "there"}
    files = (path for path in place.rglob("*") if path.is_file() and path.name not in planted)
    return {path.name: path.read_text(errors="replace") for path in files}


def leaks(shown: dict[str, str]) -> list[str]:
    """Where the key, or a good part of it, is to be found."""
    return [name for name, text in shown.items() if any(part in text for part in PARTS)]


def test_what_is_attacked_is_what_there_is() -> None:
    assert ARGUMENTS.keys() | ALSO.keys() <= COMMANDS.keys()


@needs_redis
@pytest.mark.parametrize("from_file", [False, True], ids=["environment", "file"])
@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_no_command_lets_the_key_out(
    names: tuple[str, ...],
    from_file: bool,
    planted: Path,
    serving: str,
    redis: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for path, text in FAST.items():
        monkeypatch.setenv(f"WORKER_{path.replace('.', '_').upper()}", text)
    monkeypatch.setenv("WORKER_API_BASE_URL", serving)
    monkeypatch.setenv("WORKER_STOP_PATIENCE", "10ms")
    monkeypatch.setenv("HTTPS_PROXY", f"http://{KEY}:{KEY}@127.0.0.1:9")
    if names[0] in ("enqueue", "queue"):
        monkeypatch.setenv("WORKER_SHARED_URL", redis)
    if from_file:
        monkeypatch.setenv("WORKER_API_KEY_FILE", str(planted.parent / "key"))
    else:
        monkeypatch.setenv("COMPLYCUBE_API_KEY", KEY)
    for arguments in attacks(names):
        done = in_this_process(*names, *arguments, monkeypatch=monkeypatch, capfd=capfd)
        shown = {"stdout": done.out, "stderr": done.err} | written(planted)
        assert leaks(shown) == [], arguments


async def test_the_sandbox_does_not_let_the_key_out_while_it_serves(planted: Path) -> None:
    (planted / KEY / "there").write_text(f"{GOOD}\n")
    arguments = ("sandbox", "--port", "0", "--sessions", f"{KEY}/there")
    env = environment() | {"COMPLYCUBE_API_KEY": KEY, "HTTPS_PROXY": f"http://:{KEY}@127.0.0.1:9"}
    async with started(*arguments, env=env, cwd=planted) as process:
        await process.says("curl")
        process.signal(signal.SIGTERM)
        done = await process.ends()
    assert done.code == 0
    assert leaks({"stdout": done.out, "stderr": done.err}) == []
