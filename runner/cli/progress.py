"""Progress on stderr: a live line per instance on a terminal, plain lines elsewhere."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click

from runner.cli.output import printable, shown
from runner.domain.events import Emit, Event, Output, Said, StepFinished, StepStarted, Warned

if TYPE_CHECKING:
    from rich.progress import Progress


@contextmanager
def narration(*, timings: bool = False) -> Iterator[Emit]:
    """What to hand to a verb as `emit`. Threads may call it at the same time."""
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

    def __call__(self, event: Event) -> None:
        text = _sentence(event, timings=self._timings)
        if text:
            with self._lock, suppress(OSError):  # that nothing reads it does not end the verb
                click.echo(text, err=True)


class _Live:
    """One line per instance that shows its current step; the rest is printed above."""

    def __init__(self, progress: "Progress", *, timings: bool) -> None:
        self._progress = progress
        self._timings = timings
        self._lines: dict[str, int] = {}
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        with self._lock:
            if isinstance(event, StepStarted | Output):
                self._update(event)
            if not isinstance(event, StepStarted | Output):
                text = _sentence(event, timings=self._timings)
                if text:
                    self._progress.console.print(text, markup=False, highlight=False)

    def _update(self, event: StepStarted | Output) -> None:
        from rich.progress import TaskID

        step = event.step if isinstance(event, StepStarted) else event.line
        text = printable(f"{event.instance or 'treedock'}: {step}")[:100]
        whole = self._lines.pop("", None) if event.instance else None
        if whole is not None:  # what concerned all of them is done
            self._progress.remove_task(TaskID(whole))
        line = self._lines.get(event.instance)
        if line is None:
            self._lines[event.instance] = int(self._progress.add_task(text, total=None))
        else:
            self._progress.update(TaskID(line), description=text)


def _sentence(event: Event, *, timings: bool) -> str:
    who = f"{event.instance}: " if event.instance else ""
    match event:
        case StepStarted() if not timings:
            return printable(f"{who}{event.step}")
        case StepFinished() if timings:
            return printable(f"{who}{event.step} ({event.seconds:.2f} s)")
        case Said():
            return f"{who}{shown(event.text)}"
        case Warned():
            return click.style(f"{who}warning: {shown(event.text)}", fg="yellow")
    return ""  # Output is for the live line; an error carries the last lines anyway
