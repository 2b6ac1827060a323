"""The status of given sessions, read with as few requests as it takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from itertools import islice
from typing import Final, NamedTuple

from worker.api.verdict import Settled, Transient, Unfinished, judge_status
from worker.core.clock import Clock
from worker.core.errors import RefusedError, WorkerError
from worker.reading.reader import ForeignAnswerError, Reader, ReadingStoppedError
from worker.reading.search import Search
from worker.reading.sessions import milliseconds
from worker.reading.walk import PAGE_SIZE

_log: Final = logging.getLogger(__name__)

_AT_ONCE: Final = 32
"""Sessions that are read side by side. A choice: answers of three seconds at 10/s need as many."""

_BATCH: Final = 256
"""Sessions that are told of together. A choice: half a minute of them at 8/s, so that whoever shows
how far it is moves on."""


class ReadStatus(NamedTuple):
    """What is known of a session: `verdict` is Transient where it could not be read.

    `is_listed` says that the list told it, which may lag behind the session itself.
    """

    id: str
    verdict: Settled | Unfinished | Transient
    is_listed: bool


class ListSearch:
    """One search of the list for many sessions: `next_page` until it gives None, then `rest`."""

    def __init__(self, search: Search, owner: StatusReader) -> None:
        self._search = search
        self._owner = owner

    async def next_page(self) -> list[tuple[str, Settled | Unfinished]] | None:
        """What the next page tells of the sessions; None where no page is worth its request."""
        search = self._search
        query = search.query()
        if query is None:
            if search.pages_fail:
                self._owner.on_useless_list("it shows hardly any of the sessions asked for")
            return None
        try:
            found = search.take(await self._owner.reader.page(query, search.next_id))
        except ForeignAnswerError:
            # That tells nothing of the API, nor of its list: the run finds out for itself.
            search.give_up()
            return None
        except RefusedError as error:
            self._owner.on_useless_list(error.message, is_refused=True)
            search.give_up()
            return []
        except ReadingStoppedError:
            search.give_up()
            return None
        _log.debug("a page of the list has told the status of %d sessions", len(found))
        return [(session.id, judge_status(session.status, 200)) for session in found]

    def rest(self) -> list[str]:
        """The sessions of which the pages have told nothing: absence from a list proves nothing."""
        return self._search.rest()


class StatusReader:
    """Reads statuses, by pages of the list where these take fewer requests than single sessions.

    `tell` is told once, in a sentence, where the list is of no use. Methods raise as `Reader`'s.
    """

    def __init__(
        self,
        reader: Reader,
        clock: Clock,
        tell: Callable[[str], None],
        page_size: int = PAGE_SIZE,
    ) -> None:
        self.reader = reader
        self._clock = clock
        self._tell = tell
        self._page_size = page_size
        self._is_list_refused = False
        self._was_told = False

    def stop(self) -> None:
        """Send nothing more; a search that is under way ends."""
        self.reader.stop()

    def search(self, ids: Iterable[str]) -> ListSearch:
        """Begin to look for these sessions in the list."""
        search = Search(ids, milliseconds(self._clock.utc()), self._page_size)
        if self._is_list_refused:
            search.give_up()
        return ListSearch(search, self)

    async def read(self, ids: Iterable[str]) -> AsyncIterator[list[ReadStatus]]:
        """The statuses of these sessions, each once, in any order, as they come to be known."""
        search = self.search(ids)
        while (page := await search.next_page()) is not None:
            yield [ReadStatus(each, verdict, is_listed=True) for each, verdict in page]
        rest = iter(search.rest())
        while batch := list(islice(rest, _BATCH)):
            yield await self.read_singly(batch)

    async def read_singly(self, ids: Sequence[str]) -> list[ReadStatus]:
        """The statuses of these sessions by a request for each."""
        room = asyncio.Semaphore(_AT_ONCE)

        async def read(session_id: str) -> ReadStatus:
            async with room:
                verdict = await self.reader.session(session_id)
                return ReadStatus(session_id, verdict, is_listed=False)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(read(session_id)) for session_id in ids]
        except* WorkerError as errors:
            raise _first(errors) from None
        return [task.result() for task in tasks]

    def on_useless_list(self, why: str, *, is_refused: bool = False) -> None:
        """Tell why once; where the list `is_refused` it is not asked any more."""
        self._is_list_refused = self._is_list_refused or is_refused
        if not self._was_told:
            self._was_told = True
            self._tell(f"the API's list is of no use here, so sessions are read one by one: {why}")


def _first(errors: BaseExceptionGroup[WorkerError]) -> WorkerError:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, WorkerError)
    return error
