"""Where the command begins and ends. What is imported next takes a moment, and an interrupt in that
time is answered as it is later; hence a handler that is set by an import."""

import gc
import signal
import sys
import threading

from runner.cli.process import ensure_streams, interrupted, leave

# Objects made until garbage is looked for. With Python's own 700, a short verb spends a tenth of
# its time on looking through modules that all stay; with this one it never looks, and the API does.
GARBAGE = 100_000

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is to be ignored
    signal.signal(signal.SIGINT, interrupted)


def main() -> None:
    """The command `treedock`."""
    gc.set_threshold(GARBAGE)
    ensure_streams()
    from runner.cli.main import main

    try:
        main()
    except SystemExit as end:
        _leave(end)


def _leave(end: SystemExit) -> None:
    """End without tearing the interpreter down, which takes a tenth of what `exec` does. Raises
    `end` where that would cut something off: a thread at work, output that has not gone out, a
    profiler that writes at the end."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        raise end from None
    at_work = [one for one in threading.enumerate() if not one.daemon]
    watched = sys.getprofile() or sys.gettrace()
    if watched or at_work != [threading.main_thread()] or not isinstance(end.code, int):
        raise end
    leave(end.code)
