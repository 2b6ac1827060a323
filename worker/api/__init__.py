"""The remote side: one attempt at a time, and what its answer means."""
