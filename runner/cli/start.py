"""Where the command begins. What is imported next takes a third of a second, and an interrupt in
that time is answered as it is later; hence a handler that is set by an import."""

import signal

from runner.cli.process import ensure_streams, interrupted

signal.signal(signal.SIGINT, interrupted)


def main() -> None:
    """The command `treedock`."""
    ensure_streams()
    from runner.cli.main import main

    main()
