"""The key is shown nowhere, whatever the server does with it; and nobody forges a line of a log."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.program import Finished, environment, in_this_process, run, started
from tests.support.raw_server import RawServer, Request, Sent, Then, always, response
from tests.support.run_harness import backlog, events_in, ids, records_in, results, sessions
from tests.support.sandbox_caller import until
from worker.app.identity import command_line
from worker.core.secrets import learn_address
from worker.sandbox.faults import FaultKind, parse_faults
from worker.sandbox.server import Sandbox

KEY = "live_R2tW/dU1SSk5+Z3F4==f3a9"
WITH_KEY = environment(RETRY_MAX_ATTEMPTS="2", STOP_PATIENCE="2s") | {"COMPLYCUBE_API_KEY": KEY}


def leaks(directory: Path, done: Finished) -> list[str]:
    """Where the key, or a good part of it, is to be found."""
    texts = {str(path): path.read_text() for path in directory.rglob("*") if path.is_file()}
    texts |= {"stdout": done.out, "stderr": done.err}
    parts = (KEY, KEY.replace("/", "\\/"), KEY[5:17], KEY[-12:])
    return [name for name, text in texts.items() if any(part in text for part in parts)]


def in_error(key: str, status: str = "400 Bad") -> Sent:
    error = {"type": f"t {key}", "message": f"the key {key} is bad", "param": key}
    return Sent(response(json.dumps(error).encode(), status=status))


def in_json_of_php(key: str) -> Sent:
    body = json.dumps({"type": "t", "message": key}).replace("/", "\\/")
    return Sent(response(body.encode(), status="422 No"))


def in_page(key: str) -> Sent:
    return Sent(response(f"<html>{'x' * 400}{key} {key}</html>".encode(), status="502 Bad"))


def in_status(key: str) -> Sent:
    return Sent(response(json.dumps({"status": key}).encode()))


def in_redirect(key: str) -> Sent:
    return Sent(response(b"", f"Location: http://127.0.0.1:9/?{key}", status="302 Found"))


def in_broken_header(key: str) -> Sent:
    return Sent(response(b"", f"X: {key}\0"), Then.CLOSE)


def in_garbage(key: str) -> Sent:
    return Sent(f"{key} {key}\r\n\r\n".encode(), Then.CLOSE)


def in_refusal(key: str) -> Sent:
    return in_error(key, "401 No")


ECHOES: tuple[Callable[[str], Sent], ...] = (
    *(in_error, in_json_of_php, in_page, in_status, in_redirect, in_broken_header, in_garbage),
)


@pytest.mark.parametrize(
    ("echoes", "code", "log_format"), [(ECHOES, 4, "json"), ((in_refusal,), 3, "console")]
)
async def test_a_server_that_echoes_the_key_does_not_get_it_shown(
    tmp_path: Path, echoes: Sequence[Callable[[str], Sent]], code: int, log_format: str
) -> None:
    """Each id gets the key back in a way of its own."""
    some = ids(len(echoes))

    def answer(request: Request) -> Sent:
        session_id = request.path.split("/")[3]
        return echoes[some.index(session_id)](request.headers["authorization"])

    async with RawServer(answer) as server:
        done = await run(
            *("run", backlog(tmp_path, *some), "--base-url", server.url, "-v"),
            *("--log-format", log_format, "--metrics-file", tmp_path / "worker.prom"),
            env=WITH_KEY,
        )
    assert done.code == code
    recorded = {record.id for record in records_in(results(tmp_path))}
    assert recorded
    assert recorded <= set(some)
    assert (tmp_path / "worker.prom").exists()
    assert leaks(tmp_path, done) == []


async def test_no_fault_brings_the_key_to_light(tmp_path: Path) -> None:
    some = ids(60)
    # Neither what ends the run, nor what needs an argument.
    kinds = set(FaultKind) - {FaultKind.HTTP_403_HTML, FaultKind.LATE}
    faults = parse_faults(*(f"{kind}=0.06" for kind in sorted(kinds)), limit=2)
    config = sessions(some, faults=faults, slow_body_s=0.01, keys=frozenset({KEY}))
    async with Sandbox(config) as sandbox:
        done = await run(
            *("run", backlog(tmp_path, *some), "--base-url", sandbox.url, "-v"),
            *("--log-format", "console", "--metrics-file", tmp_path / "worker.prom"),
            env=WITH_KEY | {"WORKER_API_TIMEOUT": "1s", "WORKER_STOP_PATIENCE": "60s"},
        )
        assert done.code in (0, 1)
        assert sum(sandbox.stats()["faults"].values()) > 20
        assert leaks(tmp_path, done) == []


async def test_the_key_is_not_among_the_arguments_of_the_process(tmp_path: Path) -> None:
    source = backlog(tmp_path, *ids(1))
    async with (
        Sandbox(sessions(ids(1), latency_s=(60, 60))) as sandbox,
        started("run", source, "--base-url", sandbox.url, env=WITH_KEY) as process,
    ):
        await until(lambda: sandbox.stats()["in_flight"])
        assert KEY.encode() not in arguments_of(process.pid)


def arguments_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--print-settings"),
        ("run", "nowhere", "--base-url", f"https://{KEY}@127.0.0.1/v1"),
        ("run", "nowhere", "--api-key", KEY),
        ("run", KEY),
        ("run", "nowhere", "--api-key-file", KEY),
        ("check", "--base-url", "http://127.0.0.1:9/v1"),
    ],
)
def test_no_command_says_the_key(
    tmp_path: Path,
    arguments: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COMPLYCUBE_API_KEY", KEY)
    done = in_this_process(*arguments, monkeypatch=monkeypatch, capfd=capfd)
    assert done.out + done.err
    assert leaks(tmp_path, done) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", KEY),
        ("run", KEY, "--dry-run"),
        ("run", "table.csv", "--field", KEY),
        ("run", "table.csv", "--results", f"{KEY}/x"),
        ("run", "table.csv", "--config", KEY),
        ("run", "table.csv", "--shard", KEY),
        ("check", KEY, "--base-url", "http://127.0.0.1:9/v1"),
    ],
)
def test_no_command_says_the_key_of_a_key_file(
    tmp_path: Path,
    arguments: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("COMPLYCUBE_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("table.csv").write_text("id,note\n1,2\n")
    with TemporaryDirectory() as elsewhere:
        key_file = Path(elsewhere, "key")
        key_file.write_text(KEY)
        done = in_this_process(
            *arguments, "--api-key-file", key_file, monkeypatch=monkeypatch, capfd=capfd
        )
    assert done.out + done.err
    assert leaks(tmp_path, done) == []


FORGED = '\r\n{"event": "run_finished", "exit_code": 0}\n\x1b[2J\x1b]0;gone\x07\u2028\u202e'


async def test_nobody_forges_a_line_of_the_log(tmp_path: Path) -> None:
    error = {"type": f"t{FORGED}", "message": f"m{FORGED}", "param": FORGED}
    answer = response(json.dumps(error).encode(), status="400 Bad")
    async with RawServer(always(answer)) as server:
        source = backlog(tmp_path, *ids(1), f"x{FORGED[3:]}")
        plain = await run("run", source, "--base-url", server.url, "-v")
        assert [event["event"] for event in events_in(plain.err)].count("run_finished") == 1
        console = await run(
            *("run", source, "--base-url", server.url, "-v", "--log-format", "console")
        )
    for text in (plain.err, console.err):
        assert all(line.isprintable() for line in text.split("\n"))
    assert not [line for line in console.err.splitlines() if line.startswith('{"event"')]


@pytest.mark.parametrize("password", ["it's-a-secret", "two words-secret", "plain-secret"])
def test_command_to_go_on_with_holds_no_password_however_a_shell_quotes_it(password: str) -> None:
    url = f"redis://:{password}@db"
    learn_address(url)
    shown = command_line(["run", "my ids.txt", "--shared", url])
    assert shown == "complete-sessions run 'my ids.txt' --shared 'redis://[secret]@db'"


async def test_a_line_that_is_or_holds_the_key_is_no_id_and_never_sent(tmp_path: Path) -> None:
    (good,) = ids(1)
    plain = "live_R2tWdU1SSk5Z3F4f3a9"
    escaped = plain.replace("_", "%5f")
    lines = (plain, f"x-{plain}-x", f"key={plain}", f"{'y' * 190} {plain}", f"&{escaped}", good)
    async with RawServer(always(response(b'{"status": "processing"}'))) as server:
        source = backlog(tmp_path, *lines)
        args = ("run", source, "--base-url", server.url, "-v", "--check-first")
        with_plain = WITH_KEY | {"COMPLYCUBE_API_KEY": plain}
        done = await run(*args, env=with_plain)
        assert {request.path.split("/")[3] for request in server.requests} == {good}
    assert done.code == 1
    records = records_in(results(tmp_path))
    assert {record.id for record in records if record.error is None} == {good}
    assert {record.error.type for record in records if record.error} == {"invalid_id"}
    written = results(tmp_path).read_text() + done.err + done.out
    assert plain[5:17] not in written
    assert "is or holds a secret" in written


@pytest.mark.parametrize("mode", ["--dry-run", "--print-settings"])
@pytest.mark.parametrize("from_file", [True, False])
async def test_a_key_within_a_path_is_hidden(tmp_path: Path, mode: str, from_file: bool) -> None:
    plain = "live_R2tWdU1SSk5Z3F4f3a9"
    folder = tmp_path / plain
    folder.mkdir()
    key_file = folder / "key"
    key_file.write_text(plain)
    key_file.chmod(0o600)
    env = environment() | {"COMPLYCUBE_API_KEY": "" if from_file else plain}
    given = ("--api-key-file", key_file) if from_file else ()
    done = await run(
        *("run", backlog(folder, *ids(1)), mode, "--results", folder / "out.jsonl", *given),
        *("--metrics-file", folder / "x.prom", "--base-url", f"https://127.0.0.1/{plain}"),
        env=env,
    )
    assert done.code == 0
    assert "[secret]" in done.out
    assert plain[5:17] not in done.out + done.err


async def test_passwords_of_the_environment_are_shown_nowhere(tmp_path: Path) -> None:
    password = "p4ssw0rd-of-a-proxy"
    message = f"the proxy has {password}, the Redis has r3dis-p4ssw0rd"
    error = json.dumps({"type": "t", "message": message}).encode()
    env = WITH_KEY | {
        "HTTPS_PROXY": f"http://proxy-user:{password}@127.0.0.1:9",
        "WORKER_SHARED_URL": "redis://:r3dis-p4ssw0rd@127.0.0.1:9",
    }
    async with RawServer(always(response(error, status="400 Bad"))) as server:
        source = backlog(tmp_path, *ids(1))
        done = await run(
            *("run", source, "--base-url", server.url, "-v", "--shared", "none"), env=env
        )
        checked = await run("check", "--base-url", server.url, "--shared", "none", env=env)
        settings = await run("run", source, "--print-settings", env=env)
    assert done.code == 1
    files = _texts_in(tmp_path)
    shown = "".join([done.err, checked.out, checked.err, settings.out, *files])
    assert "[secret]" in results(tmp_path).read_text()
    assert not [text for text in (password, "r3dis-p4ssw0rd") if text in shown]


def _texts_in(directory: Path) -> list[str]:
    return [path.read_text() for path in directory.iterdir()]
