"""Which proxy the environment names for an address, and how it is told who asks."""

from __future__ import annotations

import base64
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit
from urllib.request import getproxies, proxy_bypass

import msgspec

from worker.core.addresses import is_loopback


class Proxy(msgspec.Struct, frozen=True):
    """`url` holds no credentials, so that no error can show them; `authorization` is the value of
    the header `Proxy-Authorization`, or None."""

    url: str
    authorization: str | None = None


_BASIC: Final = "Basic "


def proxy_for(url: str) -> Proxy | None:
    """The proxy that the environment names for `url` (`HTTPS_PROXY`, `NO_PROXY`), or None.

    A loopback address is never asked for through a proxy.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or proxy_bypass(host):
        return None
    named = getproxies().get(parts.scheme)
    return None if named is None else _parse(named)


def _parse(text: str) -> Proxy:
    parts = urlsplit(text)
    credentials, _, address = parts.netloc.rpartition("@")
    url = parts._replace(netloc=address).geturl()
    return Proxy(url, _authorization(credentials) if credentials else None)


def _authorization(credentials: str) -> str:
    """HTTP Basic (RFC 7617), with an empty password where none is named, as curl sends it."""
    user, _, password = credentials.partition(":")
    pair = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return _BASIC + base64.b64encode(pair).decode("ascii")
