"""Ids of workflow sessions, from a file, a pipe or standard input: one item for each line of input.

A line becomes an item whatever stands in it; only what ends the reading is an error.
"""

from __future__ import annotations

from worker.core.errors import SourceError
from worker.sources.asynchronous import AsyncSource
from worker.sources.items import item_of
from worker.sources.opening import open_source
from worker.sources.screening import sample_of
from worker.sources.shard import Shard, ShardedSource
from worker.sources.source import Source

__all__ = [
    "AsyncSource",
    "Shard",
    "ShardedSource",
    "Source",
    "SourceError",
    "item_of",
    "open_source",
    "sample_of",
]
