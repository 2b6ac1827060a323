"""Which proxy the environment names for an address, and how it is told who asks. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

import msgspec

from worker.core.addresses import is_host, is_loopback
from worker.core.errors import UsageError

_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
_ADVICE: Final = (
    "It must be like http://HOST:PORT, HOST:PORT or http://USER:PASSWORD@HOST:PORT, with special "
    "characters of user and password escaped (%40 for @)"
)


class Proxy(msgspec.Struct, frozen=True):
    """`url` holds no credentials, so that no error can show them; `authorization` is the value of
    the header `Proxy-Authorization`, or None."""

    url: str
    authorization: str | None = None


def proxy_for(url: str, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy that `HTTPS_PROXY` names for `url`, unless `NO_PROXY` excepts its host.

    Both are read in small letters first, as curl does. A loopback address and plain http are never
    asked for through a proxy. `ALL_PROXY` is not read. Raises UsageError, which names the variable
    and does not show its value.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https" or is_loopback(host):
        return None
    _, exceptions = _read("no_proxy", environ)
    if is_excepted(host, parts.port or _DEFAULT_PORTS[parts.scheme], exceptions):
        return None
    name, text = _read("https_proxy", environ)
    return _parse(text, name) if text else None


def is_excepted(host: str, port: int, exceptions: str) -> bool:
    """Whether a list such as `NO_PROXY` names the host, as curl and Go read it.

    Args:
        host: a name in small letters, or an IP address without brackets.
        port: of the request.
        exceptions: separated by commas or blanks: `*`; a domain, with or without a leading dot,
            which stands for its subdomains too; an IP address or a network (`10.0.0.0/8`); each
            but a network may be followed by `:PORT`. What cannot be read excepts nothing.
    """
    entries = re.split(r"[,\s]+", exceptions.lower())
    return any(_matches(host.rstrip("."), port, entry) for entry in entries if entry)


def _matches(host: str, port: int, entry: str) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        return _is_in_network(host, entry)
    name, entry_port = _without_port(entry)
    if entry_port and entry_port != str(port):
        return False
    if _is_in_network(host, name):
        return True
    domain = name.removeprefix("*").strip(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _without_port(entry: str) -> tuple[str, str]:
    """`[::1]:443` as `::1` and `443`; the port is empty where none is named."""
    if match := re.fullmatch(r"\[(.*)\](?::(\d+))?", entry):
        return match[1], match[2] or ""
    if entry.count(":") == 1:
        name, _, port = entry.partition(":")
        return name, port
    return entry, ""


def _is_in_network(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False


def _read(name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """The variable that holds, and its value; an empty one counts as not set."""
    for written in (name, name.upper()):
        if text := environ.get(written, "").strip():
            return written, text
    return name.upper(), ""


def _parse(text: str, name: str) -> Proxy:
    parts = _split(text if "://" in text else f"http://{text}", name)
    credentials, has_credentials, _ = parts.netloc.rpartition("@")
    host = parts.hostname or ""
    port = _port(parts, name)
    shown_host = f"[{host}]" if ":" in host else host
    authorization = _authorization(credentials) if has_credentials else None
    return Proxy(f"{parts.scheme}://{shown_host}:{port}", authorization)


def _split(text: str, name: str) -> SplitResult:
    try:
        parts = urlsplit(text)
    except ValueError:
        raise UsageError(f"{name} is not the address of a proxy", _ADVICE) from None
    if parts.scheme.startswith("socks"):
        raise UsageError(f"{name} names a SOCKS proxy, which is not supported", _ADVICE)
    if parts.scheme not in _DEFAULT_PORTS:
        raise UsageError(f"{name} begins with neither http:// nor https://", _ADVICE)
    if not is_host(parts.hostname or "") or parts.path.strip("/") or parts.query or parts.fragment:
        raise UsageError(f"{name} is not the address of a proxy", _ADVICE)
    return parts


def _port(parts: SplitResult, name: str) -> int:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0 or parts.netloc.endswith(":"):
        raise UsageError(f"{name} has a port that is not one from 1 to 65535", _ADVICE)
    return port or _DEFAULT_PORTS[parts.scheme]


def _authorization(credentials: str) -> str:
    """HTTP Basic (RFC 7617), with an empty password where none is named, as curl sends it."""
    user, _, password = credentials.partition(":")
    pair = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return "Basic " + base64.b64encode(pair).decode("ascii")
