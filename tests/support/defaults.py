"""What a run keeps to where no setting says otherwise, with what a test changes."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from worker.app.composition import pacer_options, policy_of
from worker.runner import Policy
from worker.settings import Settings


def policy(**changes: Any) -> Policy:
    """The policy of the default settings, but for `changes`."""
    return replace(policy_of(Settings()), **changes)


def pacing(**changes: Any) -> dict[str, Any]:
    """A pacer's arguments by the default settings, but for `changes`."""
    return pacer_options(Settings()) | changes
