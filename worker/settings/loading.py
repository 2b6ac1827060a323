"""The settings of a run: flags before environment before file before defaults."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import msgspec

from worker.core.errors import UsageError
from worker.core.secrets import learn_address, shown
from worker.settings.model import Settings
from worker.settings.options import OPTION_BY_PATH, OPTIONS
from worker.settings.small_files import learn_key_file, may_exist
from worker.settings.sources import (
    Given,
    given_in_environment,
    given_in_file,
    given_in_flags,
)

DEFAULT_CONFIG: Final = "config/worker.yaml"
USER_CONFIG: Final = "complete-sessions/worker.yaml"
DEFAULT_ORIGIN: Final = "default"

_AT_LEAST: Final = (
    ("pace.window", "pace.concurrency"),
    ("retry.backoff_max", "retry.backoff_initial"),
    ("retry.throttle_max", "retry.throttle_initial"),
)

_UNQUOTED: Final = "a value not shown here because it may hold a password"
_UNQUOTED_ADVICE: Final = "In a password write %2F for /, %3F for ?, %23 for # and %40 for @"


class Loaded(msgspec.Struct, frozen=True):
    """Settings, and where each came from by its dotted path: "default", the settings file's name,
    the environment variable's, or the flag's. `file` is the settings file that was read."""

    settings: Settings
    origins: dict[str, str]
    file: Path | None = None


def load(
    *,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    config: Path | None = None,
    cwd: Path | None = None,
) -> Loaded:
    """The settings in force.

    `flags` holds texts by dotted path, None where a flag was not given. Without `config`,
    config/worker.yaml is read where it stands in `cwd` (the working directory), or else what the
    user keeps in complete-sessions/worker.yaml of $XDG_CONFIG_HOME. UsageError for whatever is not
    right in any of the sources, be it overruled by another or not.
    """
    file, label = _file(config, cwd or Path(), environ)
    values = {option.path: option.default for option in OPTIONS}
    origins = dict.fromkeys(values, DEFAULT_ORIGIN)
    strengths = dict.fromkeys(values, 0)
    weakest_first = (
        () if file is None else given_in_file(file, label),
        given_in_environment(environ),
        given_in_flags(flags),
    )
    for strength, source in enumerate(weakest_first, start=1):
        for given in source:
            path = given.option.path
            values[path], origins[path], strengths[path] = _parse(given), given.origin, strength
            if path == "api.key_file" and values[path] is not None:
                learn_key_file(values[path])
    if strengths["pace.concurrency"] > strengths["pace.window"]:
        _widen_window(values, origins)
    _check_order(values, origins)
    return Loaded(msgspec.convert(_nested(values), Settings), origins, file)


def _file(config: Path | None, cwd: Path, environ: Mapping[str, str]) -> tuple[Path | None, str]:
    """The settings file, and what it is called in messages."""
    if config is not None:
        return cwd / config, str(config)
    if may_exist(cwd / DEFAULT_CONFIG):
        return cwd / DEFAULT_CONFIG, DEFAULT_CONFIG
    own = _of_user(environ)
    return (own, str(own)) if own is not None and may_exist(own) else (None, "")


def _of_user(environ: Mapping[str, str]) -> Path | None:
    """Where a user keeps settings, by the XDG Base Directory Specification."""
    base, home = environ.get("XDG_CONFIG_HOME", ""), environ.get("HOME", "")
    # A relative path is to be ignored, says the specification.
    if base.startswith("/"):
        return Path(base) / USER_CONFIG
    return Path(home) / ".config" / USER_CONFIG if home.startswith("/") else None


def _parse(given: Given) -> Any:
    syntax = given.option.syntax
    if given.unusable and not (syntax.is_list and given.text):
        raise UsageError(f"{given.where} is {given.unusable}; it must be {syntax.allowed}")
    if given.text is None:
        if syntax.null:
            return None
        raise UsageError(f"{given.where} is empty; it must be {syntax.allowed}")
    if syntax.is_secret:
        learn_address(given.text)
    try:
        return syntax.parse(given.text)
    except ValueError as error:
        must_be = f"it must be {error}"
    if syntax.is_secret and given.text:
        raise UsageError(f"{given.where} is {_UNQUOTED}; {must_be}", _UNQUOTED_ADVICE)
    near = get_close_matches(given.text.casefold(), syntax.choices, n=1)
    problem = f"{given.where} is {shown(given.text)}; {must_be}"
    raise UsageError(problem, f"Did you mean {near[0]}?" if near else "")


def _widen_window(values: dict[str, Any], origins: dict[str, str]) -> None:
    """Let the window follow a concurrency that a stronger source asks for.

    `--concurrency 500` over a file with a smaller window is no mistake, but a wish for more.
    """
    if values["pace.concurrency"] == "auto":
        return
    if values["pace.window"] < values["pace.concurrency"]:
        values["pace.window"] = values["pace.concurrency"]
        origins["pace.window"] += ", raised to pace.concurrency"


def _check_order(values: Mapping[str, Any], origins: Mapping[str, str]) -> None:
    for larger, smaller in _AT_LEAST:
        if values[smaller] != "auto" and values[larger] < values[smaller]:
            had = [
                f"{path} ({OPTION_BY_PATH[path].text_of(values[path])}, from {origins[path]})"
                for path in (larger, smaller)
            ]
            raise UsageError(f"{had[0]} must be at least {had[1]}")


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted paths unfolded: `{"pace.rate": 8}` gives `{"pace": {"rate": 8}}`."""
    tree: dict[str, Any] = {}
    for path, value in values.items():
        section, _, key = path.rpartition(".")
        (tree.setdefault(section, {}) if section else tree)[key] = value
    return tree
