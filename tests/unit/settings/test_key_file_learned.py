"""What is learned of a key file before anything else is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from worker.core.secrets import redact
from worker.settings.small_files import learn_key_file

KEY = "live_0aMiZu7o3Kq9f3a9"


def test_the_key_is_hidden_from_then_on(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    learn_key_file(tmp_path / "key")
    assert redact(f"/nowhere/{KEY}/x") == "/nowhere/[secret]/x"


@pytest.mark.parametrize("content", [f"Bearer {KEY}", f"the key is {KEY}\nof the account"])
def test_words_beside_a_key_stay_legible(tmp_path: Path, content: str) -> None:
    (tmp_path / "key").write_text(content)
    learn_key_file(tmp_path / "key")
    assert redact(f"the Bearer of the account is {KEY}") == "the Bearer of the account is [secret]"


def test_what_cannot_be_read_is_told_by_whoever_needs_it(tmp_path: Path) -> None:
    learn_key_file(tmp_path / "absent")
    learn_key_file(tmp_path)
    (tmp_path / "large").write_text(KEY * 1000)
    learn_key_file(tmp_path / "large")
    assert redact(KEY) == KEY


def test_a_pipe_is_left_to_whoever_needs_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    learn_key_file(tmp_path / "pipe")
