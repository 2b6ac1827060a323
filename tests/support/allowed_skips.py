"""Which tests may be skipped where everything is to be tested, and why: by file and reason."""

from __future__ import annotations

from typing import Final

ALLOWED: Final = {
    ("test_metrics.py", "every directory is open to root"): 1,
    ("test_key.py", "root may read everything"): 1,
    ("test_settings_file.py", "root may read everything"): 1,
    ("test_sources_opening.py", "root may read everything"): 1,
    ("test_check.py", "root may write everywhere"): 1,
}
"""How many at the most: CI is root, to whom everything is open."""


def unexpected(skips: list[tuple[str, str]]) -> list[str]:
    """A line for each kind of skip that is not allowed, or not so often.

    Args:
        skips: the file and the reason of each skipped test.
    """
    counts = {skip: skips.count(skip) for skip in skips}
    return [
        f"{file}: {count} skipped, {ALLOWED.get((file, reason), 0)} may be: {reason}"
        for (file, reason), count in counts.items()
        if count > ALLOWED.get((file, reason), 0)
    ]
