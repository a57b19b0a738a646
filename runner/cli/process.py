"""The process itself: its standard streams, and its end. Imports nothing heavy."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

PATIENCE = 1.5  # seconds that an operation has to end once it is cancelled
# What asks a process to end, and what these do where nothing was decided about them. One that is
# ignored (nohup) stays so.
ENDING: dict[signal.Signals, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}


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


def leave(code: int) -> NoReturn:
    """End at once with the exit code, threads and all, without tearing the interpreter down."""
    os._exit(code)


def interrupted(number: int, _: object) -> NoReturn:
    """A handler of signals: end at once with the exit code of a shell, whatever is at work."""
    with contextlib.suppress(OSError):
        os.write(2, b"interrupted; the same command goes on from here\n")
    leave(128 + number)


@contextlib.contextmanager
def cancellable(cancel: Callable[[], object]) -> Iterator[list[int]]:
    """An operation that `cancel` ends, which Ctrl-C and the other signals of ENDING call, in a
    thread of its own. Yields the signals that came. The process ends at once, with the exit code
    of a shell, when a second one comes, or what is at work has not ended after PATIENCE seconds."""
    mine = threading.current_thread() is threading.main_thread()
    kinds = [kind for kind, usual in ENDING.items() if mine and signal.getsignal(kind) == usual]
    came: list[int] = []
    if not kinds:
        yield came  # no thread but the first may ask; or they are ignored, or another operation's
        return
    read, write = os.pipe()
    threading.Thread(target=_cancel_on_signal, args=(read, cancel), daemon=True).start()

    def on_signal(number: int, _: object) -> None:
        # Nothing that takes a lock: the code that it interrupts may hold it.
        came.append(number)
        for kind in kinds:
            signal.signal(kind, interrupted)
        os.write(write, bytes([number]))

    for kind in kinds:
        signal.signal(kind, on_signal)
    try:
        yield came
    finally:
        if not came:
            for kind in kinds:
                signal.signal(kind, ENDING[kind])
            os.close(write)


def _cancel_on_signal(read: int, cancel: Callable[[], object]) -> None:
    number = os.read(read, 1)
    os.close(read)
    if number:
        cancel()
        time.sleep(PATIENCE)
        interrupted(number[0], None)
