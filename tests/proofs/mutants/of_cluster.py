"""Mutants of what several runs share."""

from __future__ import annotations

from typing import Final

from tests.proofs.mutants.mutant import CLUSTER_SIMULATION, Mutant

_CONSUMER: Final = "worker/cluster/consumer.py"
_SHARED_LEDGER: Final = "worker/cluster/shared_ledger.py"
_QUEUE: Final = "worker/cluster/queue_scripts.py"
_BUDGET: Final = "worker/cluster/scripts.py"
_OF_QUEUE: Final = tuple(
    f"tests/unit/cluster/test_{name}.py" for name in ("lease_times", "leases", "queue")
)
_OF_BUDGET: Final = (
    "tests/unit/cluster",
    "tests/system/test_shared_run.py",
    "tests/system/test_shared_outages.py",
)
_OF_OUTAGES: Final = ("tests/system/test_shared_outages.py",)
_RATE: Final = "all runs on an account stay below its rate together"
_READ_FIRST: Final = "what was delivered before is read before it is sent"
_ONE_AT_A_TIME: Final = "no two runs send one id at a time"

CLUSTER: Final = (
    Mutant(
        "what another run was given is sent unread",
        _READ_FIRST,
        _QUEUE,
        "    found[#found + 1] = {{entry[1], entry[2], 1}}\n",
        "    found[#found + 1] = {{entry[1], entry[2], 0}}\n",
        _OF_QUEUE,
        CLUSTER_SIMULATION,
    ),
    Mutant(
        "what this machine's log knows of is sent unread",
        _READ_FIRST,
        _SHARED_LEDGER,
        "        return Standing.CHECK if known else Standing.NEW\n",
        "        return Standing.NEW\n",
        _OF_QUEUE,
        CLUSTER_SIMULATION,
    ),
    Mutant(
        "a request leaves though its lease may end before it does",
        _ONE_AT_A_TIME,
        _CONSUMER,
        "        if self._clock.now() + self._request_s < self._sure_until:\n",
        "        if True:\n",
        _OF_QUEUE,
        CLUSTER_SIMULATION,
    ),
    Mutant(
        "permits do not ask for leases",
        _ONE_AT_A_TIME,
        "worker/app/cluster_session.py",
        "is_sure=consumer.is_sure",
        "is_sure=None",
        _OF_OUTAGES,
        CLUSTER_SIMULATION,
    ),
    Mutant(
        "a run on a queue has the pacer of one without",
        _ONE_AT_A_TIME,
        "worker/app/assembly.py",
        "    return share\n",
        "    return share.source, share.ledger, met.make_pacer\n",
        _OF_OUTAGES,
        CLUSTER_SIMULATION,
    ),
    Mutant(
        "a late answer makes leases longer than they are",
        _ONE_AT_A_TIME,
        _CONSUMER,
        "        self._sure_until = min(self._leases.values(), default=until)\n",
        "        self._sure_until = until\n",
        _OF_QUEUE,
        CLUSTER_SIMULATION,
    ),
    Mutant(
        "leases are counted from the answer to a renewal",
        _ONE_AT_A_TIME,
        _CONSUMER,
        "        self._begin_leases(ids, began_at)\n",
        "        self._begin_leases(ids, self._clock.now())\n",
        _OF_QUEUE,
        CLUSTER_SIMULATION,
    ),
    Mutant(
        "leases are never renewed",
        "a run that lives keeps its ids",
        _CONSUMER,
        "self._lease_s / RENEWALS)\n            await self.renew()\n",
        "self._lease_s / RENEWALS)\n",
        _OF_QUEUE,
        CLUSTER_SIMULATION,
    ),
    Mutant(
        "an id that comes back is worked on while the runner still has it",
        _ONE_AT_A_TIME,
        _CONSUMER,
        "        is_free = isinstance(state, _Back) and state.is_free\n"
        "        item = Item(session_id, entry.item.line, check_first=True)\n",
        "        is_free = True\n"
        "        item = Item(session_id, entry.item.line, check_first=True)\n",
        _OF_QUEUE,
        CLUSTER_SIMULATION,
    ),
    Mutant(
        "an outcome is added for what another run has taken over",
        "each id has one outcome for every time it was queued",
        _QUEUE,
        "  if is_mine(place) then\n    local id",
        "  if true then\n    local id",
        _OF_QUEUE,
        CLUSTER_SIMULATION,
    ),
    Mutant(
        "a renewal takes what another run has taken over",
        _ONE_AT_A_TIME,
        _QUEUE,
        "  if is_mine(ARGV[i]) then\n",
        "  if true then\n",
        _OF_QUEUE,
        CLUSTER_SIMULATION,
    ),
    Mutant(
        "a run that is told to stop keeps what it holds until its lease is over",
        "others take over at once from a run that was told to stop",
        _CONSUMER,
        "        await self._queue.release(self._consumer)\n",
        "",
        _OF_QUEUE,
        CLUSTER_SIMULATION,
    ),
    Mutant(
        "what failed as the run was to end is settled",
        "what a run gives up at its end stays for others",
        _SHARED_LEDGER,
        "        if self._consumer.stopped and record.outcome is Outcome.FAILED:\n",
        "        if False:\n",
        _OF_QUEUE,
        CLUSTER_SIMULATION,
    ),
    Mutant(
        "the first permit of a run is the last one of another",
        _RATE,
        _BUDGET,
        "  free = last + gap\n",
        "  free = last\n",
        _OF_BUDGET,
        CLUSTER_SIMULATION,
    ),
    Mutant(
        "a run goes on while 429s pause another on its account",
        "where 429s pause one run on an account they pause all",
        _BUDGET,
        "is_granted = not is_outdated and (pause <= now or kept[4] == me)\n",
        "is_granted = not is_outdated\n",
        _OF_BUDGET,
        CLUSTER_SIMULATION,
    ),
    Mutant(
        "each run on an account goes by its own --rate",
        "of several rates on an account the lowest holds",
        _BUDGET,
        "    lowest = math.min(lowest, tonumber(its_ceiling))\n",
        "",
        _OF_BUDGET,
        CLUSTER_SIMULATION,
    ),
    Mutant(
        "any run ends the pause of an account",
        "the run whose 429s began a pause probes alone",
        _BUDGET,
        "if redis.call('HGET', KEYS[1], 'prober') ~= ARGV[1] then return 0 end\n",
        "",
        _OF_BUDGET,
        CLUSTER_SIMULATION,
    ),
    Mutant(
        "a volley of 429s cuts the shared rate once for each run",
        "a volley of 429 counts once",
        _BUDGET,
        "if cuts ~= tonumber(ARGV[1]) then return 0 end\n",
        "",
        _OF_BUDGET,
        CLUSTER_SIMULATION,
    ),
    Mutant(
        "a shared permit is used however late",
        _RATE,
        "worker/cluster/reservations.py",
        "        while self._ahead and now > self._ahead[0].at + self._ahead[0].tolerance_s:\n",
        "        while False:\n",
        _OF_BUDGET,
        CLUSTER_SIMULATION,
    ),
)
