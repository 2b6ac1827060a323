"""The asyncio runner: ids from a source through a client into a ledger, at a pacer's word."""

from worker.runner.event_dispatcher import EventDispatcher
from worker.runner.job import Policy
from worker.runner.limits import Limits
from worker.runner.ports import LedgerPort, SourcePort
from worker.runner.runner import Runner
from worker.runner.suspicion import MaxFailures

__all__ = [
    "EventDispatcher",
    "LedgerPort",
    "Limits",
    "MaxFailures",
    "Policy",
    "Runner",
    "SourcePort",
]
