"""Every setting and where it came from, as YAML that can be pasted into a settings file.

But for one: the address of Redis stands there without its password, and with a word about it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from worker.settings.loading import Loaded
from worker.settings.options import OPTIONS

_is_plain: Final = re.compile(r"(?:[A-Za-z_/]|\.{1,2}/)(?:[A-Za-z0-9_./-]|:(?=/|[0-9]))*").fullmatch
_RESERVED: Final = frozenset({"null", "none", "true", "false", "yes", "no", "on", "off", "y", "n"})


def print_settings(loaded: Loaded) -> str:
    """One line for each setting, its origin as a comment behind it, without a final newline."""
    lines = list(_lines(loaded))
    width = max(len(text) for text, _ in lines)
    return "\n".join(f"{text:<{width}}  # {origin}" if origin else text for text, origin in lines)


def _lines(loaded: Loaded) -> Iterator[tuple[str, str]]:
    """Text and origin; a section's first line has no origin."""
    last_section = ""
    for option in OPTIONS:
        section, _, key = option.path.rpartition(".")
        if section and section != last_section:
            yield f"{section}:", ""
        last_section = section
        value = option.value_in(loaded.settings)
        shown = option.text_of(value)
        text = f"{'  ' if section else ''}{key}: {_yaml(value, shown)}"
        is_cut = option.syntax.is_secret and value not in (None, shown)
        sign = " (password not shown)" if is_cut else ""
        yield text, _escaped(loaded.origins[option.path]) + sign


def _yaml(value: Any, text: str) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool | int | float):
        return text
    # Quoted also where only other readers of YAML would see a number, a time or a truth value.
    if _is_plain(text) and text.casefold() not in _RESERVED:
        return text
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_escaped(quoted)}"'


def _escaped(text: str) -> str:
    """Characters that are not printable as YAML's escapes, so that each value keeps to its line."""
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in text)
