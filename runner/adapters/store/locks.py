"""Locks as files (flock): the kernel lets go of them when their holder dies."""

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from runner.adapters import cancellation
from runner.domain.errors import Busy

# Seconds between two tries to get a lock: flock itself would not notice a cancellation.
FIRST_GLANCE, GLANCE = 0.001, 0.02
_OWN = "process {}"  # what a lock file holds while it is held


@contextlib.contextmanager
def hold(
    path: Path,
    *,
    waiting: Callable[[str], object] | None = None,
    timeout: float | None = None,
) -> Iterator[None]:
    """Hold the exclusive lock `path` for the block; parents are made.

    When another process holds it, `waiting` is told once which ('process 4711'), then it waits: for
    `timeout` seconds, then raises Busy, or without an end. Raises Cancelled while it waits.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _lock(path, waiting, timeout)
    held().append(descriptor)
    try:
        yield
    finally:
        held().remove(descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # for its copies in children, too
        os.close(descriptor)


class _Mine(threading.local):
    def __init__(self) -> None:
        self.held: list[int] = []


_mine = _Mine()


def held() -> list[int]:
    """The locks that this thread holds. A child that inherits them keeps them when we are killed,
    for as long as it goes on."""
    return _mine.held


def is_held(path: Path) -> bool:
    """Whether some process holds the lock now."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def remove(path: Path) -> None:
    """Delete a lock file unless someone holds it."""
    if not is_held(path):
        path.unlink(missing_ok=True)


def _lock(path: Path, waiting: Callable[[str], object] | None, timeout: float | None) -> int:
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _await(path, descriptor, waiting, deadline)
        except BaseException:
            os.close(descriptor)
            raise
        waiting = None
        # Whoever removed the file between open and flock leaves us with a lock no one sees.
        if _is_still(path, descriptor):
            with contextlib.suppress(OSError):  # a courtesy; the disk may be full
                # Not emptied first: ext4 flushes a file that was, which takes up to 25 ms.
                os.ftruncate(
                    descriptor, os.pwrite(descriptor, _OWN.format(os.getpid()).encode(), 0)
                )
            return descriptor
        os.close(descriptor)


def _await(
    path: Path, descriptor: int, waiting: Callable[[str], object] | None, deadline: float | None
) -> None:
    """Lock it. Raises Busy where another process has it at `deadline` (time.monotonic) still."""
    if _try(descriptor):
        return
    holder = _holder(descriptor)
    if waiting:
        waiting(holder)
    pause = FIRST_GLANCE
    while not _try(descriptor):
        if deadline is not None and time.monotonic() > deadline:
            raise Busy(
                f"{holder} holds {path} and does not end.",
                hint=f"Wait for it, or end it: {holder}.",
                holder=holder,
            )
        cancellation.sleep(pause)
        pause = min(2 * pause, GLANCE)


def _holder(descriptor: int) -> str:
    """What another process, or another thread of this one, wrote into its lock."""
    name = os.pread(descriptor, 100, 0).decode(errors="replace") or "another process"
    return "another operation of this process" if name == _OWN.format(os.getpid()) else name


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
