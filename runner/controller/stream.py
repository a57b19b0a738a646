"""The stream of events of one operation."""

import itertools
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from runner.domain.events import Emit, Event, Listener, Notice, OperationEnded, Said, Warned


class Stream:
    """Numbers the events of one operation and hands them to its listener, one at a time and in
    their order, from whatever thread. Without a listener they are numbered only.

    An error of the listener is logged; neither the operation nor another event notices.
    """

    def __init__(self, listener: Listener | None = None, operation: str = "") -> None:
        self.operation = operation or os.urandom(4).hex()
        self._listener = listener
        self._journals: dict[str, Callable[[Notice], object]] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()

    def __call__(self, event: Event, instance: str | None = None) -> Notice:
        with self._lock:
            at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            notice = Notice(next(self._numbers), at, self.operation, instance, event)
            if self._listener:
                try:
                    self._listener(notice)
                except Exception:
                    import logging  # late: only what is broken pays for it

                    logging.getLogger(__name__).exception("a listener failed")
        return notice

    def ends_in(self, name: str, append: Callable[[Notice], object]) -> None:
        with self._lock:
            self._journals[name] = append

    def end(self, event: OperationEnded) -> None:
        """The last event, also for the journals that have others of this operation. What a thread
        that was not waited for tells later is not heard."""
        with self._lock:
            notice = self(event)
            self._listener = None
        for append in self._journals.values():
            append(notice)

    def aside(self, instance: str) -> Emit:
        return _Aside(self, instance)


class _Aside:
    """What the listener does not hear is numbered apart, so that it misses no number."""

    def __init__(self, stream: Stream, instance: str) -> None:
        self._stream = stream
        self._hidden = Stream(operation=stream.operation)
        self._instance = instance

    def __call__(self, event: Event, instance: str | None = None) -> Notice:
        if isinstance(event, Said | Warned):
            return self._stream(event, self._instance)
        return self._hidden(event, instance)

    def ends_in(self, name: str, append: Callable[[Notice], object]) -> None:
        """A throwaway instance takes its journal along."""

    def aside(self, instance: str) -> Emit:
        return _Aside(self._stream, instance)
