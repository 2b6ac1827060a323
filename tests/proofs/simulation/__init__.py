"""A deterministic simulation of whole runs, after the example of FoundationDB and TigerBeetle.

The real runner, pacer, intake, ledger and journal work on a loop without threads, on a disk that
keeps only what was synced, and against an API whose effects outlive its clients. One seed decides
everything: what goes wrong, when, and which of several ready callbacks runs first.
"""
