"""Where settings stand: a YAML file, environment variables, flags. Each gives texts, unparsed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path
from typing import Final

import msgspec

from worker.core.errors import UsageError
from worker.core.secrets import shown
from worker.settings.options import ENV_PREFIX, OPTION_BY_PATH, OPTIONS, Option

_SECTIONS: Final = tuple(
    dict.fromkeys(path.split(".")[0] for path in OPTION_BY_PATH if "." in path)
)
_OPTION_BY_ENV: Final = {option.env: option for option in OPTIONS}
_ENV_SECTIONS: Final = tuple(f"{ENV_PREFIX}{section.upper()}_" for section in _SECTIONS)
_CLOSE: Final = 0.8

_is_service_link: Final = re.compile(
    r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
).fullmatch
"""What Kubernetes sets for a service that happens to be named as our variables begin."""


class Given(msgspec.Struct, frozen=True):
    """A value as it was written, None for YAML's null.

    `where` names the place in messages, `origin` in the list of settings. `unusable` says what
    stands there in place of a single value.
    """

    option: Option
    text: str | None
    where: str
    origin: str
    unusable: str = ""


def given_in_flags(flags: Mapping[str, object]) -> Iterator[Given]:
    """Flags by dotted path. None, and False for a flag that stands alone, mean not given."""
    for path, value in flags.items():
        if value is None or value is False:
            continue
        option = OPTION_BY_PATH[path]
        origin = option.flag or "command line"
        yield Given(option, str(value), option.flag or path, origin)


def given_in_environment(environ: Mapping[str, str]) -> Iterator[Given]:
    """`WORKER_*` variables; an empty one counts as unset, whatever its name."""
    for name, text in environ.items():
        if not name.startswith(ENV_PREFIX) or not text.strip():
            continue
        option = _OPTION_BY_ENV.get(name)
        if option is not None:
            yield Given(option, text.strip(), name, name)
        elif _is_meant_for_us(name):
            raise UsageError(f"the environment variable {name} is unknown", _advice(name))


def given_in_file(path: Path, label: str) -> Iterator[Given]:
    """What a YAML file says; `label` names it."""
    from worker.settings.document import read_document  # noqa: PLC0415 - brings in the parser

    for entry in read_document(path, label):
        line = f"{label}, line {entry.line}"
        option = OPTION_BY_PATH.get(entry.path)
        if option is not None:
            yield Given(option, entry.text, f"{line}: {entry.path}", label, entry.unusable)
        elif entry.path not in _SECTIONS:
            raise UsageError(f"{line}: {shown(entry.path)} is not a setting", _advice(entry.path))
        elif entry.text is not None or entry.unusable:
            advice = f"Its keys are {_keys_of(entry.path)}"
            raise UsageError(f"{line}: {entry.path} must be a section", advice)


def _keys_of(section: str) -> str:
    paths = (path.partition(".") for path in OPTION_BY_PATH)
    return ", ".join(key for name, _, key in paths if name == section)


def _is_meant_for_us(name: str) -> bool:
    """Others use `WORKER_` too; but a misspelt setting must not be passed over in silence."""
    if _is_service_link(name):
        return False
    return name.startswith(_ENV_SECTIONS) or any(
        known.endswith(_ending(name)) or SequenceMatcher(None, name, known).ratio() >= _CLOSE
        for known in _OPTION_BY_ENV
    )


def _advice(name: str) -> str:
    if re.fullmatch(r"(worker_|api[_.])*(key|token|secret)", name, re.IGNORECASE):
        return "The key itself belongs in the environment variable COMPLYCUBE_API_KEY"
    known = tuple(_OPTION_BY_ENV) if name.startswith(ENV_PREFIX) else (*OPTION_BY_PATH, *_SECTIONS)
    nearest = _nearest(name, known)
    return f"Did you mean {nearest}?" if nearest else ""


def _nearest(name: str, known: Sequence[str]) -> str:
    """The known names with the same last word, or else the one most alike; empty if none is."""
    ending = _ending(name)
    same = [candidate for candidate in known if candidate.endswith(ending)]
    return " or ".join(same or get_close_matches(name, known, n=1))


def _ending(name: str) -> str:
    """How the right name may end: `.rate` for `api.rate`, `_RATE` for `WORKER_RATE`."""
    if name.startswith(ENV_PREFIX):
        return name.removeprefix(ENV_PREFIX.rstrip("_"))
    return "." + name.rpartition(".")[2]
