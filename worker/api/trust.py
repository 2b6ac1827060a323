"""Whose certificates are trusted: the system's authorities, or those that the environment names."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from worker.core.errors import UsageError

FILE_VARIABLE: Final = "SSL_CERT_FILE"
DIRECTORY_VARIABLE: Final = "SSL_CERT_DIR"

_is_hashed_name: Final = re.compile(r"[0-9a-f]{8}\.[0-9]+").fullmatch
_ADVICE: Final = "Correct the variable, or unset it to trust the system's authorities"


def check_trust(environ: Mapping[str, str]) -> None:
    """Raise UsageError where `SSL_CERT_FILE` or `SSL_CERT_DIR` names nothing that can be trusted.

    OpenSSL itself passes over such a path without a word, and then trusts nobody.
    """
    if (file := environ.get(FILE_VARIABLE)) is not None:
        _check_file(file)
    if directories := environ.get(DIRECTORY_VARIABLE):
        _check_directories(directories)


def _check_file(text: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=text)
    except ssl.SSLError:
        problem = "holds no certificate that can be read"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        problem = f"cannot be read ({reason})"
    else:
        if context.cert_store_stats()["x509"]:
            return
        problem = "holds no certificate"
    raise UsageError(f"the file that {FILE_VARIABLE} names ({text!r}) {problem}", _ADVICE)


def _check_directories(text: str) -> None:
    if any(_holds_authorities(Path(part)) for part in text.split(":") if part):
        return
    raise UsageError(
        f"{DIRECTORY_VARIABLE} ({text!r}) names no directory with certificates under their hashes",
        f"Prepare it with `openssl rehash DIRECTORY`. {_ADVICE}",
    )


def _holds_authorities(directory: Path) -> bool:
    try:
        return any(_is_hashed_name(path.name) for path in directory.iterdir())
    except (OSError, ValueError):
        return False
