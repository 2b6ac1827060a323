"""`run --dry-run`: what a run would do, from the input and the log alone."""

from __future__ import annotations

import math
import os
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta

from worker.app.paths import STDIN, RunFiles
from worker.app.process.streams import say
from worker.app.target import target_of
from worker.core.clock import Clock
from worker.core.errors import UsageError
from worker.core.outcomes import Item
from worker.core.timetable import Timetable
from worker.ledger import Ledger, Past, Standing
from worker.reading.cost import ReadingCost
from worker.reading.sessions import milliseconds
from worker.settings import ApiKey, Settings, load_key, resolve_rate
from worker.sources import Shard, Source, open_source, sample_of

_CHUNK = 4096
"""Lines that are held at once. A choice: so many take next to no memory."""

_SAMPLES = 3
"""A choice: enough to see what kind of file it is; all of them are counted."""


class Forecast:
    """What a run would find in its source, counted as a run would count it."""

    def __init__(
        self, limit: int | None, shard: Shard | None = None, *, check_first: bool = False
    ) -> None:
        self._limit = limit
        self._check_first = check_first
        self._shard = shard
        self.input = 0
        self.invalid = 0
        self.samples: list[str] = []
        self.standings: Counter[Standing] = Counter()
        self.reading = ReadingCost(milliseconds(datetime.now(UTC)))

    def read(self, source: Source, past: Past | None) -> None:
        """Count all of a source; without a past nothing of it has settled. Raises what it does."""
        while items := source.take(_CHUNK):
            for item in items:
                self.count(item, past)

    def count(self, item: Item, past: Past | None) -> None:
        """Count one line, by what the ledger says of it; other shards' are left out."""
        if self._shard is not None and not self._shard.holds(item.id):
            return
        self.input += 1
        if item.problem is not None:
            self.invalid += 1
            if len(self.samples) < _SAMPLES:
                self.samples.append(sample_of(item))
            return
        standing = Standing.NEW if past is None else past.standing(item.id)
        self.standings[standing] += 1
        if standing in (Standing.NEW, Standing.CHECK):
            self.reading.add(item.id, must_be_single=standing is Standing.CHECK)

    @property
    def settled(self) -> int:
        return self.standings[Standing.SETTLED]

    @property
    def warnings(self) -> list[str]:
        """What looks wrong with the source as a whole, and the first lines that are no ids."""
        told = [f"cannot be an id: {sample}" for sample in self.samples]
        if self.input == 0:
            return ["the source holds no ids at all"]
        if 2 * self.invalid > self.input:
            told.insert(0, f"{self.invalid} of {self.input} lines cannot be ids: is it the file?")
        return told

    @property
    def to_send(self) -> int:
        """How many ids would be sent, no more than the limit allows."""
        open_ids = self.standings[Standing.NEW] + self.standings[Standing.CHECK]
        return open_ids if self._limit is None else min(open_ids, self._limit)

    @property
    def to_read(self) -> int:
        """How many of them are read before they are sent; at most, where a limit is set."""
        if self._check_first:
            return self.to_send
        return min(self.standings[Standing.CHECK], self.to_send)

    @property
    def requests_to_read(self) -> tuple[int, int]:
        """How many requests that takes: at least, as the list tells many with one, and at most."""
        least = min(self.reading.least, self.to_read) if self._check_first else self.to_read
        return least, self.to_read

    def lines(self, source: str, results: str, rates: Timetable, now: datetime) -> list[str]:
        """The forecast for people, with how long it takes by these rates from `now` on."""
        least, most = self.requests_to_read
        reason = "--check-first" if self._check_first else "they may have been sent"
        if least < most:
            reason += f", with {least} to {most} requests"
        requests = self.to_send + least, self.to_send + most
        return [
            f"source           {source}: {self.input} ids",
            f"results log      {results}",
            f"would be sent    {self.to_send}",
            f"of these, read   {self.to_read} first: {reason}",
            f"already settled  {self.settled}",
            f"duplicates       {self.standings[Standing.DUPLICATE]}",
            f"cannot be ids    {self.invalid}",
            f"would take       about {_how_long(requests, rates, now)}",
            "this assumes     that all of it gets through at once: no 429, no outage, no retry",
            "Nothing was sent.",
        ]


def _how_long(requests: tuple[int, int], rates: Timetable, now: datetime) -> str:
    """For at least and at most so many requests."""
    seconds = [rates.seconds_for(count, now.timestamp()) for count in requests]
    if math.isinf(seconds[-1]):
        return f"for ever, by the rates {rates}"
    lengths = [timedelta(seconds=round(each)) for each in seconds]
    length = " to ".join(dict.fromkeys(map(str, lengths)))
    if rates.is_constant:
        return f"{length} at {rates.highest_rate:g} requests a second"
    done = (now + lengths[-1]).astimezone()
    return f"{length} by the rates {rates}: done on {done:%A %d %B} about {done:%H:%M}"


def rehearse(files: RunFiles, *, force: bool) -> int:
    """Print the forecast of a run; sends, locks and changes nothing."""
    settings = files.settings
    key = _key(settings)
    rates = resolve_rate(settings.pace.rate, "unknown" if key is None else key.kind)
    target = None if key is None else target_of(settings, key)
    results = files.results()
    forecast = Forecast(settings.stop.limit, files.shard, check_first=settings.retry.check_first)
    written = settings.source
    opened = open_source(files.source or STDIN, format=written.format, field=written.field)
    with closing(opened) as source:
        past = Ledger.preview(results, force=force, target=target)
        forecast.read(source, past)
    found = [note.text for note in past.notes]
    for note in (*found, *source.notes, *forecast.warnings):
        say(f"note: {note}", err=True)
    for line in forecast.lines(source.name, str(results), rates, Clock().utc()):
        say(line)
    return 0


def _key(settings: Settings) -> ApiKey | None:
    try:
        return load_key(settings, os.environ)
    except UsageError as error:
        say(f"note: a run would stop with 2: {error}", err=True)
        return None
