"""Progress on stderr: a live line per instance on a terminal, plain lines elsewhere."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click

from runner.cli.output import printable, shown
from runner.domain.events import (
    Listener,
    Notice,
    Output,
    Said,
    StepFailed,
    StepFinished,
    StepStarted,
    Warned,
)

if TYPE_CHECKING:
    from rich.progress import Progress


@contextmanager
def narration(*, timings: bool) -> Iterator[Listener]:
    """A listener that shows events on stderr, with `timings` how long each step took."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False))
        console = Console(stderr=True)
        with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as live:
            yield _Live(live, timings=timings)
    else:
        yield _Plain(timings=timings)


class _Plain:
    def __init__(self, *, timings: bool) -> None:
        self._timings = timings
        self._lock = threading.Lock()

    def __call__(self, notice: Notice) -> None:
        text = _sentence(notice, timings=self._timings)
        if text:
            with self._lock, suppress(OSError):  # that nothing reads it does not end the verb
                click.echo(text, err=True)


class _Live:
    """One line per instance that shows its current step; the rest is printed above."""

    def __init__(self, progress: "Progress", *, timings: bool) -> None:
        self._progress = progress
        self._timings = timings
        self._lines: dict[str | None, int] = {}
        self._lock = threading.Lock()

    def __call__(self, notice: Notice) -> None:
        with self._lock:
            match notice.event:
                case StepStarted(step):
                    self._update(notice.instance, step)
                case Output(line):
                    self._update(notice.instance, line)
                case event:
                    if isinstance(event, StepFailed):
                        self._end(notice.instance)
                    text = _sentence(notice, timings=self._timings)
                    if text:
                        self._progress.console.print(text, markup=False, highlight=False)

    def _update(self, instance: str | None, doing: str) -> None:
        from rich.progress import TaskID

        text = printable(f"{instance or 'treedock'}: {doing}")[:100]
        if instance:
            self._end(None)  # what concerned all of them is done
        line = self._lines.get(instance)
        if line is None:
            self._lines[instance] = int(self._progress.add_task(text, total=None))
        else:
            self._progress.update(TaskID(line), description=text)

    def _end(self, instance: str | None) -> None:
        from rich.progress import TaskID

        line = self._lines.pop(instance, None)
        if line is not None:
            self._progress.remove_task(TaskID(line))
            self._progress.refresh()  # what is printed next shall not show it again


def _sentence(notice: Notice, *, timings: bool) -> str:
    who = f"{notice.instance}: " if notice.instance else ""
    match notice.event:
        case StepStarted(step) if not timings:
            return printable(f"{who}{step}")
        case StepFinished(step, seconds) if timings:
            return printable(f"{who}{step} ({seconds:.2f} s)")
        case StepFailed(step, seconds) if timings:
            return printable(f"{who}{step}: failed ({seconds:.2f} s)")
        case Said(text):
            return f"{who}{shown(text)}"
        case Warned(text):
            return click.style(f"{who}warning: {shown(text)}", fg="yellow")
    return ""  # Output is for the live line; an error carries the last lines anyway
