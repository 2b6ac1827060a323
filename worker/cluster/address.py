"""What is wrong with an address of Redis, beyond what waiting would mend."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from worker.core.errors import UsageError
from worker.core.redis_url import without_secrets

_TIMEOUT_S: Final = 2.0
_DEFAULT_PORT: Final = 6379
_TLS_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")

NO_TLS_REASONS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"})
"""What OpenSSL says of a server that answered in plain text."""


def check_tls_files(url: str) -> None:
    """Read the certificates and the key that the address names.

    Raises:
        UsageError: one of them cannot be read, or is none.
    """
    if urlsplit(url).scheme != "rediss":
        return
    given = {name: values[-1] for name, values in parse_qs(urlsplit(url).query).items()}
    named = {name: given[name] for name in _TLS_FILES if name in given}
    if not named:
        return
    for name, path in named.items():
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise UsageError(
                f"{name} of {without_secrets(url)} cannot be read: {path}: {error.strerror}",
                "Correct the path in the address",
            ) from None
    try:
        context = ssl.create_default_context(cafile=named.get("ssl_ca_certs"))
        if "ssl_certfile" in named:
            context.load_cert_chain(named["ssl_certfile"], named.get("ssl_keyfile"))
    except (ssl.SSLError, OSError, ValueError) as error:
        raise UsageError(
            f"the certificates or the key of {without_secrets(url)} cannot be used: {error}",
            f"Name files in the PEM format with {', '.join(_TLS_FILES)}",
        ) from None


async def find_mistake(url: str) -> UsageError | None:
    """Ask the server that does not answer what it speaks; no secret is sent to it.

    Returns:
        The mistake, or None where the server may just be away.
    """
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return _mistake_of_socket(url, Path(unquote(parts.path)))
    host, port = parts.hostname or "localhost", parts.port or _DEFAULT_PORT
    if parts.scheme == "rediss":
        return _no_tls(url) if await _speaks_plain(host, port) else None
    return _tls_only(url) if await _speaks_tls(host, port) else None


def _mistake_of_socket(url: str, path: Path) -> UsageError | None:
    try:
        if path.is_socket():
            return None
        said = "is no socket" if path.exists() else "is not there"
    except OSError as error:
        said = f"cannot be used: {error.strerror}"
    return UsageError(
        f"the socket of {without_secrets(url)} {said}",
        "Correct the path, or start Redis first: `unixsocket` in its configuration names it",
    )


def _no_tls(url: str) -> UsageError:
    return UsageError(
        f"the server at {without_secrets(url)} speaks no TLS",
        "Give the address as redis://, or the port that `tls-port` names",
    )


def _tls_only(url: str) -> UsageError:
    return UsageError(
        f"the server at {without_secrets(url)} speaks TLS only", "Give the address as rediss://"
    )


async def _speaks_plain(host: str, port: int) -> bool:
    """Whether a line of plain text is answered, as Redis and HTTP servers do."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(b"PING\r\n")
                return (await reader.read(1)) in (b"+", b"-", b"H", b"<")
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


async def _speaks_tls(host: str, port: int) -> bool:
    """Whether a handshake is understood, whatever becomes of it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
            writer.close()
    except ssl.SSLError as error:
        return error.reason not in NO_TLS_REASONS
    except (OSError, TimeoutError):
        return False
    return True
