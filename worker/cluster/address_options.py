"""The options that an address of Redis may have, as in redis://HOST/0?protocol=3.

The client has many more: some are no text, some it obeys without looking at them, and what it makes
of others is found out only by each call, as if the server were away.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

from worker.core.errors import UsageError
from worker.core.redis_url import without_secrets
from worker.core.secrets import shown


class _Option(NamedTuple):
    """Values that match `pattern` are allowed; `meant` says so."""

    pattern: str
    meant: str


_TEXT: Final = _Option("(?s).+", "a text")
_FILE: Final = _Option("(?s).+", "a file")

_OPTIONS: Final = {
    "db": _Option("[0-9]{1,9}", "a number"),
    "username": _TEXT,
    "password": _TEXT,
    "client_name": _Option("[!-~]+", "a word"),
    "protocol": _Option("[23]", "2 or 3"),
}
"""Timeouts are not among them: leases depend on those that the program has."""

_TLS_OPTIONS: Final = {
    "ssl_ca_certs": _FILE,
    "ssl_certfile": _FILE,
    "ssl_keyfile": _FILE,
    "ssl_cert_reqs": _Option("none|optional|required", "none, optional or required"),
    "ssl_check_hostname": _Option("true|false", "true or false"),
}

_is_name: Final = re.compile("[A-Za-z0-9_-]+").fullmatch


def check_options(url: str) -> None:
    """Raise UsageError where an option is none, cannot be what it is given as, or comes twice."""
    parts = urlsplit(url)
    allowed = _OPTIONS | _TLS_OPTIONS if parts.scheme == "rediss" else _OPTIONS
    given = parse_qs(parts.query, keep_blank_values=True)
    unknown = [name for name in given if name not in allowed]
    if unknown:
        raise _mistake(url, _said_of(unknown), _advice(unknown, allowed))
    for name, values in given.items():
        if len(values) > 1:
            raise _mistake(url, f"its {name} is given twice", "Leave one of them out")
        if not re.fullmatch(allowed[name].pattern, values[0]):
            said = f"its {name} is {shown(values[0])}"
            raise _mistake(url, said, f"It must be {allowed[name].meant}")


def _mistake(url: str, said: str, advice: str) -> UsageError:
    return UsageError(
        f"Redis cannot be reached by the address {without_secrets(url)}: {said}", advice
    )


def _said_of(unknown: list[str]) -> str:
    # A `?` in a password ends the address there: what comes behind is the rest of it.
    if not all(map(_is_name, unknown)):
        return "what stands behind its `?` is no option"
    named = ", ".join(map(repr, unknown))
    return f"it has no option{'s' * (len(unknown) > 1)} {named}"


def _advice(unknown: list[str], allowed: dict[str, _Option]) -> str:
    if not all(map(_is_name, unknown)):
        return "Write %3F for a `?` in a password"
    more = "" if allowed is not _OPTIONS else f", and with rediss:// also {', '.join(_TLS_OPTIONS)}"
    return f"Leave it out, or correct its name: there are {', '.join(allowed)}{more}"
