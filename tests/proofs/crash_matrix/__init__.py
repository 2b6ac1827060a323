"""Break what several machines consist of, one thing after the other, and count what came of it.

`python -m tests.proofs.crash_matrix` is `make crash-matrix`; CI runs a short form of it. Every row
has processes, a Redis and a sandbox of its own, whose count of triggered checks is the proof.
"""
