"""The API key: found, checked, and kept from being shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, NoReturn, SupportsIndex

from worker.core.errors import UsageError
from worker.core.secrets import learn, shown
from worker.core.secrets.variables import KEY_VARIABLE
from worker.core.timetable import Timetable, parse_timetable
from worker.settings.model import Settings
from worker.settings.small_files import LARGEST_KEY_FILE, UnreadableError, read_small

KeyKind = Literal["live", "test", "unknown"]


LIMIT_PER_S: Final[Mapping[KeyKind, float]] = {"live": 10.0, "test": 5.0, "unknown": 5.0}
"""The documented limits; a key of unknown kind gets the smaller one."""

AUTO_SHARE: Final = 0.8
"""What `auto` takes of the limit: customers on the same account need the rest."""

_SHORTEST_TO_HINT_AT: Final = 12
_HINT_LENGTH: Final = 4
_FILE_ADVICE: Final = "api.key_file must name a file that holds the API key and nothing else"
_has_assignment: Final = re.compile(
    r"(export\s+)?([A-Z][A-Z0-9_]*\s*=|(?i:[a-z_-]*(key|token|secret)\s*[=:]))"
).match
_find_foreign: Final = re.compile(r"[`<>;,{}()\[\]\\$#*|'\"]").search
"""Quotation marks, brackets and escapes of whatever the key was copied from."""


class ApiKey:
    """An API key that shows only its kind and last 4 characters, however it is printed.

    `warnings` are sentences for the operator; none of them holds the key.
    """

    __slots__ = ("_value", "warnings")

    def __init__(self, value: str, warnings: tuple[str, ...] = ()) -> None:
        self._value = value
        self.warnings = warnings

    @property
    def kind(self) -> KeyKind:
        """By the prefix: `live_` or `test_`."""
        if self._value.startswith("live_"):
            return "live"
        return "test" if self._value.startswith("test_") else "unknown"

    @property
    def hint(self) -> str:
        """`test_…f3a9`; without the last characters where the key is too short to spare them."""
        prefix = "" if self.kind == "unknown" else f"{self.kind}_"
        secret = self._value.removeprefix(prefix)
        return f"{prefix}…{secret[-_HINT_LENGTH:] if len(secret) >= _SHORTEST_TO_HINT_AT else ''}"

    def reveal(self) -> str:
        """The key itself: for the request's header and nothing else."""
        return self._value

    def __repr__(self) -> str:
        return f"ApiKey({self.hint})"

    def __str__(self) -> str:
        return self.hint

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("an API key is neither copied nor pickled")

    def __getstate__(self) -> NoReturn:
        raise TypeError("an API key is neither copied nor pickled")


def load_key(settings: Settings, environ: Mapping[str, str]) -> ApiKey:
    """The key that `api.key_file` holds, or else COMPLYCUBE_API_KEY; UsageError without a key."""
    if settings.api.key_file is not None:
        return read_key(settings.api.key_file)
    text = environ.get(KEY_VARIABLE, "").removeprefix("\ufeff").strip()
    if not text:
        raise UsageError(
            f"there is no API key: {KEY_VARIABLE} is not set",
            f"Set {KEY_VARIABLE}, or name a file that holds the key with --api-key-file",
        )
    return ApiKey(_checked(text, KEY_VARIABLE), _prefix_warnings(text, KEY_VARIABLE))


def read_key(path: Path) -> ApiKey:
    """The key that a file holds; UsageError where it holds none, or cannot be read."""
    where = f"the key file {shown(str(path))}"
    try:
        file = read_small(path, LARGEST_KEY_FILE)
    except UnreadableError as error:
        raise UsageError(f"{where} cannot be read: {error}", _FILE_ADVICE) from None
    text = file.text.strip()
    if not text:
        raise UsageError(f"{where} is empty", _FILE_ADVICE)
    exposed = (f"{where} can be read by others than its owner; `chmod 600` mends it",)
    warnings = _prefix_warnings(text, where) + (exposed if file.exposed else ())
    return ApiKey(_checked(text, where), warnings)


def _checked(text: str, where: str) -> str:
    """`text` if a request's header can carry it as a key; says what is wrong, never the text."""
    problem = _problem(text)
    if problem:
        raise UsageError(f"{where} {problem}", "Give the key alone, as the dashboard shows it")
    learn(text)
    return text


def _problem(text: str) -> str:
    if re.match(r"(authorization:\s*)?bearer\b", text, re.IGNORECASE):
        return "begins with `Bearer`, which does not belong to the key"
    if _has_assignment(text):
        return "holds an assignment (NAME=key), not a key"
    if text[0] in "\"'":
        return "holds quotation marks, which do not belong to the key"
    if len(text.splitlines()) > 1:
        return "holds more than one line"
    if any(char.isspace() for char in text):
        return "holds a blank inside the key"
    if not text.isascii():
        return "holds a character that is not ASCII"
    if not text.isprintable():
        return "holds a control character"
    if foreign := _find_foreign(text):
        return f"holds the sign {foreign[0]}, which does not belong to the key"
    return "holds a prefix without a key" if text in ("live_", "test_") else ""


def _prefix_warnings(text: str, where: str) -> tuple[str, ...]:
    if text.startswith(("live_", "test_")):
        return ()
    return (f"the key in {where} begins with neither live_ nor test_; the lower limit is assumed",)


def resolve_rate(rate: float | str, kind: KeyKind) -> Timetable:
    """The rates of a setting; `auto` is four fifths of the limit documented for the key's kind."""
    if rate == "auto":
        return Timetable.constant(LIMIT_PER_S[kind] * AUTO_SHARE)
    if isinstance(rate, str):
        return parse_timetable(rate)
    return Timetable.constant(rate)
