"""One attempt at a time against the API: ids in, answers out, never an exception for a bad one."""

from __future__ import annotations

import asyncio
import math
import os
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from types import TracebackType
from typing import Final, Self

import aiohttp
import msgspec
from aiohttp import hdrs
from aiohttp.typedefs import LooseHeaders
from multidict import CIMultiDict
from typing_extensions import override
from yarl import URL

from worker import __version__
from worker.api.bodies import MAX_BODY_BYTES, MAX_SESSION_BYTES, read_all, read_on
from worker.api.connector import TURN, Connector, Turn
from worker.api.failures import FAILURES, classify, describe
from worker.api.proxies import Proxy, proxy_for
from worker.api.trust import check_trust
from worker.api.verdict import Answer, NoAnswer, Reply, is_the_apis, parse_date
from worker.core.departure import Departure
from worker.core.outcomes import MAX_MESSAGE_LENGTH, Error
from worker.core.secrets import redact, redact_bytes

_EMPTY_OBJECT = aiohttp.BytesPayload(b"{}")
_OF_THE_KEY: Final = frozenset({401, 402, 403, 404})
"""What the API may answer otherwise to another key: this one is refused, or not the session's."""


class Client:
    """The API's endpoints for workflow sessions, over pooled connections.

    `key` is asked before each request, and sent as it is, without a scheme. `renew_key` is asked
    when the API answers 401 to it, and returns whether `key` gives another one from then on; what
    was sent with a key that has been replaced is marked so. `connect_timeout_s` bounds opening a
    connection, TLS included; `timeout_s` bounds a whole request, to its answer's last byte.
    Redirects are never followed, cookies never kept. Ids must have passed
    `worker.core.outcomes.is_valid_id`: they are put into the path unquoted.
    """

    def __init__(
        self,
        base_url: str,
        key: Callable[[], str],
        *,
        connect_timeout_s: float,
        timeout_s: float,
        renew_key: Callable[[], bool] = lambda: False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._sessions_url = URL(f"{base_url}/workflowSessions", encoded=True)
        self._path = self._sessions_url.raw_path
        self._key = key
        self._renew_key = renew_key
        self._tls = tls
        self._headers = {
            hdrs.HOST: self._sessions_url.host_port_subcomponent or "",
            hdrs.CONTENT_TYPE: "application/json",
            hdrs.ACCEPT: "application/json",
        }
        proxy = check_environment(base_url)
        self._proxy = None if proxy is None else proxy.url
        self._proxy_headers = (
            {}
            if proxy is None or proxy.authorization is None
            else {hdrs.PROXY_AUTHORIZATION: proxy.authorization}
        )
        self._timeout_s = timeout_s
        # aiohttp's total would begin before the connection is there. Nothing is rounded up.
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=connect_timeout_s, ceil_threshold=math.inf
        )

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            connector=Connector(
                limit=0, ssl=True if self._tls is None else self._tls, ttl_dns_cache=60
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=self._proxy,
            timeout=self._timeout,
            # aiohttp gives these to a proxy too, in clear: what is the API's goes to each request.
            headers={hdrs.USER_AGENT: f"complete-sessions/{__version__}"},
            request_class=_PlainRequest,
        )
        # Else aiohttp repeats a GET whose connection broke by itself: at once, and past the pacer.
        assert hasattr(self._http, "_retry_connection")
        self._http._retry_connection = False  # noqa: SLF001
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.close()

    def complete(self, id: str, departure: Departure | None = None) -> Coroutine[None, None, Reply]:
        """`POST /workflowSessions/:id/complete`, once; `departure` says when, once connected."""
        url = self._sessions_url.with_path(f"{self._path}/{id}/complete", encoded=True)
        return self._send(hdrs.METH_POST, url, _EMPTY_OBJECT, departure=departure)

    def check(self, id: str, departure: Departure | None = None) -> Coroutine[None, None, Reply]:
        """`GET /workflowSessions/:id`, which changes nothing; `departure` as in `complete`."""
        url = self._sessions_url.with_path(f"{self._path}/{id}", encoded=True)
        return self._send(hdrs.METH_GET, url, None, MAX_SESSION_BYTES, departure=departure)

    def list_one(self) -> Coroutine[None, None, Reply]:
        """`GET /workflowSessions` with a page of one: whether the API answers and takes the key."""
        url = self._sessions_url.with_query("page=1&pageSize=1")
        return self._send(hdrs.METH_GET, url, None)

    def list_sessions(
        self, query: Mapping[str, str], departure: Departure | None = None
    ) -> Coroutine[None, None, Reply]:
        """`GET /workflowSessions` with parameters: a page of the list; `departure` as above."""
        url = self._sessions_url.with_query(query)
        return self._send(hdrs.METH_GET, url, None, MAX_SESSION_BYTES, read_all, departure)

    async def _send(
        self,
        method: str,
        url: URL,
        body: aiohttp.Payload | None,
        most: int = MAX_BODY_BYTES,
        read: Callable[[aiohttp.ClientResponse, bytes, int], Awaitable[bytes]] = read_on,
        departure: Departure | None = None,
    ) -> Reply:
        key = self._key()
        deadline = asyncio.timeout(None)
        turn = TURN.set(Turn(departure, self._timeout_s, deadline))
        try:
            async with deadline:
                response = await self._http.request(
                    method,
                    url,
                    data=body,
                    headers=self._headers | {hdrs.AUTHORIZATION: key},
                    proxy_headers=self._proxy_headers,
                    allow_redirects=False,
                )
                content = await _read(response, most, read)
        except FAILURES as error:
            return explain_failure(error)
        finally:
            # Its deadline holds the task, and the task its context: a circle for the collector.
            TURN.reset(turn)
        retry_after, date = _when_to_retry(response.headers)
        answer = Answer(response.status, redact_bytes(content), retry_after, date)
        return self._marked(answer, key) if answer.status in _OF_THE_KEY else answer

    def _marked(self, answer: Answer, key: str) -> Answer:
        """The answer as it is, or marked where the key that it speaks of is not in use any more."""
        if not is_the_apis(answer):
            return answer
        is_replaced = self._key() != key or (answer.status == 401 and self._renew_key())
        return msgspec.structs.replace(answer, key_replaced=True) if is_replaced else answer


def _when_to_retry(headers: Mapping[str, str]) -> tuple[str | None, str | None]:
    """`Retry-After`, and the time from which a date in it is reckoned: by the server's clock, or by
    this machine's where the server does not name any."""
    retry_after = headers.get(hdrs.RETRY_AFTER)
    if retry_after is None:
        return None, None
    date = headers.get(hdrs.DATE)
    if parse_date(date) is None:
        date = format_datetime(datetime.now(UTC), usegmt=True)
    return retry_after, date


async def _read(
    response: aiohttp.ClientResponse,
    most: int,
    read: Callable[[aiohttp.ClientResponse, bytes, int], Awaitable[bytes]],
) -> bytes:
    """The body of an answer: up to `most` bytes of a success."""
    try:
        content = await response.content.read(MAX_BODY_BYTES)
        if response.content.at_eof():
            return content
        bound = most if response.status == 200 else MAX_BODY_BYTES
        return await read(response, content, bound)
    except BaseException:
        response.close()
        raise


def check_environment(base_url: str) -> Proxy | None:
    """The proxy to the API, if any; UsageError where a variable of the environment that says how
    to reach it (`HTTPS_PROXY`, `SSL_CERT_FILE`, `SSL_CERT_DIR`) cannot be right."""
    if base_url.startswith("https:"):
        check_trust(os.environ)
    return proxy_for(base_url, os.environ)


class _PlainRequest(aiohttp.ClientRequest):
    """Takes the headers and the body as they are: to look for what else might belong to them costs
    every request a tenth of its time."""

    @override
    def update_headers(self, headers: LooseHeaders | None) -> None:
        self.headers = CIMultiDict(headers or ())

    @override
    def update_auto_headers(self, skip_auto_headers: Iterable[str] | None) -> None:
        pass

    @override
    def update_body_from_data(self, body: aiohttp.Payload | None, _stacklevel: int = 3) -> None:
        self._body = body
        if body is not None:
            self.headers[hdrs.CONTENT_LENGTH] = str(body.size)


def explain_failure(error: Exception) -> NoAnswer:
    """A client's exception as a value: which error it is, and whether the request may have left."""
    kind, may_have_arrived = classify(error)
    text = describe(error).encode("utf-8", "backslashreplace").decode()
    return NoAnswer(Error(kind.value, redact(text)[:MAX_MESSAGE_LENGTH]), may_have_arrived)
