"""Every secret of this process, learned once, and taken out of whatever is shown or written.

Learned are API keys, also one that another has replaced, and the passwords in the addresses of
proxies and of Redis. There is one registry for a process, as there is one standard error: a
traceback that nobody foresaw must hold no secret either.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qs, unquote

from worker.core.secrets.forms import Form, forms_of, may_hold, may_hold_in_bytes
from worker.core.secrets.lookalikes import may_be_key

HIDDEN: Final = "[secret]"

_SHORTEST: Final = 4
"""Shorter words would blot out other text; addresses are shown without them all the same."""

_SHORTEST_IN_ID: Final = 8
_LONGER_THAN_WORDS: Final = 12
_hide_userinfo: Final = re.compile(
    r"(?<=://)(?!USER:PASSWORD@)"
    r"(?:[^\s/@:]*:[^\s/@]+(?=@)|(?<=http://)[^\s/@]+(?=@)|(?<=https://)[^\s/@]+(?=@))"
).sub
"""The user and password of an address (RFC 3986, 3.2.1), whoever wrote it; of a user alone only
where HTTP speaks: a proxy may take a token for one. What advice writes in their place stays."""


class Secrets:
    """A registry of secrets, and what takes them out of text."""

    def __init__(self) -> None:
        self._forms: list[Form] = []
        self._in_answers: list[Form] = []
        self._in_ids: list[Form] = []
        self._texts: set[str] = set()

    def learn(self, *secrets: str, may_be_word: bool = False) -> None:
        """Keep each of `secrets` out of all that is shown from now on.

        `may_be_word` tells that it could be a word of the API as well: it is hidden where text is
        shown, and left in the answers and ids by which something is decided.
        """
        for secret in secrets:
            if len(secret) < _SHORTEST or secret in self._texts:
                continue
            self._texts.add(secret)
            forms = forms_of(secret)
            self._forms += forms
            if not may_be_word:
                self._in_answers += forms
                self._in_ids += [form for form in forms if len(form) >= _SHORTEST_IN_ID]
        for kept in (self._forms, self._in_answers):
            # One that holds another goes first, or its rest would be left standing.
            kept.sort(key=len, reverse=True)

    def learn_address(self, address: str) -> None:
        """Learn the password in an address such as `redis://user:password@host`.

        Also without a scheme, also where it cannot be parsed. A user without a password is learned
        where it looks like a token; a user's name is hidden where it stands in an address.
        """
        user, password, userinfo = _userinfo_of(address)
        passwords = passwords_of(address)
        if not password and may_be_key(user):
            passwords.append(user)
        for text in {*passwords, *map(unquote, passwords)}:
            self.learn(text, may_be_word=len(text) < _LONGER_THAN_WORDS)
        if userinfo:
            # As it is sent: RFC 7617.
            pair = f"{unquote(user)}:{unquote(password)}"
            self.learn(pair, b64encode(pair.encode("utf-8", "surrogateescape")).decode())

    def redact(self, text: str) -> str:
        """`text` without any secret, whether plain or escaped for JSON, a URL or HTML."""
        text = _without(self._forms, text) if text else text
        return _hide_userinfo(HIDDEN, text) if "://" in text else text

    def redact_bytes(self, content: bytes) -> bytes:
        """What a server said, without any secret of which it may have made an echo."""
        if not may_hold_in_bytes(self._in_answers, content):
            return content
        text = content.decode("utf-8", "surrogateescape")
        return _without(self._in_answers, text).encode("utf-8", "surrogateescape")

    def holds_secret(self, id: str) -> bool:
        """Whether an id is a secret, or holds one that does not stand in it by chance."""
        return id in self._texts or (
            may_hold(self._in_ids, id) and any(form.pattern.search(id) for form in self._in_ids)
        )


def passwords_of(address: str) -> list[str]:
    """The passwords in an address, as they stand there: of its user, and of its options."""
    options = parse_qs(address.partition("?")[2])
    return [*filter(None, [_userinfo_of(address)[1], *options.get("password", [])])]


def _userinfo_of(address: str) -> tuple[str, str, str]:
    """User and password of an address, and both as they stand there (RFC 3986, 3.2.1)."""
    rest = address.partition("//")[2] or address
    userinfo = rest.rpartition("@")[0]
    user, _, password = userinfo.partition(":")
    return user, password, userinfo


def _without(forms: Sequence[Form], text: str) -> str:
    if may_hold(forms, text):
        for form in forms:
            text = form.pattern.sub(HIDDEN, text)
    return text


_process: Secrets = Secrets()


def learn(*secrets: str) -> None:
    """Keep each of `secrets` out of all that this process shows from now on."""
    _process.learn(*secrets)


def learn_address(address: str) -> None:
    """Learn the password in an address, of a proxy or of Redis; see `Secrets.learn_address`."""
    _process.learn_address(address)


def redact(text: str) -> str:
    """`text` without any secret that this process knows, however it is escaped."""
    return _process.redact(text)


def redact_bytes(content: bytes) -> bytes:
    """A server's answer without any secret that it may have echoed."""
    return _process.redact_bytes(content)


def holds_secret(id: str) -> bool:
    """Whether an id is a secret of this process, or holds one."""
    return _process.holds_secret(id)
