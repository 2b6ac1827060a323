from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.settings_harness import Harness


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


@pytest.fixture(scope="module")
def shared_harness(tmp_path_factory: pytest.TempPathFactory) -> Harness:
    """One for all examples of a test that hypothesis runs."""
    return Harness(tmp_path_factory.mktemp("harness"))
