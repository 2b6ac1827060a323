"""The API's address: HTTPS, or HTTP to this machine only, since every request carries the key."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

ALLOWED_ADDRESS: Final = "an https:// address (http:// only to a loopback address)"

_is_printable_ascii: Final = re.compile(r"[!-~]+").fullmatch
_LABEL: Final = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_is_host_name: Final = re.compile(rf"(?=.{{1,254}}\Z){_LABEL}(\.{_LABEL})*\.?").fullmatch
"""Of at most 253 characters, a final dot not counted, in labels of at most 63 (RFC 1035, 2.3.4)."""
_ends_in_number: Final = re.compile(r"(?:[^:]*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?").fullmatch
"""Resolvers take such a name for an IPv4 address, also in its old forms: `1`, `127.1`, `0x7f.1`."""
_is_path: Final = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*").fullmatch


def parse_base_url(text: str) -> str:
    """The address without a trailing slash; the text of a ValueError says what it must be."""
    # urlsplit drops tabs and line breaks without a word.
    if not _is_printable_ascii(text):
        raise ValueError("an address of ASCII characters without blanks")
    if "?" in text or "#" in text:
        raise ValueError("an address without query (?) and fragment (#)")
    parts = _split(text)
    if "@" in parts.netloc:
        raise ValueError("an address without user name and password")
    host, port = _host(parts), _port(parts)
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(ALLOWED_ADDRESS)
    path = parts.path.rstrip("/")
    if not _is_path(path):
        raise ValueError("an address whose path is made of plain names, such as /v1")
    shown_host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown_host}{port}{path}"


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError("an address with a valid host") from None
    if parts.scheme not in ("https", "http") or not parts.netloc:
        raise ValueError(ALLOWED_ADDRESS)
    return parts


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if not is_host(host):
        raise ValueError("an address with a valid host")
    return host


def _port(parts: SplitResult) -> str:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0 or parts.netloc.endswith(":"):
        raise ValueError("an address with a port from 1 to 65535, or none")
    return f":{port}" if port else ""


def is_host(host: str) -> bool:
    """Whether `host`, in small letters, is an IP address or a name that a resolver can be asked."""
    if _ends_in_number(host):
        return _is_ipv4(host)
    return (bool(_is_host_name(host)) and len(host.rstrip(".")) <= 253) or _is_ipv6(host)


def is_loopback(host: str) -> bool:
    """Whether `host` is localhost, in 127.0.0.0/8, or ::1."""
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        return address.packed[0] == 127
    return address == IPv6Address("::1")


def _is_ipv4(host: str) -> bool:
    try:
        IPv4Address(host)
    except ValueError:
        return False
    return True


def _is_ipv6(host: str) -> bool:
    try:
        return IPv6Address(host).scope_id is None
    except ValueError:
        return False
