"""How each kind of setting is written: read from text, checked against its range, shown as text."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import time
from pathlib import Path
from typing import Any, Final, get_args
from urllib.parse import urlsplit

import msgspec

from worker.core.addresses import ALLOWED_ADDRESS, is_host, parse_base_url
from worker.core.durations import format_duration, parse_duration
from worker.core.errors import ExitCode
from worker.core.redis_url import ALLOWED_ENGINE, parse_engine_url, show_engine_url
from worker.core.secrets import may_be_key
from worker.core.timetable import parse_timetable
from worker.settings.small_files import may_exist

STDOUT: Final = Path("/dev/stdout")

_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})
_NONE: Final = frozenset({"none", "null"})
_is_whole: Final = re.compile(r"[0-9]{1,15}").fullmatch
_is_decimal: Final = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?").fullmatch
is_plain_name: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}").fullmatch
_match_time: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])").fullmatch


class Syntax(msgspec.Struct, frozen=True, kw_only=True):
    """One way to write a value.

    `parse` raises ValueError, whose text completes "it must be ..." like `allowed` does. It reads
    back what `show` wrote. `null` says whether an empty YAML value means None, `is_secret` whether
    a text may hold a password, so that no message may quote it, `is_list` whether YAML may give its
    words as a list.
    """

    allowed: str
    parse: Callable[[str], Any]
    show: Callable[[Any], str] = str
    metavar: str = ""
    choices: tuple[str, ...] = ()
    null: bool = False
    is_secret: bool = False
    is_list: bool = False


def or_none(syntax: Syntax) -> Syntax:
    """The same, where `none` takes a value away that a weaker source has given."""

    allowed = f"{syntax.allowed}, or none"

    def parse(text: str) -> object:
        if text.casefold() in _NONE:
            return None
        try:
            return syntax.parse(text)
        except ValueError as error:
            if syntax.is_secret or str(error) == syntax.allowed:
                raise ValueError(allowed) from None
            raise

    return msgspec.structs.replace(syntax, allowed=allowed, parse=parse, null=True)


def whole(low: int, high: int) -> Syntax:
    """A whole number within a range, both ends included."""
    allowed = f"a whole number from {low} to {high}"

    def parse(text: str) -> int:
        if not _is_whole(text) or not low <= int(text) <= high:
            raise ValueError(allowed)
        return int(text)

    return Syntax(allowed=allowed, parse=parse, metavar="N")


def or_auto(syntax: Syntax) -> Syntax:
    """The same, or `auto`."""

    def parse(text: str) -> Any:
        if text.casefold() == "auto":
            return "auto"
        try:
            return syntax.parse(text)
        except ValueError as error:
            raise ValueError(f"{error}, or auto") from None

    return msgspec.structs.replace(
        syntax,
        allowed=f"{syntax.allowed}, or auto",
        parse=parse,
        show=lambda value: value if value == "auto" else syntax.show(value),
    )


def count_or_share() -> Syntax:
    """A whole number from 0, or a share of 0 to 100 with a `%` behind it; kept as text."""
    allowed = "a whole number, or a share such as 50%"

    def parse(text: str) -> str:
        number, is_share = text.removesuffix("%"), text.endswith("%")
        is_number = _is_decimal(number) if is_share else _is_whole(number)
        if not is_number or (is_share and float(number) > 100):
            raise ValueError(allowed)
        return text

    return Syntax(allowed=allowed, parse=parse, metavar="N|P%")


def number(low: float) -> Syntax:
    """A decimal number, `low` or more."""
    allowed = f"a number of {low:g} or more"

    def parse(text: str) -> float:
        if not _is_decimal(text) or float(text) < low:
            raise ValueError(allowed)
        return float(text)

    return Syntax(allowed=allowed, parse=parse, metavar="R")


def rate(low: float, high: float) -> Syntax:
    """Requests a second, `auto`, or a timetable of rates, which is kept as text."""
    allowed = f"a number from {low:g} to {high:g} (requests a second), auto, or a timetable"

    def parse(text: str) -> float | str:
        if text.casefold() == "auto":
            return "auto"
        if "," in text:
            return str(parse_timetable(text, lowest=low, highest=high))
        if not _is_decimal(text) or not low <= float(text) <= high:
            raise ValueError(f"{allowed} such as `07:00,4 22:00,10`")
        return float(text)

    def show(value: float | str) -> str:
        return value if isinstance(value, str) else repr(value).removesuffix(".0")

    return Syntax(allowed=allowed, parse=parse, show=show, metavar="R", is_list=True)


def duration(low: str, high: str) -> Syntax:
    """Seconds within two durations, both included."""
    low_s, high_s = parse_duration(low), parse_duration(high)
    allowed = f"a duration from {low} to {high}, such as 500ms, 90s, 15m or 1h30m"

    def parse(text: str) -> float:
        try:
            seconds = parse_duration(text)
        except ValueError:
            raise ValueError(allowed) from None
        if not low_s <= seconds <= high_s:
            raise ValueError(allowed)
        return seconds

    return Syntax(allowed=allowed, parse=parse, show=format_duration, metavar="D")


def span(*, single: bool) -> Syntax:
    """Two durations in order, with a dash between them, as a pair of seconds; where `single` is
    set, one stands for both."""
    allowed = "two durations, the shorter one first, such as 20ms-200ms"
    if single:
        allowed += ", or one"

    def parse(text: str) -> tuple[float, float]:
        first, dash, second = text.partition("-")
        try:
            pair = parse_duration(first), parse_duration(second if dash else first)
        except ValueError:
            raise ValueError(allowed) from None
        if pair[0] > pair[1] or not (dash or single):
            raise ValueError(allowed)
        return pair

    return Syntax(allowed=allowed, parse=parse, metavar="D[-D]" if single else "FROM-TO")


def time_of_day() -> Syntax:
    """A time of day, to the minute."""
    allowed = "a time of day from 00:00 to 23:59"

    def parse(text: str) -> time:
        match = _match_time(text)
        if match is None:
            raise ValueError(allowed)
        return time(int(match[1]), int(match[2]))

    return Syntax(allowed=allowed, parse=parse, show="{:%H:%M}".format, metavar="HH:MM")


def choice(literal: Any) -> Syntax:
    """One of a Literal's words, in capitals or not."""
    choices: tuple[str, ...] = get_args(literal)
    allowed = f"one of {', '.join(choices)}"

    def parse(text: str) -> str:
        if text.casefold() not in choices:
            raise ValueError(allowed)
        return text.casefold()

    return Syntax(allowed=allowed, parse=parse, choices=choices)


def switch() -> Syntax:
    """True or false, in the words that YAML has for them."""
    allowed = "true or false"

    def parse(text: str) -> bool:
        word = text.casefold()
        if word not in _TRUE | _FALSE:
            raise ValueError(allowed)
        return word in _TRUE

    return Syntax(allowed=allowed, parse=parse, show=lambda value: str(value).lower())


def name() -> Syntax:
    """Any text that is not too long for a name."""
    allowed = "a name of 1 to 200 characters"

    def parse(text: str) -> str:
        if not 1 <= len(text) <= 200:
            raise ValueError(allowed)
        return text

    return Syntax(allowed=allowed, parse=parse, metavar="NAME")


def plain_name() -> Syntax:
    """A name that may stand in a key of Redis."""
    allowed = "a name of letters, digits, '_', '.' and '-', 100 at most, and not the key"

    def parse(text: str) -> str:
        if not is_plain_name(text) or may_be_key(text):
            raise ValueError(allowed)
        return text

    return Syntax(allowed=allowed, parse=parse, metavar="NAME")


def file() -> Syntax:
    """A path, relative to the working directory; a leading `~` is the home directory."""
    allowed = "the path of a file"

    def parse(text: str) -> Path:
        if text in ("", "-") or "\0" in text:
            raise ValueError(allowed)
        try:
            return Path(text).expanduser()
        except RuntimeError:
            raise ValueError(f"{allowed}; there is no such home directory") from None

    def show(path: Path) -> str:
        # `./-` is a file, and `-` alone is none; so it is with `none`.
        text = str(path)
        return f"./{text}" if text == "-" or text.casefold() in _NONE else text

    return Syntax(allowed=allowed, parse=parse, show=show, metavar="FILE")


def file_or_stdout() -> Syntax:
    """A path, or `-` for the standard output."""
    paths = file()

    def parse(text: str) -> Path:
        path: Path = STDOUT if text == "-" else paths.parse(text)
        return path

    def show(path: Path) -> str:
        return "-" if path == STDOUT else paths.show(path)

    allowed = f"{paths.allowed}, or - for standard output"
    return Syntax(allowed=allowed, parse=parse, show=show, metavar="FILE")


def exit_codes() -> Syntax:
    """Exit codes of a run but 0, with commas or blanks between them; `none` is none of them."""
    known = [str(int(code)) for code in ExitCode if code is not ExitCode.OK]
    allowed = f"exit codes with commas between them, of {', '.join(known)}"

    def parse(text: str) -> tuple[int, ...]:
        if text.casefold() in _NONE:
            return ()
        words = text.replace(",", " ").split()
        if not words or not set(words) <= set(known):
            raise ValueError(allowed)
        return tuple(sorted({int(word) for word in words}))

    def show(codes: tuple[int, ...]) -> str:
        return ",".join(map(str, codes)) or "none"

    return Syntax(allowed=allowed, parse=parse, show=show, metavar="CODES", is_list=True)


def command() -> Syntax:
    """A command for the shell, which is not looked into."""
    allowed = "a command for the shell"

    def parse(text: str) -> str:
        if not text.strip() or "\0" in text:
            raise ValueError(allowed)
        return text

    return Syntax(allowed=allowed, parse=parse, metavar="COMMAND")


def key_file() -> Syntax:
    """A path that cannot be the key itself, pasted into the wrong place."""
    paths = file()

    def parse(text: str) -> Path:
        path: Path = paths.parse(text)
        if may_be_key(text) and not may_exist(path):
            raise ValueError("the path of a file that holds the key, and not the key itself")
        return path

    return msgspec.structs.replace(paths, parse=parse)


def address() -> Syntax:
    """The base URL of the API."""
    return Syntax(allowed=ALLOWED_ADDRESS, parse=parse_base_url, metavar="URL")


def gateway() -> Syntax:
    """The address of a Pushgateway, which stands where a run does: http will do."""
    allowed = "an http:// or https:// address without query and fragment"

    def parse(text: str) -> str:
        try:
            parts = urlsplit(text)
            is_address = parts.scheme in ("http", "https") and parts.port != 0
        except ValueError:
            raise ValueError(allowed) from None
        host = parts.hostname or ""
        if not is_address or not is_host(host) or not text.isprintable() or set(text) & set(" ?#"):
            raise ValueError(allowed)
        return text.rstrip("/")

    return Syntax(
        allowed=allowed, parse=parse, show=without_userinfo, metavar="URL", is_secret=True
    )


def without_userinfo(url: str) -> str:
    """The address without user and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def engine() -> Syntax:
    """The address of a Redis, which may hold a password."""
    return Syntax(
        allowed=ALLOWED_ENGINE,
        parse=parse_engine_url,
        show=show_engine_url,
        metavar="URL",
        is_secret=True,
    )
