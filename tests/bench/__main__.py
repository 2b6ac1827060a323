"""`python -m tests.bench`, which `make bench` calls."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # The package is called `bench`, as it is for the tests beside it.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from bench.command import main

    sys.exit(main(sys.argv[1:]))
