"""The key file, read again when the API refuses what it held."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from worker.core.errors import UsageError
from worker.core.secrets import redact
from worker.settings import ApiKey, RenewableKey

OLD, NEW, NEWER = (f"live_0aMiZu7o3Kq9f3a{end}" for end in "123")


def renewable(path: Path) -> RenewableKey:
    path.write_text(OLD)
    path.chmod(0o600)
    return RenewableKey(ApiKey(OLD), path)


def test_the_key_that_the_file_holds_now_is_in_use_from_then_on(tmp_path: Path) -> None:
    key = renewable(tmp_path / "key")
    for text in (NEW, NEWER):
        (tmp_path / "key").write_text(f"{text}\n")
        assert key.renew()
        assert key.reveal() == key.current.reveal() == text
    assert redact(f"{NEW} {NEWER}") == "[secret] [secret]"


def test_the_same_key_is_none_to_go_on_with_and_the_file_is_read_once(tmp_path: Path) -> None:
    key = renewable(tmp_path / "key")
    assert not key.renew()
    (tmp_path / "key").write_text(NEW)
    assert not key.renew()
    assert key.reveal() == OLD


def test_a_key_that_was_refused_before_is_not_taken_again(tmp_path: Path) -> None:
    key = renewable(tmp_path / "key")
    (tmp_path / "key").write_text(NEW)
    assert key.renew()
    (tmp_path / "key").write_text(OLD)
    assert not key.renew()
    assert key.reveal() == NEW


def test_a_key_of_another_kind_is_another_target(tmp_path: Path) -> None:
    key = renewable(tmp_path / "key")
    (tmp_path / "key").write_text(NEW.replace("live", "test"))
    with pytest.raises(UsageError, match="holds a key of kind test now, and the run began with"):
        key.renew()
    assert key.reveal() == OLD


@pytest.mark.parametrize(("content", "problem"), [("", "is empty"), (f"`{NEW}`", "holds the sign")])
def test_what_is_no_key_is_told_once(tmp_path: Path, content: str, problem: str) -> None:
    key = renewable(tmp_path / "key")
    (tmp_path / "key").write_text(content)
    with pytest.raises(UsageError, match=problem):
        key.renew()
    assert not key.renew()


def test_a_file_that_is_gone_gives_no_other_key(tmp_path: Path) -> None:
    key = renewable(tmp_path / "key")
    (tmp_path / "key").unlink()
    with pytest.raises(UsageError, match="cannot be read"):
        key.renew()


def test_a_key_of_the_environment_stays_what_it_is() -> None:
    assert not RenewableKey(ApiKey(OLD), None).renew()


def test_a_pipe_is_not_opened_again(tmp_path: Path) -> None:
    """Nobody writes to it any more: to open it would wait for ever."""
    os.mkfifo(tmp_path / "key")
    assert not RenewableKey(ApiKey(OLD), tmp_path / "key").renew()
