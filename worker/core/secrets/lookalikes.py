"""Values in messages: cut, escaped, and left out where they may be a secret nobody has learned."""

from __future__ import annotations

import re
from typing import Final

NOT_SHOWN: Final = "a value not shown here because it may be a key"

_LONGEST_SHOWN: Final = 80
_PATH_BEGINNINGS: Final = ("/", "./", "../", "~/")
_has_key_prefix: Final = re.compile(r"(?<![\w/.-])(?:live|test)_\S{4}", re.IGNORECASE).search
_has_bearer: Final = re.compile(r"\bbearer\s+\S", re.IGNORECASE).search
_has_password: Final = re.compile(r"//\S*@|password=", re.IGNORECASE).search
"""In an address: a password may hold a `/` or a `?` that nobody has escaped."""

_find_tokens: Final = re.compile(r"[A-Za-z0-9+=_-]{16,}").findall
_LONG_TOKEN: Final = 24


def may_be_key(text: str) -> bool:
    """Errs on the side of yes: a wrong yes costs a detail of a message, a wrong no the key."""
    # No key begins like this, and a path is what a message about a file is for.
    if text.startswith(_PATH_BEGINNINGS):
        return False
    if holds_credential(text):
        return True
    return any(_is_random(token) for token in _find_tokens(text))


def holds_credential(text: str) -> bool:
    """Whether a part of `text` is marked as a key or a password; an id of a session is none."""
    return bool(_has_key_prefix(text) or _has_bearer(text) or _has_password(text))


def _is_random(token: str) -> bool:
    """Digits among letters, in both cases or at length, as words and names seldom have them."""
    kinds = [any(map(kind, token)) for kind in (str.isdigit, str.isupper, str.islower)]
    if len(token) < _LONG_TOKEN:
        return all(kinds)
    return kinds[0] and any(kinds[1:])


def shown(text: str) -> str:
    """`text` in quotes, fit for one line of a message; `NOT_SHOWN` where it may be the API key."""
    if may_be_key(text):
        return NOT_SHOWN
    return repr(text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…")
