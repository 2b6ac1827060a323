"""What a run keeps to where no setting says otherwise, with what a test changes."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from worker.app.composition import pacer_rules_of, policy_of
from worker.pacing.pacer_rules import PacerRules
from worker.runner import Policy
from worker.settings import Settings


def policy(**changes: Any) -> Policy:
    """The policy of the default settings, but for `changes`."""
    return replace(policy_of(Settings()), **changes)


def pacing(**changes: Any) -> PacerRules:
    """A pacer's rules by the default settings, but for `changes`."""
    return replace(pacer_rules_of(Settings()), **changes)
