"""Files that are replaced as a whole."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import Final

READABLE_BY_OWNER: Final = 0o600
"""The mode of what may name ids, hosts or addresses."""


def replace_file(path: Path, content: bytes, *, mode: int) -> None:
    """Put `content` in the place of the file: whoever reads it has the old one or the new, whole.

    A link to the file stays a link. Raises OSError; then nothing has changed.
    """
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    # Beside the file, for the rename; not named *.prom, so that node_exporter passes it over.
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
