"""What all tests share: an environment without settings of the machine they run on."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from worker.settings import key

# What is started hundreds of times need not be compiled each time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A busy machine is slow, not wrong.
settings.register_profile("worker", deadline=None, max_examples=50)
settings.load_profile("worker")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("WORKER_") or name == "COMPLYCUBE_API_KEY":
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_keys_of_other_tests() -> None:
    key._loaded.clear()
