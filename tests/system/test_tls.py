"""HTTPS: only a server that can prove its name is talked to, and nobody else sees the key."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from tests.support.log_samples import record
from tests.support.program import PROGRAM, environment, run
from tests.support.proxy import Proxy
from tests.support.raw_server import PROCESSING, RawServer, always, response
from tests.support.run_harness import KEY, RunHarness, backlog, ids, settings
from worker.core.errors import ExitCode, UsageError
from worker.ledger.lines import encode_line

DONE = always(response(PROCESSING))

Issue = Callable[[trustme.CA], trustme.LeafCert]


def serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def valid(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("127.0.0.1")


def expired(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("127.0.0.1", not_after=datetime.now(UTC) - timedelta(days=1))


def not_yet_valid(authority: trustme.CA) -> trustme.LeafCert:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    later = tomorrow + timedelta(days=1)
    return authority.issue_cert("127.0.0.1", not_before=tomorrow, not_after=later)


def of_another_name(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("api.example.com")


def of_another_authority(_: trustme.CA) -> trustme.LeafCert:
    return trustme.CA().issue_cert("127.0.0.1")


async def test_a_valid_certificate_is_accepted(
    tmp_path: Path, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    async with RawServer(DONE, serving(valid(authority))) as server:
        ended = await RunHarness(tmp_path, server.url).run(ids(3), tls=trusting)
    assert (ended.code, ended.outcomes) == (ExitCode.OK, {"processing": 3})


@pytest.mark.parametrize(
    ("issue", "why"),
    [
        (expired, "expired"),
        (not_yet_valid, "not yet valid"),
        (of_another_name, "IP address mismatch"),
        (of_another_authority, "certificate verify failed"),
    ],
)
async def test_an_invalid_certificate_stops_the_run_before_the_key_is_sent(
    tmp_path: Path, authority: trustme.CA, trusting: ssl.SSLContext, issue: Issue, why: str
) -> None:
    async with RawServer(DONE, serving(issue(authority))) as server:
        here = RunHarness(tmp_path, server.url, pace_concurrency=1)
        ended = await here.run(ids(9), tls=trusting)
        assert ended.code is ExitCode.REFUSED
        assert "certificate is not valid" in ended.finished.reason
        assert why in ended.finished.reason
        assert ended.outcomes == {"certificate_invalid": 1}
        assert ended.finished.tally.not_attempted == 8
        assert server.requests == []


async def test_the_command_trusts_whom_the_system_trusts(
    tmp_path: Path, authority: trustme.CA
) -> None:
    roots = tmp_path / "roots.pem"
    authority.cert_pem.write_to_path(str(roots))
    async with RawServer(DONE, serving(valid(authority))) as server:
        command = ("run", backlog(tmp_path, *ids(2)), "--base-url", server.url)
        refused = await run(*command)
        assert (refused.code, server.requests) == (3, [])
        done = await run(*command, env=environment() | {"SSL_CERT_FILE": str(roots)})
        assert (done.code, done.last["processing"]) == (0, 2)


@pytest.mark.parametrize("url", ["http://api.example.com/v1", "http://10.0.0.1/v1", "ftp://a/v1"])
def test_the_key_goes_nowhere_without_tls_but_to_this_machine(url: str) -> None:
    with pytest.raises(UsageError, match="--base-url"):
        settings(api_base_url=url)


# --- a company's own authority ------------------------------------------------------------------


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
async def test_the_environment_may_name_an_authority(
    tmp_path: Path, authority: trustme.CA, variable: str, loop: str
) -> None:
    roots = tmp_path / "roots.pem"
    authority.cert_pem.write_to_path(str(roots))
    named = roots
    if variable == "SSL_CERT_DIR":
        hash_of = await asyncio.create_subprocess_exec(
            *("openssl", "x509", "-noout", "-hash", "-in", str(roots)), stdout=-1
        )
        named = tmp_path / "authorities"
        named.mkdir()
        name = (await hash_of.communicate())[0].decode().strip()
        (named / f"{name}.0").symlink_to(roots)
    program = PROGRAM if loop == "uvloop" else without_uvloop()
    async with RawServer(DONE, serving(valid(authority))) as server:
        command = ("run", backlog(tmp_path, *ids(2)), "--base-url", server.url)
        env = environment() | {variable: str(named)}
        done = await run(*command, env=env, program=program)
    assert (done.code, done.last["processing"]) == (0, 2)


def without_uvloop() -> tuple[str, ...]:
    code = "import sys; sys.modules['uvloop'] = None; from worker.__main__ import main; main()"
    return (sys.executable, "-c", code)


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize(
    ("variable", "content", "told"),
    [
        ("SSL_CERT_FILE", None, "cannot be read (No such file or directory)"),
        ("SSL_CERT_FILE", "", "holds no certificate"),
        ("SSL_CERT_FILE", "no certificate\n", "holds no certificate"),
        ("SSL_CERT_DIR", None, "names no directory with certificates"),
        ("SSL_CERT_DIR", "a file", "names no directory with certificates"),
    ],
)
async def test_a_variable_that_names_no_authority_is_a_usage_error(
    tmp_path: Path, command: str, variable: str, content: str | None, told: str
) -> None:
    roots = tmp_path / "roots.pem"
    if content is not None:
        roots.write_text(content)
    env = environment() | {variable: str(roots)}
    arguments: list[str | Path] = [backlog(tmp_path, "a"), "--base-url", "https://127.0.0.1:9/v1"]
    done = await run(command, *arguments, env=env)
    assert done.code == 2
    assert variable in done.out + done.err
    assert told in done.out + done.err
    assert not (tmp_path / "backlog.results.jsonl").exists()


async def test_check_does_not_blame_the_key_for_a_certificate(authority: trustme.CA) -> None:
    async with RawServer(DONE, serving(valid(authority))) as server:
        done = await run("check", "--base-url", server.url)
    assert done.code == 3
    assert "the server's TLS certificate is not valid" in done.out
    assert "SSL_CERT_FILE" in done.out
    assert "Mend the key" not in done.out


# --- a proxy ------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "check"])
async def test_a_proxy_s_407_ends_with_3_and_shows_no_password(
    tmp_path: Path, command: str
) -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    async with Proxy(answer=refusal) as proxy:
        env = environment() | {"HTTPS_PROXY": f"http://jo:hunter22@{proxy.address}"}
        source = backlog(tmp_path, *ids(3))
        done = await run(command, source, "--base-url", "https://api.test/v1", env=env)
    assert done.code == 3
    shown = done.out + done.err
    assert "the proxy answered 407" in shown
    assert "Correct user and password in HTTPS_PROXY" in shown
    assert "Mend the key" not in shown
    log = source.with_name("backlog.results.jsonl")
    written = log.read_text() if command == "run" else ""
    assert ("proxy_refused" in written) == (command == "run")
    assert "hunter22" not in shown + written
    assert KEY.encode() not in b"".join(proxy.heads)


@pytest.mark.parametrize("command", ["find", "audit", "run"])
async def test_a_proxy_s_407_is_no_matter_of_certificates_to_whoever_reads(
    tmp_path: Path, command: str
) -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    log = tmp_path / "log.jsonl"
    log.write_bytes(encode_line(record(*ids(1))))
    given: dict[str, tuple[str | Path, ...]] = {
        "find": ("find",),
        "audit": ("audit", log),
        "run": ("run", backlog(tmp_path, *ids(3)), "--check-first"),
    }
    async with Proxy(answer=refusal) as proxy:
        env = environment() | {"HTTPS_PROXY": f"http://jo:hunter22@{proxy.address}"}
        done = await run(*given[command], "--base-url", "https://api.test/v1", env=env)
    assert done.code == 3
    assert "the proxy answered 407" in done.err
    assert "certificate is not valid:" not in done.err
    assert "Correct user and password in HTTPS_PROXY" in done.err


@pytest.mark.parametrize("command", ["run", "check"])
async def test_a_proxy_s_address_that_cannot_be_is_a_usage_error(
    tmp_path: Path, command: str
) -> None:
    env = environment() | {"HTTPS_PROXY": "socks5://jo:hunter22@127.0.0.1:1080"}
    source = backlog(tmp_path, "a")
    done = await run(command, source, "--base-url", "https://api.test/v1", env=env)
    assert done.code == 2
    assert "HTTPS_PROXY names a SOCKS proxy, which is not supported" in done.out + done.err
    assert "hunter22" not in done.out + done.err
    assert not (tmp_path / "backlog.results.jsonl").exists()
