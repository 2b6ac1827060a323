"""What is remembered: outcomes, and what may be in flight."""
