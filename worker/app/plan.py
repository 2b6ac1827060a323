"""What a run was asked to do."""

from __future__ import annotations

import msgspec

from worker.app.paths import RunFiles
from worker.settings import ApiKey, Settings


class Plan(msgspec.Struct, frozen=True):
    """What a run was asked to do: `files.source` or `queue` says where its ids are.

    One that `stays` waits for more ids where the queue is worked off.

    `progress` is None where the terminal decides.
    """

    files: RunFiles
    key: ApiKey
    queue: str | None = None
    stays: bool = False
    force: bool = False
    progress: bool | None = None
    warnings: tuple[str, ...] = ()

    @property
    def settings(self) -> Settings:
        return self.files.settings
