"""Doing the same to several instances at once."""

import threading
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from runner.adapters import cancellation
from runner.adapters.store import locks
from runner.domain.errors import RunnerError

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")

STOPS = 32  # instances that are stopped at once: none waits for what is wrong in another
WIDTH = 8  # the engine itself gains nothing from more


def map_parallel(
    verb: Callable[[_Item], _Answer],
    items: Iterable[_Item],
    width: int = WIDTH,
    *,
    locked: bool = False,
) -> list[_Answer]:
    """The answers of `verb` for every item, in their order; at most `width` at once.

    An error is raised at once: what is under way is not waited for, because every verb may be cut
    off anywhere and is completed by the next one. It is waited for where it is `locked` by what
    the caller holds (its children inherit these locks), and where the operation was cancelled: all
    of it ends then, and its events come before that of the operation's end.
    """
    from concurrent.futures import ThreadPoolExecutor  # late: `list` does without

    held, token = list(locks.held()) if locked else [], cancellation.current()

    def begin() -> None:
        locks.held().extend(held)
        cancellation.adopt(token)

    pool = ThreadPoolExecutor(width, initializer=begin)
    try:
        return list(pool.map(verb, items))
    finally:
        pool.shutdown(wait=locked or token.cancelled, cancel_futures=True)


class _Asked(Generic[_Item]):
    def __init__(self, item: _Item) -> None:
        self.item = item
        self.done = False
        self.error: BaseException | None = None


class Grouped(Generic[_Item]):
    """Does in one go what several threads ask for. `perform` gets what was asked for while it was
    busy with what came before; where that fails for several, it is tried for each alone."""

    def __init__(self, perform: Callable[[list[_Item]], object]) -> None:
        self._perform = perform
        self._waiting: list[_Asked[_Item]] = []
        self._lock, self._turn = threading.Lock(), threading.Lock()

    def __call__(self, item: _Item) -> None:
        """Have it done. Raises what `perform` raises for it."""
        mine = _Asked(item)
        with self._lock:
            self._waiting.append(mine)
        with self._turn:
            if not mine.done:
                with self._lock:
                    asked, self._waiting = self._waiting, []
                self._do(asked)
        if mine.error:
            raise mine.error

    def _do(self, asked: list[_Asked[_Item]]) -> None:
        try:
            self._perform([one.item for one in asked])
        except BaseException as error:
            if len(asked) > 1 and isinstance(error, Exception):
                for one in asked:
                    self._do([one])
            for one in asked:
                one.error = one.error if one.done else error
        for one in asked:
            one.done = True


def attempts(
    verb: Callable[[_Item], _Answer], items: Iterable[_Item], width: int = WIDTH
) -> list[_Answer | RunnerError]:
    """The same; a RunnerError is the answer of its item, and the others go on."""

    def attempt(item: _Item) -> _Answer | RunnerError:
        try:
            return verb(item)
        except RunnerError as error:
            return error

    return map_parallel(attempt, items, width)
