"""What is wrong where Redis refuses: what no waiting mends, and what may pass."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    InvalidResponse,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from worker.cluster.address import NO_TLS_REASONS
from worker.core.errors import RefusedError, UsageError, WorkerError

_PASSING: Final = (ClusterDownError, OutOfMemoryError, ReadOnlyError, TryAgainError)
_PASSING_CODES: Final = frozenset({"BUSY", "MISCONF", "NOREPLICAS"})
"""Answers that another time may be better, when somebody has mended what they tell of; the codes
are those for which the client has no class."""

_is_not_permitted: Final = re.compile(
    "(The user executing the script can't (run|access)|ACL failure in script:)"
).match
"""What Redis says of a command that a script may not run, for which it has no code but ERR: Redis
7.0 the first, later ones and Valkey the second."""

_CLIENT_REFUSED: Final = (
    "ALERT_BAD_CERTIFICATE",
    "ALERT_CERTIFICATE_REQUIRED",
    "ALERT_HANDSHAKE_FAILURE",
    "ALERT_UNKNOWN_CA",
)
"""How OpenSSL's reasons end where the server ends the handshake, or a connection after it; before
that stands the version of TLS that has first had the alert."""

_LOST_WHILE_OPENED: Final = "; the handler is closed"
"""How uvloop, up to 0.23 at least, ends the RuntimeError of a connection that is lost while it is
opened: it has no class for that."""


class _Refusal(NamedTuple):
    """Ends a run with `kind`, whose sentence is of `{name}`, and `{said}` by the error."""

    applies: Callable[[Exception], object]
    kind: type[RefusedError | UsageError]
    sentence: str
    advice: str


_REFUSALS: Final = (
    _Refusal(
        lambda error: isinstance(error, AuthenticationError | AuthorizationError),
        RefusedError,
        "{name} refuses the password or the user: {said}",
        "Correct the address: redis://USER:PASSWORD@HOST, or :PASSWORD@ without a user",
    ),
    _Refusal(
        lambda error: (
            isinstance(error, NoPermissionError)
            or (isinstance(error, ResponseError) and _is_not_permitted(str(error)))
        ),
        RefusedError,
        "{name} does not let this user do what is needed: {said}",
        "Give the user the rights that config/redis.conf names",
    ),
    _Refusal(
        lambda error: any(isinstance(one, ssl.SSLCertVerificationError) for one in _causes(error)),
        RefusedError,
        "the TLS certificate of {name} is not valid: {said}",
        "Correct the address, or name the authority with ?ssl_ca_certs=FILE",
    ),
    _Refusal(
        lambda error: any(reason.endswith(_CLIENT_REFUSED) for reason in _tls_reasons(error)),
        RefusedError,
        "{name} wants a client's certificate, or another one: {said}",
        "Name it and its key with ?ssl_certfile=FILE&ssl_keyfile=FILE",
    ),
    _Refusal(
        lambda error: any(reason in NO_TLS_REASONS for reason in _tls_reasons(error)),
        UsageError,
        "the server at {name} speaks no TLS: {said}",
        "Give the address as redis://, or the port that `tls-port` names",
    ),
    _Refusal(
        lambda error: isinstance(error, ResponseError) and code_of(error) == "WRONGTYPE",
        UsageError,
        "a key of the same name holds something else in {name}: {said}",
        "Another program or an older version made it: take another name for the queue or"
        " the account, another database, or delete the key",
    ),
    _Refusal(
        lambda error: isinstance(error, InvalidResponse | MovedError),
        UsageError,
        "{name} is no Redis that stands alone: {said}",
        "Give the address of one Redis or Valkey server; a cluster will not do",
    ),
)

_NO_HOST: Final = _Refusal(
    lambda error: any(isinstance(one, socket.gaierror) for one in _causes(error)),
    UsageError,
    "{name} names no host: {said}",
    "Correct the address",
)
"""Once a host was reached, its name server is away, and comes back."""


def refusal(error: Exception, name: str, *, was_reached: bool) -> WorkerError | None:
    """What no waiting mends, in a sentence about the Redis of that name; None for all else.

    `was_reached` tells that this Redis has answered before.
    """
    for one in _REFUSALS if was_reached else (*_REFUSALS, _NO_HOST):
        if one.applies(error):
            said = str(error).rstrip(".")
            error_type = "redis_refused" if one.kind is RefusedError else None
            return one.kind(one.sentence.format(name=name, said=said), one.advice, error_type)
    return None


def may_pass(error: Exception) -> bool:
    """Whether the same call may be answered another time."""
    if isinstance(error, ResponseError):
        return isinstance(error, _PASSING) or code_of(error) in _PASSING_CODES
    return not isinstance(error, RuntimeError) or str(error).endswith(_LOST_WHILE_OPENED)


def code_of(error: ResponseError) -> str:
    """The word that an error of Redis begins with, also where a script or a command of it fails;
    redis-py takes ERR off, and those words for which it has a class."""
    return str(error).split(" ", maxsplit=1)[0]


def _tls_reasons(error: BaseException) -> list[str]:
    return [one.reason for one in _causes(error) if isinstance(one, ssl.SSLError) and one.reason]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
