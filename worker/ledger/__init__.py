"""What is remembered: the results log, the journal, and what they say of each id.

The invariant, at every instant and so at every possible crash: an id whose request may have left
this machine either has its outcome on disk, or stands in the journal on disk. What holds it up:

- The lock on the log is taken before anything is read, and ends with the process, so that one run
  at a time reads, repairs and writes.
- An id enters the journal and is synced before its first request. A crash in between leaves an id
  in the journal that was never sent: it is read once for nothing.
- An outcome is appended to the log and synced before it counts. A crash in between leaves the id
  in the journal without an outcome of its run, so it is read before it is sent again.
- A new run replaces a dead run's journal by a rename, with all ids still in doubt in the new one,
  after the log was read and before it lets an id of its own in. A crash before the rename leaves
  the old journal, one after it the new; both hold the ids in doubt.
- Only a run in good order removes its journal, after its last outcome is on disk, and if ids in
  doubt remain (they were not in its input), it leaves a journal of just these.
- The newline that ends a line is written with it and synced: text without one never counted.
"""

from __future__ import annotations

from worker.ledger.disk import Disk
from worker.ledger.journal import JOURNAL_SUFFIX, Header, journal_path, read_journal
from worker.ledger.ledger import Ledger
from worker.ledger.lines import GZIP_MAGIC, read_records, trace_of
from worker.ledger.memory import Standing
from worker.ledger.past import Past
from worker.ledger.results import TORN_SUFFIX

__all__ = [
    "GZIP_MAGIC",
    "JOURNAL_SUFFIX",
    "TORN_SUFFIX",
    "Disk",
    "Header",
    "Ledger",
    "Past",
    "Standing",
    "journal_path",
    "read_journal",
    "read_records",
    "trace_of",
]
