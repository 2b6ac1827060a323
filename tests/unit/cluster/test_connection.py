"""The way to Redis: what is waited for, what ends a run at once, and what is never shown."""

from __future__ import annotations

import asyncio
import gc
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from tests.support.redis_server import SAFE, RedisServer, needs_redis, redis_server
from tests.support.shared_queues import shift_on
from worker.cluster.address import find_mistake
from worker.cluster.budget import Budget
from worker.cluster.connection import Connection
from worker.cluster.queue import Queue
from worker.cluster.requirements import shortcomings
from worker.cluster.shared_rate import SharedRate
from worker.core.clock import Clock
from worker.core.errors import RefusedError, UnavailableError, UsageError
from worker.core.events import Event, OutageBegan, OutageEnded, PauseReason
from worker.core.outcomes import Error, Item, Outcome, Record, Via
from worker.core.redis_url import without_secrets
from worker.core.secrets import passwords_of

# redis-py leaves the connection of a handshake that failed to the garbage collector.
pytestmark = [
    needs_redis,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PASSWORD = "s3cret-enough"


@pytest.fixture(autouse=True)
def _no_leftovers_for_other_tests() -> Iterator[None]:
    yield
    gc.collect()


class Linked:
    """A connection and what it told."""

    def __init__(self, url: str, patience_s: float = 10.0) -> None:
        self.events: list[Event] = []
        self.connection = Connection(
            url, clock=Clock(), patience_s=patience_s, notify=self.events.append
        )


@asynccontextmanager
async def linked(url: str, patience_s: float = 10.0) -> AsyncIterator[Linked]:
    one = Linked(url, patience_s)
    async with one.connection:
        yield one


async def ping(url: str, patience_s: float = 10.0) -> bool:
    async with linked(url, patience_s) as one:
        return bool(await one.connection.ask(lambda redis: redis.ping()))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server with a password, and a user who may not do everything."""
    lines = (
        f"requirepass {PASSWORD}",
        "user weak on >weak-password ~* +ping +eval +evalsha +script|load",
    )
    with redis_server(tmp_path_factory.mktemp("guarded"), *SAFE, *lines) as server:
        yield server


@pytest.mark.parametrize("user_info", ["", ":wrong-password@", "nobody:wrong-password@"])
async def test_a_password_that_is_refused_ends_it_at_once(
    guarded: RedisServer, user_info: str
) -> None:
    with pytest.raises(RefusedError, match="refuses the password or the user") as caught:
        await ping(f"redis://{user_info}127.0.0.1:{guarded.port}")
    assert "wrong-password" not in str(caught.value)


async def test_a_right_password_is_taken(guarded: RedisServer) -> None:
    assert await ping(f"redis://:{PASSWORD}@127.0.0.1:{guarded.port}")


async def test_a_user_without_rights_is_told_which(guarded: RedisServer) -> None:
    async with linked(f"redis://weak:weak-password@127.0.0.1:{guarded.port}") as one:
        with pytest.raises(RefusedError, match="does not let this user") as caught:
            await one.connection.call("return redis.call('SET', KEYS[1], 1)", ["key"])
        with pytest.raises(RefusedError, match="does not let this user"):
            await one.connection.ask(lambda redis: redis.get("key"))
    assert "weak-password" not in str(caught.value)


async def test_a_host_that_does_not_exist_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="names no host"):
        await ping("redis://no-such-host.invalid:6379")


async def test_another_server_at_the_address_is_a_usage_error() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(UsageError, match="is no Redis"):
            await ping(f"redis://127.0.0.1:{port}")


async def test_a_server_that_is_down_is_waited_for_as_long_as_patience_lasts(
    tmp_path: Path,
) -> None:
    server = RedisServer(tmp_path)
    async with linked(server.url, patience_s=0.3) as one:
        with pytest.raises(UnavailableError, match="stayed unavailable"):
            await one.connection.ask(lambda redis: redis.ping())
    assert [type(event) for event in one.events] == [OutageBegan]


async def test_a_server_that_comes_back_is_used_again(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        async with linked(server.url) as one:
            await one.connection.ask(lambda redis: redis.set("key", "value"))
            server.kill()
            asking = asyncio.create_task(one.connection.ask(lambda redis: redis.get("key")))
            while not one.connection.is_down:  # noqa: ASYNC110 - the connection has no event for it
                await asyncio.sleep(0.01)
            server.start()
            assert await asking == "value"
    assert [type(event) for event in one.events] == [OutageBegan, OutageEnded]


async def test_a_server_without_room_is_waited_for(tmp_path: Path) -> None:
    with redis_server(tmp_path, *SAFE, "maxmemory 1") as server:
        async with linked(server.url) as one:
            script = "return redis.call('SET', KEYS[1], 1)"
            asking = asyncio.create_task(one.connection.call(script, ["key"]))
            while not one.connection.is_down:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
            async with linked(server.url) as other:
                await other.connection.ask(lambda redis: redis.config_set("maxmemory", "0"))
            assert await asking == "OK"
    assert isinstance(one.events[0], OutageBegan)
    assert "OOM" in one.events[0].error.message or "maxmemory" in one.events[0].error.message


async def test_a_connection_that_is_lost_while_it_is_opened_is_tried_again(
    guarded: RedisServer,
) -> None:
    said = "unable to perform operation on <TCPTransport closed=True>; the handler is closed"
    answers: list[Exception | str] = [RuntimeError(said), "PONG"]

    async def attempt(_: object) -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with linked(guarded.url) as one:
        assert await one.connection.ask(attempt) == "PONG"
        for defect in (RuntimeError("Event loop is closed"), RuntimeError("a defect")):
            answers = [defect]
            with pytest.raises(type(defect)):
                await one.connection.ask(attempt)


@asynccontextmanager
async def answering(*errors: str) -> AsyncIterator[str]:
    """The address of a server that answers the first commands with these, and then as it should."""
    left = list(errors)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line == b"PING\r\n":
                writer.write(f"-{left.pop(0)}\r\n".encode() if left else b"+PONG\r\n")
            elif line == b"CLIENT\r\n":
                writer.write(b"+OK\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}?protocol=2"


@pytest.mark.parametrize(
    "error",
    [
        "BUSY Redis is busy running a script.",
        "CLUSTERDOWN The cluster is down",
        "ERR max number of clients reached",
        "LOADING Redis is loading the dataset in memory",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "MISCONF Redis is configured to save RDB snapshots",
        "NOREPLICAS Not enough good replicas to write.",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "READONLY You can't write against a read only replica.",
        "TRYAGAIN Multiple keys request during rehashing of slot",
    ],
)
async def test_what_redis_says_that_may_pass_is_waited_for(error: str) -> None:
    async with answering(error) as url, linked(url) as one:
        assert await one.connection.ask(lambda redis: redis.ping())
    assert [type(event) for event in one.events] == [OutageBegan, OutageEnded]


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        ("NOPERM User weak has no permissions to run the 'ping' command", RefusedError, "not let"),
        ("ERR ACL failure in script: User weak has no permissions", RefusedError, "not let"),
        ("ERR The user executing the script can't run this command", RefusedError, "not let"),
        ("WRONGTYPE Operation against a key", UsageError, "holds something else"),
        ("MOVED 3999 127.0.0.1:6381", UsageError, "no Redis that stands alone"),
        ("ERR unknown command 'NOPERM', can't run it, BUSY, OOM", ResponseError, "unknown"),
        ("ERR it is said: the handler is closed", ResponseError, "closed"),
    ],
)
async def test_what_redis_says_that_no_waiting_mends_is_known_by_its_code(
    error: str, kind: type[Exception], said: str
) -> None:
    async with answering(error) as url, linked(url) as one:
        with pytest.raises(kind, match=said):
            await one.connection.ask(lambda redis: redis.ping())
    assert not one.events


async def test_a_run_that_ends_does_not_wait_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.cluster.connection._GRACE_S", 0.2)
    async with linked(RedisServer(tmp_path).url, patience_s=900) as one:
        one.connection.stop()
        with pytest.raises(UnavailableError):
            await one.connection.ask(lambda redis: redis.ping())


async def test_a_call_that_waits_already_has_no_more_patience_than_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.cluster.connection._GRACE_S", 0.2)
    async with linked(RedisServer(tmp_path).url, patience_s=900) as one:
        asking = asyncio.create_task(one.connection.ask(lambda redis: redis.ping()))
        while not one.connection.is_down:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
        one.connection.stop()
        with pytest.raises(UnavailableError, match="stayed unavailable"):
            await asking


async def test_a_script_that_fails_by_itself_is_not_repeated(guarded: RedisServer) -> None:
    async with linked(f"redis://:{PASSWORD}@127.0.0.1:{guarded.port}") as one:
        with pytest.raises(ResponseError, match="not an integer"):
            await one.connection.call(
                "redis.call('SET', KEYS[1], 'a') return redis.call('INCR', KEYS[1])", ["text"]
            )
    assert not one.events


async def test_a_key_of_another_type_is_a_usage_error(guarded: RedisServer) -> None:
    async with linked(f"redis://:{PASSWORD}@127.0.0.1:{guarded.port}") as one:
        with pytest.raises(UsageError, match="holds something else"):
            await one.connection.call(
                "redis.call('SET', KEYS[1], 1) return redis.call('LPOP', KEYS[1])", ["text"]
            )
    assert not one.events


WRITE = "return redis.call('SET', KEYS[1], 1)"


async def test_a_need_that_is_refused_has_a_patience_of_its_own(tmp_path: Path) -> None:
    """Reads are answered all the while, as by a replica."""
    with redis_server(tmp_path, *SAFE) as server:
        async with linked(server.url, patience_s=0.5) as one:
            port = str(RedisServer(tmp_path).port)
            await one.connection.ask(lambda redis: redis.replicaof("127.0.0.1", port))
            writing = asyncio.create_task(one.connection.call(WRITE, ["key"]))
            while not writing.done():
                await one.connection.ask(lambda redis: redis.get("key"))
                await asyncio.sleep(0.01)
            with pytest.raises(UnavailableError, match="read only replica"):
                await writing
    assert [type(event) for event in one.events] == [OutageBegan]


async def test_an_outage_has_ended_when_nothing_is_refused_any_more(tmp_path: Path) -> None:
    with redis_server(tmp_path, *SAFE) as server:
        async with linked(server.url) as one:
            await one.connection.ask(lambda redis: redis.config_set("maxmemory", "1"))
            writing = asyncio.create_task(one.connection.call(WRITE, ["key"]))
            while not one.events:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
            await one.connection.ask(lambda redis: redis.get("key"))
            assert [type(event) for event in one.events] == [OutageBegan]
            await one.connection.ask(lambda redis: redis.config_set("maxmemory", "0"))
            await writing
    assert [type(event) for event in one.events] == [OutageBegan, OutageEnded]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RedisServer, Path]]:
    """A server that speaks TLS only, and its authority's certificate."""
    directory = tmp_path_factory.mktemp("secured")
    authority = trustme.CA()
    own = authority.issue_cert("127.0.0.1", "localhost")
    own.private_key_pem.write_to_path(directory / "key.pem")
    own.cert_chain_pems[0].write_to_path(directory / "certificate.pem")
    authority.cert_pem.write_to_path(directory / "authority.pem")
    server = RedisServer(directory)
    server.lines = (
        *(*server.lines, "port 0", f"tls-port {server.port}", "tls-auth-clients no"),
        f"tls-cert-file {directory}/certificate.pem",
        f"tls-key-file {directory}/key.pem",
        f"tls-ca-cert-file {directory}/authority.pem",
    )
    server.start()
    yield server, directory / "authority.pem"
    server.kill()


async def test_tls_works_with_an_authority_of_ones_own(
    secured: tuple[RedisServer, Path],
) -> None:
    server, authority = secured
    assert await ping(f"rediss://localhost:{server.port}/0?ssl_ca_certs={authority}")


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    secured: tuple[RedisServer, Path],
) -> None:
    server, _ = secured
    with pytest.raises(RefusedError, match="TLS certificate"):
        await ping(f"rediss://localhost:{server.port}")


async def test_tls_to_a_plain_port_and_the_reverse_are_usage_errors(
    guarded: RedisServer, secured: tuple[RedisServer, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.cluster.connection._CALL_TIMEOUT_S", 0.5)
    with pytest.raises(UsageError, match="speaks no TLS"):
        await ping(f"rediss://127.0.0.1:{guarded.port}")
    with pytest.raises(UsageError, match="speaks TLS only"):
        await ping(f"redis://127.0.0.1:{secured[0].port}")


async def test_tls_to_a_web_server_is_a_usage_error() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(UsageError, match="speaks no TLS"):
            await ping(f"rediss://127.0.0.1:{port}")


async def test_a_server_that_wants_a_clients_certificate_refuses(
    secured: tuple[RedisServer, Path], tmp_path: Path
) -> None:
    server = RedisServer(tmp_path)
    files = [line for line in secured[0].lines if "-file " in line]
    server.lines = (*server.lines, "port 0", f"tls-port {server.port}", *files)
    server.start()
    try:
        with pytest.raises(RefusedError, match="wants a client's certificate"):
            await ping(f"rediss://localhost:{server.port}/0?ssl_ca_certs={secured[1]}")
    finally:
        server.kill()


@pytest.mark.parametrize("name", ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile"])
def test_a_certificate_that_is_not_there_or_is_none_is_a_usage_error(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(UsageError, match=f"{name} of rediss://host cannot be read"):
        Linked(f"rediss://host?{name}={tmp_path}/none.pem")
    (tmp_path / "text.pem").write_text("no certificate")
    if name != "ssl_keyfile":
        with pytest.raises(UsageError, match="cannot be used"):
            Linked(f"rediss://host?{name}={tmp_path}/text.pem")


@pytest.mark.parametrize(
    ("url", "said", "allowed"),
    [
        ("redis://host?retry=1", "it has no option 'retry'", "db, username"),
        ("redis://host?Db=1&host=other", "it has no options 'Db', 'host'", "db, username"),
        ("redis://host?decode_responses=0", "it has no option 'decode_responses'", "db, username"),
        ("redis://host?socket_timeout=0", "it has no option 'socket_timeout'", "db, username"),
        ("redis://host?ssl_ca_certs=F", "it has no option 'ssl_ca_certs'", "with rediss:// also"),
        ("rediss://host?ssl_ca_path=F", "it has no option 'ssl_ca_path'", "ssl_ca_certs"),
        ("unix:///run/redis.sock?path=x", "it has no option 'path'", "db, username"),
        ("redis://host?protocol=9", "its protocol is '9'", "It must be 2 or 3"),
        ("redis://host?protocol", "its protocol is ''", "It must be 2 or 3"),
        ("redis://host?db=-1", "its db is '-1'", "It must be a number"),
        ("redis://host?client_name=two%20words", "its client_name is 'two words'", "a word"),
        ("redis://host?db=1&db=2", "its db is given twice", "Leave"),
        ("rediss://host?ssl_cert_reqs=non", "its ssl_cert_reqs is 'non'", "optional or required"),
        ("rediss://host?ssl_check_hostname=of", "its ssl_check_hostname is 'of'", "true or false"),
        ("redis://user:123?hidden@host/0", "what stands behind its `?` is no option", "%3F"),
    ],
)
def test_an_option_that_an_address_cannot_have_is_a_usage_error(
    url: str, said: str, allowed: str
) -> None:
    with pytest.raises(UsageError) as caught:
        Linked(url)
    address = without_secrets(url)
    assert caught.value.message == f"Redis cannot be reached by the address {address}: {said}"
    assert allowed in caught.value.advice
    assert "hidden" not in f"{caught.value}"


@pytest.mark.parametrize("options", ["db=1&protocol=2", "protocol=3&client_name=night"])
async def test_the_options_that_an_address_may_have_are_taken(
    guarded: RedisServer, options: str
) -> None:
    assert await ping(
        f"redis://127.0.0.1:{guarded.port}?username=default&password={PASSWORD}&{options}"
    )


async def test_a_socket_that_is_missing_or_is_none_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not there"):
        await ping(f"unix://{tmp_path}/redis.sock")
    (tmp_path / "redis.sock").write_text("")
    with pytest.raises(UsageError, match="is no socket"):
        await ping(f"unix://{tmp_path}/redis.sock")


async def test_a_socket_of_redis_works(tmp_path: Path) -> None:
    with redis_server(tmp_path, f"unixsocket {tmp_path}/redis.sock"):
        assert await ping(f"unix://{tmp_path}/redis.sock")


async def test_what_a_queue_needs_of_the_configuration_is_named(
    tmp_path: Path, guarded: RedisServer
) -> None:
    async with linked(f"redis://:{PASSWORD}@127.0.0.1:{guarded.port}") as one:
        assert await shortcomings(one.connection) == []
        await one.connection.ask(lambda redis: redis.config_set("appendfsync", "everysec"))
        found = await shortcomings(one.connection)
        await one.connection.ask(lambda redis: redis.config_set("appendfsync", "always"))
    assert [text.partition(":")[0] for text in found] == ["appendfsync is everysec, and not always"]


@pytest.mark.parametrize(
    ("url", "shown", "secrets"),
    [
        ("redis://host:6379/0", "redis://host:6379/0", []),
        ("rediss://user:p%40ss@host", "rediss://host", ["p%40ss"]),
        ("unix:///run/redis.sock?password=hidden&db=1", "unix:///run/redis.sock", ["hidden"]),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, shown: str, secrets: list[str]) -> None:
    assert without_secrets(url) == shown
    assert passwords_of(url) == secrets


CONFIG = Path(__file__).parents[3] / "config/redis.conf"


@pytest.fixture
def configured(tmp_path: Path) -> Iterator[RedisServer]:
    """A server with the example's configuration and the user that it names."""
    text = CONFIG.read_text()
    user = re.sub(r"\s*\n#\s+", " ", text[text.index("user worker") :]).strip()
    lines = (f"include {CONFIG}", "user default off", user.replace("PASSWORD", PASSWORD))
    with redis_server(tmp_path, *lines) as server:
        yield server


async def test_the_examples_configuration_and_user_are_all_that_a_run_needs(
    configured: RedisServer,
) -> None:
    async with linked(f"redis://worker:{PASSWORD}@127.0.0.1:{configured.port}") as one:
        assert await shortcomings(one.connection) == []
        queue = Queue(one.connection, "night")
        assert await queue.add([Item("a", 1)]) == 1
        consumer = shift_on(queue, slots=1, clock=Clock())
        assert await consumer.take(1) == [Item("a", 1)]
        await consumer.renew()
        await consumer.settle([Record("a", Outcome.FAILED, *_REST)])
        assert len((await queue.status()).pending) == 0
        assert len(await queue.outcomes()) == 1
        await consumer.hand_back()
        assert await queue.drop()
        budget = Budget(one.connection, "account", "me", Clock())
        rate = SharedRate(10, budget.cut)
        await budget.take(rate)
        rate.throttled(0.0, 0.0)
        rate.throttled(0.1, 0.1)
        budget.notice(OutageBegan(PauseReason.THROTTLED, 5, Error("429", ""), 0.1, 1.0))
        budget.notice(OutageEnded(PauseReason.THROTTLED, 0.1))
        told = await asyncio.gather(*budget._telling)
        assert len(told) == 3
        with pytest.raises(RefusedError):
            await one.connection.ask(lambda redis: redis.flushall())


_REST = (None, 400, None, 1, Via.COMPLETE, 1.0, 1.0, "", "run", 1)


async def test_a_server_whose_configuration_may_not_be_read_is_said_to_be_unknown(
    guarded: RedisServer,
) -> None:
    rights = ("reset", "on", ">half-password", "+info", "-config|get")
    async with linked(f"redis://:{PASSWORD}@127.0.0.1:{guarded.port}") as one:
        await one.connection.ask(
            lambda redis: redis.execute_command("ACL", "SETUSER", "half", *rights)  # type: ignore[no-untyped-call]
        )
    async with linked(f"redis://half:half-password@127.0.0.1:{guarded.port}") as one:
        [told] = await shortcomings(one.connection)
    assert told == "this user may not read its configuration (CONFIG GET), see redis.conf"


class Old(Connection):
    """A server of an older version."""

    async def ask(self, command: Callable[[Redis], Awaitable[Any]]) -> Any:
        answer = await super().ask(command)
        is_version = isinstance(answer, dict) and "redis_version" in answer
        return {"redis_version": "6.2.14"} if is_version else answer


async def test_a_version_that_is_too_old_is_named(guarded: RedisServer) -> None:
    url = f"redis://:{PASSWORD}@127.0.0.1:{guarded.port}"
    async with Old(url, clock=Clock(), patience_s=10.0) as connection:
        [told] = await shortcomings(connection)
    assert told == "its version is 6.2.14, and Redis 7 or Valkey is needed"


async def test_a_socket_on_which_nobody_listens_yet_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with pytest.raises(UnavailableError, match="stayed unavailable"):
        await ping(f"unix://{path}", patience_s=0.2)


async def test_a_socket_whose_name_cannot_be_is_a_usage_error() -> None:
    mistake = await find_mistake(f"unix:///{'n' * 300}")
    assert mistake is not None
    assert "cannot be used: File name too long" in mistake.message


async def test_a_tls_server_that_is_away_is_no_mistake(tmp_path: Path) -> None:
    assert await find_mistake(f"rediss://127.0.0.1:{RedisServer(tmp_path).port}") is None


async def test_a_server_that_refuses_the_handshake_speaks_tls_all_the_same() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        # A fatal alert, handshake_failure: RFC 5246, 7.2.
        writer.write(b"\x15\x03\x03\x00\x02\x02\x28")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        mistake = await find_mistake(f"redis://127.0.0.1:{port}")
    assert mistake is not None
    assert "speaks TLS only" in mistake.message
