"""`python -m worker`, and the installed command `complete-sessions`."""

from __future__ import annotations

from worker.cli import main

if __name__ == "__main__":
    main()
