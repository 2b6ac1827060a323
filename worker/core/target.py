"""Where a run sends its requests, as every record of its results log names it."""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

_SALT: Final = b"complete-sessions"
_ITERATIONS: Final = 100_000
_FINGERPRINT_BYTES: Final = 4


class Target(NamedTuple):
    """The API and the account: `str` gives the three parts with blanks between them.

    `fingerprint` tells a key from another one and nothing of either. It is short on purpose: so
    many keys share each of its values that none can be told from it, nor a guess be confirmed.
    """

    base_url: str
    kind: str
    fingerprint: str

    @classmethod
    def of(cls, base_url: str, kind: str, key: str) -> Target:
        """`base_url` must hold no secret; `kind` is the key's, such as `live` or `test`."""
        digest = hashlib.pbkdf2_hmac("sha256", key.encode(), _SALT, _ITERATIONS)
        return cls(base_url, kind, digest[:_FINGERPRINT_BYTES].hex())

    @classmethod
    def parse(cls, text: str) -> Target | None:
        """The target that `str` made the text of; None for any other text."""
        parts = text.split(" ")
        return cls(*parts) if len(parts) == 3 else None

    def __str__(self) -> str:
        return " ".join(self)

    @property
    def place(self) -> tuple[str, str]:
        """What every record of one log must share: the API, and the kind of key."""
        return self.base_url, self.kind
