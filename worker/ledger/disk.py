"""The file system as the ledger uses it: every operation, and nothing else.

All that the ledger asks of a disk goes through a `Disk` and the `File`s that it opens, so that both
can be replaced as a whole: derive from them, and hand the disk to `Ledger.open`.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

# Where a system has no fdatasync (macOS), fsync does the same and more.
_sync_data: Final[Callable[[int], None]] = getattr(os, "fdatasync", os.fsync)


class FileStatus(NamedTuple):
    """What a file is. `modified_at` is the time of its last change, in seconds since 1970."""

    device: int
    inode: int
    is_regular: bool
    size: int
    links: int
    modified_at: float

    @classmethod
    def of(cls, found: os.stat_result) -> FileStatus:
        return cls(
            found.st_dev,
            found.st_ino,
            stat.S_ISREG(found.st_mode),
            found.st_size,
            found.st_nlink,
            found.st_mtime,
        )

    @property
    def identity(self) -> tuple[int, int]:
        """Equal for two names of one file."""
        return self.device, self.inode


class File:
    """An open file. Every method but `close` raises OSError where the system does."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def status(self) -> FileStatus:
        """What the file is now, whatever name it has."""
        return FileStatus.of(os.fstat(self._fd))

    def mount(self) -> int:
        """A number for the mount that the file is reached by; by the device where none is known."""
        try:
            lines = Path(f"/proc/self/fdinfo/{self._fd}").read_text().split("\n")
        except OSError:
            lines = []
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        return int(fields.get("mnt_id") or os.fstat(self._fd).st_dev)

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes; none at the end of the file."""
        return os.pread(self._fd, size, offset)

    def write(self, data: bytes | memoryview) -> int:
        """Append, and return how many bytes were taken, which may be fewer than all."""
        return os.write(self._fd, data)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)

    def sync(self) -> None:
        """On return the file's bytes and all that is known of it are on disk."""
        os.fsync(self._fd)

    def sync_data(self) -> None:
        """As `sync`, but for times and the like."""
        _sync_data(self._fd)

    def lock(self) -> None:
        """Hold the file's lock until it is closed. Raises BlockingIOError where another does."""
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def is_locked(self) -> bool:
        """Whether another open file holds the lock at this moment."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        return False

    @property
    def closed(self) -> bool:
        return self._fd < 0

    def close(self) -> None:
        """Close the file, and free its lock; may be repeated."""
        if not self.closed:
            os.close(self._fd)
            self._fd = -1


class Disk:
    """The names of files. Every method raises OSError where the system does."""

    def resolve(self, path: Path) -> Path:
        """The absolute path with all links followed; the file need not be there."""
        return Path(os.path.realpath(path))

    def is_directory(self, path: Path) -> bool:
        return path.is_dir()

    def status(self, path: Path, *, follow_symlinks: bool = True) -> FileStatus:
        return FileStatus.of(path.stat(follow_symlinks=follow_symlinks))

    def is_writable(self, path: Path) -> bool:
        """Whether this process may write to a file, or make names in a directory: by its effective
        user, not by the one who called it, for whom access(2) answers by default."""
        needed = os.W_OK | (os.X_OK if path.is_dir() else 0)
        return os.access(path, needed, effective_ids=os.access in os.supports_effective_ids)

    def is_mounted_alone(self, path: Path, file: File) -> bool:
        """Whether the open file at `path` is a mount of its own, apart from its directory."""
        directory = self.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return file.mount() != directory.mount()
        finally:
            directory.close()

    def open(self, path: Path, flags: int) -> File:
        """Open with the flags of `os.open`; a file that is made is its owner's alone."""
        return File(os.open(path, flags | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK, 0o600))

    def rename(self, path: Path, target: Path) -> None:
        """Give the file another name, in the place of any that has it."""
        path.rename(target)

    def remove(self, path: Path) -> None:
        """Remove the name, if it is there."""
        path.unlink(missing_ok=True)

    def sync_directory(self, path: Path) -> None:
        """Make the names in a directory last: a new or renamed file is lost without it."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
