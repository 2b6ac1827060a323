"""A YAML file as dotted paths and texts.

The document is composed, not constructed: a scalar stays the text that was written. YAML 1.1 would
make 1350 of the time `22:30`, False of a column named `no`, and 8 of `010`. No object is ever made
of a tag.

Imported by who reads a settings file only: the parser would cost every other command its start.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import yaml

from worker.core.errors import UsageError
from worker.core.secrets import NOT_SHOWN, may_be_key, shown
from worker.settings.small_files import UnreadableError, read_small

_LARGEST_FILE: Final = 1024 * 1024
_TAG: Final = "tag:yaml.org,2002:"
_NULL: Final = f"{_TAG}null"
_SCALAR_TAGS: Final = frozenset(
    f"{_TAG}{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "value")
)


class YamlEntry(msgspec.Struct, frozen=True):
    """`path: text` on `line`; where the value is no text, `unusable` says what it is instead.

    The text of a list of words is those words with blanks between them.
    """

    path: str
    text: str | None
    line: int
    unusable: str = ""
    items: tuple[str, ...] | None = None


def read_document(path: Path, label: str) -> list[YamlEntry]:
    """Every value of the file, sections unfolded; UsageError names `label` and the line."""
    try:
        text = read_small(path, _LARGEST_FILE).text
    except UnreadableError as error:
        raise UsageError(
            f"the settings file {shown(label)} cannot be read: {error}",
            "Name another with --config, or mend this one",
        ) from None
    root = _compose(text, label)
    if root is None or root.tag == _NULL:
        return []
    return list(_entries(root, label))


def _compose(text: str, label: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = "it holds a character that YAML does not allow"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = error.problem or "it cannot be parsed"
    except RecursionError:
        line, problem = 1, "it is nested too deeply"
    # The parser's words may quote a scalar.
    problem = NOT_SHOWN if may_be_key(problem) else problem.replace("\n", " ")
    raise UsageError(
        f"{label}, line {line}: not valid YAML: {problem}",
        "Look there for a colon, a quote or an indentation that is missing",
    )


def _entries(root: yaml.Node, label: str) -> Iterator[YamlEntry]:
    if not isinstance(root, yaml.MappingNode):
        raise UsageError(
            f"{label} must be a mapping of settings, but is {_what(root)}",
            "Write `pace:` and below it, indented, `rate: 8`",
        )
    for name, line, value in _items(root, label):
        if not isinstance(value, yaml.MappingNode) or not value.value:
            yield _entry(name, line, value)
            continue
        for key, key_line, leaf in _items(value, label):
            yield _entry(f"{name}.{key}", key_line, leaf)


def _items(mapping: yaml.MappingNode, label: str) -> Iterator[tuple[str, int, yaml.Node]]:
    """Name, line and value; refuses a name that stands twice, of which YAML keeps the last."""
    lines: dict[str, int] = {}
    for key, value in mapping.value:
        line = key.start_mark.line + 1
        name = _name(key, f"{label}, line {line}")
        if name in lines:
            twice = f"{shown(name)} stands there twice, first on line {lines[name]}"
            raise UsageError(f"{label}, line {line}: {twice}", "Take one of them out")
        lines[name] = line
        yield name, line, value


def _name(key: yaml.Node, where: str) -> str:
    if not isinstance(key, yaml.ScalarNode):
        raise UsageError(f"{where}: a key must be a word, but is {_what(key)}", "Write `rate: 8`")
    name: str = key.value
    if "." in name:
        section, _, rest = name.partition(".")
        advice = "" if may_be_key(name) else f"Write `{section}:` and below it, indented, `{rest}:`"
        raise UsageError(f"{where}: {shown(name)} must not hold a dot", advice)
    return name


def _entry(path: str, line: int, node: yaml.Node) -> YamlEntry:
    if isinstance(node, yaml.MappingNode) and not node.value:
        return YamlEntry(path, None, line)
    if isinstance(node, yaml.SequenceNode) and all(map(_is_word, node.value)):
        return YamlEntry(path, " ".join(word.value for word in node.value), line, _what(node))
    if not _is_word(node):
        return YamlEntry(path, None, line, _what(node))
    return YamlEntry(path, None if node.tag == _NULL else node.value, line)


def _is_word(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag in _SCALAR_TAGS


def _what(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return "a single value" if _is_word(node) else "a value with a tag"
    return "a list" if isinstance(node, yaml.SequenceNode) else "a section"
