"""Several simulated runs on one budget and one queue, with the real scripts in a model of Redis."""
