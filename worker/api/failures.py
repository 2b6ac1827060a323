"""A client's exceptions as values: which error each is, and whether the request may have left."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import Final

import aiohttp

from worker.core.outcomes import ErrorType

FAILURES: Final = (TimeoutError, aiohttp.ClientError, OSError, UnicodeError)
"""What a request can end with instead of an answer; all else is a defect of the program."""

_NO_TLS: Final = "the server does not speak TLS on this port (plain HTTP?)"
_OLD_TLS: Final = "the server and this machine have no version of TLS in common (1.2 is the oldest)"
_CLIENT_CERTIFICATE: Final = "the server asks for a client certificate, which is not supported"
_TLS_REASONS: Final = {
    "HTTP_REQUEST": _NO_TLS,
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "NO_PROTOCOLS_AVAILABLE": _OLD_TLS,
    "TLSV1_ALERT_PROTOCOL_VERSION": _OLD_TLS,
    "UNSUPPORTED_PROTOCOL": _OLD_TLS,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the server refuses the TLS handshake",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _CLIENT_CERTIFICATE,
}


class NotConnectedError(aiohttp.ClientError):
    """No connection was opened, for the reason in `__cause__`: nothing was sent to the server."""


class NotDepartedError(aiohttp.ClientError):
    """A connection was open, and the request was not to be sent any more."""


def classify(error: BaseException) -> tuple[ErrorType, bool]:
    """Which error it is, and whether the request may have arrived."""
    match error:
        case NotConnectedError():
            return _kind_of_refusal(error.__cause__), False
        case (
            NotDepartedError()
            | aiohttp.ConnectionTimeoutError()
            | aiohttp.InvalidURL()
            | UnicodeError()
        ):
            return ErrorType.CONNECT_FAILED, False
        case asyncio.TimeoutError():
            return ErrorType.TIMEOUT, True
        case aiohttp.ClientResponseError():
            return ErrorType.UNEXPECTED_RESPONSE, True
        case _:
            return ErrorType.CONNECTION_RESET, True


def describe(error: BaseException) -> str:
    """What happened, in one line; never empty."""
    if isinstance(error, NotConnectedError) and error.__cause__ is not None:
        return _describe_refusal(error.__cause__)
    return _with_hint(error)


def _kind_of_refusal(cause: BaseException | None) -> ErrorType:
    if isinstance(cause, aiohttp.ClientConnectorCertificateError):
        return ErrorType.CERTIFICATE
    if isinstance(cause, aiohttp.ClientHttpProxyError) and cause.status == 407:
        return ErrorType.PROXY_REFUSED
    return ErrorType.CONNECT_FAILED


def _describe_refusal(cause: BaseException) -> str:
    match cause:
        case aiohttp.ClientHttpProxyError(status=407):
            return "the proxy answered 407: it does not accept the user and password it was given"
        case aiohttp.ClientHttpProxyError():
            return f"the proxy opened no tunnel: it answered {cause.status} {cause.message}"
        case aiohttp.ClientProxyConnectionError():
            return f"no connection to the proxy: {_one_line(cause)}"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientResponseError():
            return f"the proxy opened no tunnel: {_one_line(cause)}"
        case aiohttp.ClientConnectorCertificateError():
            return f"{_one_line(cause)} (a company's own authority is named by SSL_CERT_FILE)"
        case _:
            return _with_hint(cause)


def _with_hint(error: BaseException) -> str:
    hint = _TLS_REASONS.get(_tls_reason(error))
    text = _one_line(error)
    return text if hint is None else f"{hint}: {text}"


def _tls_reason(error: BaseException | None) -> str:
    """OpenSSL's name for what went wrong; aiohttp's errors are SSLErrors that lack it."""
    while error is not None:
        reason = getattr(error, "reason", None)
        if isinstance(error, ssl.SSLError) and isinstance(reason, str):
            return reason
        error = error.__cause__
    return ""


def _one_line(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, ssl.SSLError):
        return _describe_opening(error)
    return " ".join(str(error).split()) or type(error).__name__


def _describe_opening(error: aiohttp.ClientConnectorError) -> str:
    server = f"{error.host}:{error.port}"
    said = _reason(error.os_error)
    if not said:
        return f"the connection to {server} was closed before it was ready"
    return f"no connection to {server}: {said}"


def _reason(error: OSError) -> str:
    """What the system says: event loops say of a refused call that it failed, and where."""
    if error.errno is None or isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    return os.strerror(error.errno)
