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
    InvalidResponse,
    MovedError,
    NoPermissionError,
    ResponseError,
)

from worker.cluster.address import NO_TLS_REASONS
from worker.core.errors import RefusedError, UsageError, WorkerError

_PASSING_CODES: Final = frozenset(
    {"BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM", "READONLY"}
)
"""Answers that another time may be better, when somebody has mended what they tell of."""

_is_not_permitted: Final = re.compile(
    "NOPERM|ACL failure|can't (run|access)|has no permissions", re.IGNORECASE
).search
"""What a script's error says of a command that the user may not run; versions differ."""

_is_client_refused: Final = re.compile(
    r"alert (certificate required|bad certificate|unknown ca|handshake failure)", re.IGNORECASE
).search
"""What OpenSSL says where the server ends the handshake, or a connection after it."""


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
        lambda error: isinstance(error, NoPermissionError) or _is_not_permitted(str(error)),
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
        lambda error: _is_client_refused(str(error)),
        RefusedError,
        "{name} wants a client's certificate, or another one: {said}",
        "Name it and its key with ?ssl_certfile=FILE&ssl_keyfile=FILE",
    ),
    _Refusal(
        lambda error: any(getattr(one, "reason", None) in NO_TLS_REASONS for one in _causes(error)),
        UsageError,
        "the server at {name} speaks no TLS: {said}",
        "Give the address as redis://, or the port that `tls-port` names",
    ),
    _Refusal(
        lambda error: isinstance(error, ResponseError) and _code(error) == "WRONGTYPE",
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
    if isinstance(error, RuntimeError):
        # What uvloop says of a connection that is lost while it is being opened.
        return "closed" in str(error)
    return not isinstance(error, ResponseError) or _code(error) in _PASSING_CODES


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _code(error: ResponseError) -> str:
    """The word that an error of Redis begins with; redis-py takes some of them off."""
    kept = type(error).__name__.removesuffix("Error").upper()
    return {"OUTOFMEMORY": "OOM", "READONLY": "READONLY"}.get(kept, str(error).split(" ")[0])
