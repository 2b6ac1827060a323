"""The target of a run, made of its settings and its key."""

from __future__ import annotations

from worker.core.target import Target
from worker.settings import ApiKey, Settings


def target_of(settings: Settings, key: ApiKey) -> Target:
    """Where a run with these settings and this key sends its requests."""
    return Target.of(settings.api.base_url, key.kind, key.reveal())
