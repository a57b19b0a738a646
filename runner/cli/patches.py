"""A diff on the screen: what a stranger wrote is escaped, and the colours are our own."""

import re
from collections.abc import Iterator

import click

from runner.cli.output import printable

_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")


def shown(text: str) -> str:
    """A line of a file, with its tabs; all other control characters are escaped."""
    return "\t".join(printable(part) for part in text.split("\t"))


def coloured(text: str) -> Iterator[str]:
    """The lines of a diff, each with its line break.

    The counts of each hunk tell what is content: a line in it may look like a header.
    """
    old = new = 0
    lines = text.removesuffix("\n").split("\n") if text else []
    for line in lines:
        safe = shown(line)
        hunk = _HUNK.match(line) if old <= 0 and new <= 0 else None
        if hunk:
            old, new = (int(count or 1) for count in hunk.groups())
            yield click.style(safe, fg="cyan") + "\n"
        elif old > 0 or new > 0:
            sign = line[:1]
            old -= sign in ("-", " ")
            new -= sign in ("+", " ")
            colour = {"+": "green", "-": "red"}.get(sign)
            yield (click.style(safe, fg=colour) if colour else safe) + "\n"
        elif line.startswith("\\"):  # "\ No newline at end of file"
            yield safe + "\n"
        else:
            yield click.style(safe, bold=True) + "\n"
