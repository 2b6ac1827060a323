"""Asking a run that is on how it stands, and telling it what to do: by a socket beside its log.

`server` is the run's side, `client` that of the commands; `protocol` is what one says to the other.
"""
