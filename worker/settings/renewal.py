"""The key of a run, which its key file may replace while the run lasts."""

from __future__ import annotations

from pathlib import Path

from worker.core.errors import UsageError
from worker.settings.key import ApiKey, read_key


class RenewableKey:
    """The key in use; `file` is where it was read from, None for one of the environment."""

    def __init__(self, key: ApiKey, file: Path | None) -> None:
        self.current = key
        self._file = file
        self._refused: set[str] = set()
        self._given_up = False

    def reveal(self) -> str:
        """The key itself, for the next request's header."""
        return self.current.reveal()

    def renew(self) -> bool:
        """Read the key file again, after the API has refused the key.

        Returns:
            True where the file holds a key that was not refused yet: from now on that is in use.
            False where there is none, and from then on without another look.

        Raises:
            UsageError: the file cannot be read, or holds no key or one of another kind. Once; later
                calls return False.
        """
        if self._given_up or self._file is None or _is_pipe(self._file):
            return False
        self._refused.add(self.reveal())
        self._given_up = True
        key = read_key(self._file)
        if key.kind != self.current.kind:
            raise UsageError(
                f"the key file holds a key of kind {key.kind} now, and the run began with one of"
                f" kind {self.current.kind}",
                "Each kind of key needs a results log of its own",
            )
        if key.reveal() in self._refused:
            return False
        self.current, self._given_up = key, False
        return True


def _is_pipe(path: Path) -> bool:
    """Whether it was read up at the start; nobody may be there to open its other end again."""
    return path.is_fifo() or path.is_char_device()
