"""What several runs share: one budget of requests, and one queue of ids. Kept in Redis.

Only what is asked for with `--shared` imports this package, and with it Redis.
"""
