"""The page on how it is built names what is there."""

from __future__ import annotations

import re

import pytest

from tests.support.program import PROJECT

PAGE = (PROJECT / ".docs" / "architecture.md").read_text(encoding="utf-8")
ROOMS = sorted(
    path.name for path in (PROJECT / "worker").iterdir() if (path / "__init__.py").exists()
)
NAMED = re.findall(r"`([a-z_]+/[a-z_/]+\.py)`(?:[, (]+`([\w.]+)`)?", PAGE)


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_stands_in_the_picture(room: str) -> None:
    assert re.search(rf"^ +.*\b{room}\b", PAGE.partition("| room |")[0], re.MULTILINE)


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_what_is_named_is_there(file: str, name: str) -> None:
    source = PROJECT / "worker" / file
    assert source.is_file()
    text = source.read_text(encoding="utf-8")
    assert all(re.search(rf"\b{part}\b", text) for part in name.split("."))


def test_the_words_stand_in_their_order() -> None:
    words = re.findall(r"^\| ([a-z ]+) \|", PAGE.partition("## The words")[2], re.MULTILINE)[1:]
    assert words == sorted(words)
    assert len(words) >= 30


def test_the_readme_leads_there() -> None:
    assert "(.docs/architecture.md)" in (PROJECT / "README.md").read_text(encoding="utf-8")
