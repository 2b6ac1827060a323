"""Those whom a run tells what happens: what is shown never harms what is done."""

from __future__ import annotations

from collections.abc import Iterable

from worker.core.events import Event, Observer


class EventDispatcher:
    """Passes every event on to all observers. One that raises is told nothing more; what it raised
    stands in `defects`."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = list(observers)
        self.defects: list[Exception] = []

    def notice(self, event: Event) -> None:
        """Tell every observer; one that raises is told nothing more, and what it raised is kept."""
        for observer in tuple(self._observers):
            try:
                observer.notice(event)
            except Exception as error:  # noqa: BLE001 - a defect must not cost an outcome
                self._observers.remove(observer)
                self.defects.append(error)
