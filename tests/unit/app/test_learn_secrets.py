"""What a command line may hold that must not be shown, known before anything can be shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.app.process.environment import learn_secrets
from worker.core.secrets import redact

SECRET = "qwertyuiopas"
ADDRESSES = (
    f"redis://host/0?password={SECRET}",
    f"redis://host/0?db=1&password={SECRET}",
    f"redis://jo:{SECRET}@host",
    f"redis://jo:{SECRET[:4]}={SECRET[4:]}@host/0?a=b",
)


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("option", ["--shared", "--metrics-push"])
@pytest.mark.parametrize("is_joined", [True, False])
def test_the_password_of_an_address_is_learned_however_it_is_given(
    address: str, option: str, is_joined: bool
) -> None:
    given = [f"{option}={address}"] if is_joined else [option, address]
    learn_secrets({}, ["run", "x=y", "--rate=1", *given, "--dry-run"])
    secret = f"{SECRET[:4]}={SECRET[4:]}" if "@host/0" in address else SECRET
    assert redact(f"it is {secret}") == "it is [secret]"
    assert secret not in redact(address)


@pytest.mark.parametrize("is_joined", [True, False])
def test_the_key_of_a_key_file_is_learned_however_it_is_given(
    tmp_path: Path, is_joined: bool
) -> None:
    file = tmp_path / "a=b"
    file.write_text("live_9aMiZu7o3Kq9f3a9")
    given = [f"--api-key-file={file}"] if is_joined else ["--api-key-file", str(file)]
    learn_secrets({}, ["check", *given])
    assert redact("it is live_9aMiZu7o3Kq9f3a9") == "it is [secret]"


def test_an_option_without_a_value_at_the_end_is_no_error() -> None:
    learn_secrets({}, ["run", "--shared"])
    learn_secrets({}, [])
