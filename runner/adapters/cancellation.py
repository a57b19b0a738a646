"""Ending an operation on demand: a token, which steps, locks and waits look at.

`with within(token):` is the operation, in this thread; a thread that works for it takes the token
over with `adopt`. Once the token is cancelled the next look raises Cancelled, and what waits is
broken off. What a step was doing is left as a kill would leave it: the next verb completes it.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator


class Cancelled(BaseException):
    """The operation is to end. No error, so that no code that copes with errors goes on."""

    code = "cancelled"


class Token:
    """Cancelled once, from any thread, and for good."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._ends: dict[object, Callable[[], object]] = {}

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    def cancel(self) -> None:
        with self._lock:  # what it breaks off is still waiting
            self._event.set()
            for end in self._ends.values():
                with contextlib.suppress(OSError):
                    end()

    def look(self) -> None:
        """Raises Cancelled once it is."""
        if self.cancelled:
            raise Cancelled

    def sleep(self, seconds: float) -> None:
        """Raises Cancelled as soon as it is."""
        if self._event.wait(seconds):
            raise Cancelled

    @contextlib.contextmanager
    def ending(self, end: Callable[[], object]) -> Iterator[None]:
        """See the function."""
        key = object()
        with self._lock:
            self.look()
            self._ends[key] = end
        try:
            yield
        except Exception as error:
            if self.cancelled:
                raise Cancelled from error
            raise
        finally:
            with self._lock:
                del self._ends[key]
        self.look()


class _Never(Token):
    """That of a thread that works for no operation."""

    def cancel(self) -> None:
        raise AssertionError("there is nothing to cancel")


class _Mine(threading.local):
    def __init__(self) -> None:
        self.token: Token = _Never()


_mine = _Mine()


def current() -> Token:
    """The token of the operation that this thread works for."""
    return _mine.token


def adopt(token: Token) -> None:
    """From now on this thread works for that operation."""
    _mine.token = token


@contextlib.contextmanager
def within(token: Token) -> Iterator[Token]:
    """Work for an operation in the block."""
    before = current()
    adopt(token)
    try:
        token.look()
        yield token
    finally:
        adopt(before)


@contextlib.contextmanager
def shielded() -> Iterator[None]:
    """What has to be done because of the cancellation is not cancelled."""
    with within(_Never()):
        yield


def look() -> None:
    """Raises Cancelled where the operation is to end."""
    current().look()


def sleep(seconds: float) -> None:
    """Wait so long. Raises Cancelled as soon as the operation is to end."""
    current().sleep(seconds)


def ending(end: Callable[[], object]) -> contextlib.AbstractContextManager[None]:
    """While the block waits for something, a cancellation calls `end`, from another thread, which
    has to break the wait off. Raises Cancelled then, whatever else the block came to."""
    return current().ending(end)
