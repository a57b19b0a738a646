"""The process itself: its standard streams, and its end by an interrupt. Imports nothing heavy."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

PATIENCE = 1.5  # seconds that an operation has to end once it is cancelled


def ensure_streams() -> None:
    """A closed standard stream becomes /dev/null: the next file opened would get its number, and
    what is printed or read would go there."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, mode, closefd=False))  # noqa: SIM115


def interrupted(number: int, _: object) -> None:
    """A handler of signals: end at once, threads and all, with the exit code of a shell."""
    with contextlib.suppress(OSError):
        os.write(2, b"interrupted; the same command goes on from here\n")
    os._exit(128 + number)


@contextlib.contextmanager
def cancellable(cancel: Callable[[], object]) -> Iterator[None]:
    """An operation that `cancel` ends, which Ctrl-C calls, in a thread of its own. The process ends
    at once, with the exit code of a shell, when a second one comes, or what is at work has not
    ended after PATIENCE seconds."""
    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # no thread but the first may ask; and it is ignored, or another operation's
        return
    read, write = os.pipe()
    threading.Thread(target=_cancel_on_signal, args=(read, cancel), daemon=True).start()

    def on_signal(number: int, _: object) -> None:
        # Nothing that takes a lock: the code that it interrupts may hold it.
        signal.signal(number, interrupted)
        os.write(write, b"!")

    signal.signal(signal.SIGINT, on_signal)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is on_signal:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.close(write)


def _cancel_on_signal(read: int, cancel: Callable[[], object]) -> None:
    number = os.read(read, 1)
    os.close(read)
    if number:
        cancel()
        time.sleep(PATIENCE)
        interrupted(signal.SIGINT, None)
