"""The process itself: its standard streams, and its end by an interrupt. Imports nothing heavy."""

import contextlib
import os
import sys


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
