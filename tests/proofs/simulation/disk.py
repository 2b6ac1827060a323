"""A disk that keeps only what was synced: what else survives a power cut is drawn.

As POSIX has it: bytes last after a sync of their file, names after a sync of their directory.
Written but unsynced bytes survive a power cut in any prefix, torn, or as zeros; so do names in the
order in which they were changed. A failed sync may have dropped what it should have written.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.proofs.simulation.process import Process
from worker.ledger.disk import Disk, File, FileStatus


class Inode:
    """A file's bytes: as the page cache shows them, and as the platter holds them."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.cached = b""
        self.durable = b""
        self.links = 1
        self.modified_at = 0.0
        self.holder: object | None = None

    def survive_power_cut(self, random: Random) -> None:
        if self.cached != self.durable:
            self.cached = self.durable = self._after_power_cut(random)

    def _after_power_cut(self, random: Random) -> bytes:
        if not self.cached.startswith(self.durable):
            return random.choice((self.cached, self.durable))
        tail = self.cached[len(self.durable) :]
        kept = random.choice((0, len(tail), random.randint(0, len(tail))))
        zeros = random.choice((0, 0, random.randint(0, len(tail) - kept)))
        return self.durable + tail[:kept] + bytes(zeros)


class Platter:
    """What outlives processes: inodes and the names that lead to them."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.names: dict[Path, Inode] = {}
        self._durable_names: dict[Path, Inode] = {}
        self._unsynced: list[dict[Path, Inode]] = []
        self._numbers = 0

    def create(self, path: Path) -> Inode:
        self._numbers += 1
        inode = Inode(self._numbers)
        self.change({**self.names, path: inode})
        return inode

    def change(self, names: dict[Path, Inode]) -> None:
        self.names = names
        self._unsynced.append(names)

    def sync_names(self) -> None:
        self._durable_names = self.names
        self._unsynced.clear()

    def cut_power(self) -> None:
        """Lose what was not synced, but for what happened to be written already."""
        survivors = [self._durable_names, *self._unsynced]
        self.names = self.random.choice(survivors)
        self.sync_names()
        for inode in self.names.values():
            inode.survive_power_cut(self.random)

    def free_locks(self) -> None:
        for inode in self.names.values():
            inode.holder = None

    def durable(self, path: Path) -> bytes:
        """What is sure to be in the file after a power cut."""
        inode = self._durable_names.get(path)
        return inode.durable if inode is not None else b""


class SimulatedDisk(Disk):
    """One process' view of the platter. `before` is called ahead of every operation that changes
    something: it may raise OSError, or let the process die."""

    def __init__(
        self,
        platter: Platter,
        process: Process,
        before: Callable[[str], None],
        utc: Callable[[], float],
    ) -> None:
        self.platter = platter
        self.opened: list[SimulatedFile] = []
        self._process = process
        self._before = before
        self._utc = utc

    def act(self, name: str) -> None:
        self._process.check()
        self._before(name)

    def touch(self, inode: Inode) -> None:
        inode.modified_at = self._utc()

    def resolve(self, path: Path) -> Path:
        return path

    def is_directory(self, path: Path) -> bool:
        return path == Path("/logs")

    def is_mounted_alone(self, path: Path, file: File) -> bool:
        del path, file
        return False

    def status(self, path: Path, *, follow_symlinks: bool = True) -> FileStatus:
        del follow_symlinks
        return _status(self._find(path))

    def open(self, path: Path, flags: int) -> File:
        if path in self.platter.names:
            if flags & os.O_EXCL:
                raise FileExistsError(errno.EEXIST, "File exists", str(path))
        elif flags & os.O_CREAT:
            self.act("create")
            self.touch(self.platter.create(path))
        file = SimulatedFile(self, self._find(path))
        self.opened.append(file)
        return file

    def rename(self, path: Path, target: Path) -> None:
        self.act("rename")
        names = dict(self.platter.names)
        names[target] = names.pop(path)
        self.platter.change(names)

    def remove(self, path: Path) -> None:
        self.act("remove")
        if path in self.platter.names:
            names = dict(self.platter.names)
            del names[path]
            self.platter.change(names)

    def sync_directory(self, path: Path) -> None:
        del path
        self.act("sync_directory")
        self.platter.sync_names()

    def _find(self, path: Path) -> Inode:
        self._process.check()
        inode = self.platter.names.get(path)
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
        return inode


class SimulatedFile(File):
    """An open file of a simulated disk."""

    def __init__(self, disk: SimulatedDisk, inode: Inode) -> None:
        super().__init__(0)
        self._disk = disk
        self._inode = inode

    def status(self) -> FileStatus:
        return _status(self._inode)

    def read_at(self, offset: int, size: int) -> bytes:
        return self._inode.cached[offset : offset + size]

    def write(self, data: bytes | memoryview) -> int:
        random, inode = self._disk.platter.random, self._inode
        taken = len(data) if random.random() < 0.9 else random.randint(1, len(data))
        kept = inode.cached
        inode.cached = kept + bytes(data[: random.randint(0, taken)])
        self._disk.act("write")
        inode.cached = kept + bytes(data[:taken])
        self._disk.touch(inode)
        return taken

    def truncate(self, size: int) -> None:
        self._disk.act("truncate")
        self._inode.cached = self._inode.cached[:size]
        self._disk.touch(self._inode)

    def sync(self) -> None:
        inode = self._inode
        try:
            self._disk.act("sync")
        except OSError:
            if self._disk.platter.random.random() < 0.5:
                lost = max(len(inode.cached) - len(inode.durable), 0)
                inode.cached = inode.durable + bytes(lost)
            raise
        inode.durable = inode.cached

    def sync_data(self) -> None:
        self.sync()

    def lock(self) -> None:
        if self._inode.holder not in (None, self):
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        self._inode.holder = self

    def is_locked(self) -> bool:
        return self._inode.holder not in (None, self)

    def close(self) -> None:
        if self._inode.holder is self:
            self._inode.holder = None
        self._fd = -1


def _status(inode: Inode) -> FileStatus:
    return FileStatus(1, inode.number, True, len(inode.cached), inode.links, inode.modified_at)
