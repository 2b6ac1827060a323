"""The status of given sessions, read with as few requests as it takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from itertools import islice
from typing import Final, NamedTuple

from worker.api.verdict import Settled, Transient, Unfinished, judge_status
from worker.core.clock import Clock
from worker.core.errors import RefusedError, WorkerError
from worker.reading.reader import Reader
from worker.reading.search import Search
from worker.reading.sessions import ListedSession, milliseconds

_AT_ONCE: Final = 32
_BATCH: Final = 256


class ReadStatus(NamedTuple):
    """What is known of a session: `verdict` is Transient where it could not be read.

    `is_listed` says that the list told it, which may lag behind the session itself.
    """

    id: str
    verdict: Settled | Unfinished | Transient
    is_listed: bool


class StatusReader:
    """Reads statuses, by pages of the list where these take fewer requests than single sessions.

    `tell` is told once, in a sentence, where the list is of no use. Methods raise as `Reader`'s.
    """

    def __init__(self, reader: Reader, clock: Clock, tell: Callable[[str], None]) -> None:
        self._reader = reader
        self._clock = clock
        self._tell = tell
        self._is_list_refused = False
        self._was_told = False

    def search(self, ids: Iterable[str]) -> Search:
        """A search of the list for these ids, for `next_page`."""
        search = Search(ids, milliseconds(self._clock.utc()))
        if self._is_list_refused:
            search.give_up()
        return search

    async def next_page(self, search: Search) -> list[ListedSession] | None:
        """What the next page shows of what is searched for; None where no page is worth it."""
        query = search.query()
        if query is None:
            if search.pages_fail:
                self._tell_once("it shows hardly any of the sessions that are asked for")
            return None
        try:
            return search.take(await self._reader.page(query))
        except RefusedError as error:
            self._tell_once(error.message)
            self._is_list_refused = True
            search.give_up()
            return []

    async def read(self, ids: Iterable[str]) -> AsyncIterator[list[ReadStatus]]:
        """The statuses of these sessions, each once, in any order, as they come to be known."""
        search = self.search(ids)
        while (shown := await self.next_page(search)) is not None:
            yield [listed_status(session) for session in shown]
        rest = iter(search.rest())
        while batch := list(islice(rest, _BATCH)):
            yield await self.read_singly(batch)

    async def read_singly(self, ids: Sequence[str]) -> list[ReadStatus]:
        """The statuses of these sessions by a request for each."""
        room = asyncio.Semaphore(_AT_ONCE)

        async def read(session_id: str) -> ReadStatus:
            async with room:
                verdict = await self._reader.session(session_id)
                return ReadStatus(session_id, verdict, is_listed=False)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(read(session_id)) for session_id in ids]
        except* WorkerError as errors:
            raise _first(errors) from None
        return [task.result() for task in tasks]

    def _tell_once(self, why: str) -> None:
        if not self._was_told:
            self._was_told = True
            self._tell(f"the API's list is of no use here, so sessions are read one by one: {why}")


def listed_status(session: ListedSession) -> ReadStatus:
    """A session's status as the list shows it."""
    return ReadStatus(session.id, judge_status(session.status, 200), is_listed=True)


def _first(errors: BaseExceptionGroup[WorkerError]) -> WorkerError:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, WorkerError)
    return error
