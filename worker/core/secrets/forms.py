"""The forms in which a secret may stand in a text: plain, escaped, and in base64."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from functools import cache, cached_property
from typing import Final

_ESCAPES: Final = ("\\", "%", "&")
_ESCAPES_IN_BYTES: Final = tuple(sign.encode() for sign in _ESCAPES)
_SHORTEST_IN_BASE64: Final = 12
"""A core of fewer characters could stand anywhere by chance."""


class Form:
    """A text to be found, in capitals or not, each of its characters plain or escaped."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.plain = text.casefold()
        self.plain_bytes = text.encode("utf-8", "surrogateescape").lower()

    def __len__(self) -> int:
        return len(self._text)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches the text in each form that it may be escaped to."""
        return re.compile("".join(map(_one_of_its_forms, self._text)))


def may_hold(forms: Iterable[Form], text: str) -> bool:
    """False where `text` certainly holds none of `forms`: decided cheaply for nearly all texts."""
    if any(sign in text for sign in _ESCAPES):
        return True
    folded = text.casefold()
    return any(form.plain in folded for form in forms)


def may_hold_in_bytes(forms: Iterable[Form], content: bytes) -> bool:
    """As `may_hold`, before anything is decoded: every answer of the API comes by here."""
    for sign in _ESCAPES_IN_BYTES:
        if sign in content:
            return True
    folded = content.lower()
    for form in forms:  # noqa: SIM110 - a generator takes longer
        if form.plain_bytes in folded:
            return True
    return False


def forms_of(secret: str) -> list[Form]:
    """The secret itself, and what base64 makes of it wherever in the encoded text it begins."""
    if len(secret) < _SHORTEST_IN_BASE64:
        return [Form(secret)]
    cores = [_base64_core(secret.encode("utf-8", "surrogateescape"), at) for at in range(3)]
    url_safe = [core.translate(str.maketrans("+/", "-_")) for core in cores]
    return [Form(secret), *map(Form, dict.fromkeys(cores + url_safe))]


def _base64_core(secret: bytes, at: int) -> str:
    """Those characters of the encoded text that the secret alone determines (RFC 4648, 4)."""
    first = -(-8 * at // 6)
    behind = 8 * (at + len(secret)) // 6
    return b64encode(bytes(at) + secret).decode()[first:behind]


@cache
def _one_of_its_forms(sign: str) -> str:
    """A pattern for a character as it is, or escaped once or more often.

    Each alternative begins with a literal character, not with a class or a flag: only then does
    `re` skip quickly to where a match can begin.
    """
    cases = sorted({sign, *(case for case in (sign.lower(), sign.upper()) if len(case) == 1)})
    by_number = [form for case in cases for form in _forms_by_number_or_name(case)]
    # Last, as none may be left of what begins with these: of `\u0075` where a secret ends with u.
    behind_backslash = [rf"\\(?:\\)*{re.escape(case)}" for case in cases]
    return f"(?:{'|'.join([*by_number, *behind_backslash, *map(re.escape, cases)])})"


def _forms_by_number_or_name(sign: str) -> list[str]:
    code = ord(sign)
    utf_8 = "".join(f"%(?:25)*{_hex(byte, 2)}" for byte in sign.encode("utf-8", "surrogateescape"))
    utf_16 = sign.encode("utf-16-be", "surrogatepass")
    units = [int.from_bytes(utf_16[at : at + 2]) for at in range(0, len(utf_16), 2)]
    json = "".join(rf"\\(?:\\)*u{_hex(unit, 4)}" for unit in units)
    entities = [rf"#0*{code}", f"#[xX]0*{_hex(code, 0)}", *_html_names().get(sign, [])]
    return [
        json,
        rf"\\(?:\\)*U{_hex(code, 8)}",
        *([rf"\\(?:\\)*x{_hex(code, 2)}"] if code < 256 else []),
        utf_8,
        f"&(?:amp;)*(?:{'|'.join(entities)});",
    ]


def _hex(number: int, digits: int) -> str:
    """A pattern for the number's hexadecimal digits, small or capital."""
    text = f"{number:0{digits}x}"
    return "".join(f"[{one}{one.upper()}]" if one.isalpha() else one for one in text)


@cache
def _html_names() -> dict[str, list[str]]:
    from html.entities import html5  # noqa: PLC0415 - long, and seldom needed

    names: dict[str, list[str]] = {}
    for name, text in html5.items():
        names.setdefault(text, []).append(name.rstrip(";"))
    return names
