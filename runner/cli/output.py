"""stdout is the answer (table, URL, JSON), stderr the narration."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from runner.domain.answers import Answer, Problem, problem_of
from runner.domain.errors import RunnerError
from runner.domain.instance.record import View
from runner.domain.text import printable as printable
from runner.domain.text import shown as shown

_Function = TypeVar("_Function", bound=Callable[..., Any])
as_json = click.option("--json", "json_", is_flag=True, help="Print one JSON document on stdout.")
timings = click.option("--timings", is_flag=True, help="Print how long each step took.")


def printable_lines(text: str) -> str:
    """The same, with its line breaks kept: for lines that treedock joined, or wrote to a file."""
    return "\n".join(printable(line) for line in text.split("\n"))


def finish(answer: Answer, show: Callable[[], None], *, json_: bool) -> int:
    """Print an answer, as JSON or as `show` does it with every error once; returns the exit code
    of the command."""
    if json_:
        click.echo(json.dumps(answer.to_json(), indent=2))
        return answer.exit_code
    if not answer.error or answer.results:
        show()
    _show_problems(answer)
    return answer.exit_code


def _show_problems(answer: Answer) -> None:
    """Of instances with the same error, only the first is shown with it."""
    said: dict[str, str] = {}
    for result in answer.results:
        error = result.error
        text = error.message.removeprefix(f"{result.id}: ") if error else ""
        if error and text in said:
            click.secho(f"{result.id}: the same as {said[text]}", fg="red", err=True)
        elif error:
            said[text] = result.id
            _show_problem(error)
    if answer.error:
        _show_problem(answer.error)


def _show_problem(error: Problem) -> None:
    click.secho(error.message, fg="red", err=True)
    if error.hint:
        click.echo(error.hint, err=True)


def show_error(error: RunnerError) -> None:
    """An error as the caller asked for output: JSON on stdout, or sentences on stderr."""
    if _wants_json():
        click.echo(json.dumps(Answer(error=problem_of(error)).to_json(), indent=2))
    else:
        _show_problem(problem_of(error))


def show_usage_error(error: click.ClickException) -> None:
    if _wants_json():
        usage = Problem("usage", error.format_message(), "", error.exit_code)
        click.echo(json.dumps(Answer(error=usage).to_json(), indent=2))
    else:
        error.show()


def _wants_json() -> bool:
    """Whether the command line asks for JSON; what is behind `--` is someone else's."""
    arguments = sys.argv[1:]
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in own


def show_views(views: Sequence[View]) -> None:
    """Instances as a table."""
    if views:
        rows = [_row(view) for view in views]
        if any(view.here for view in views):  # as `git branch` marks the one you are on
            for view, row in zip(views, rows, strict=True):
                row[0] = f"{'*' if view.here else ' '} {row[0]}"
        show_table(["ID", "STATE", "BRANCH", "MERGE", "PORTS", "URL", "AGE", "PURPOSE"], rows)
    else:
        click.echo("There are no instances. Start one with: treedock up ID", err=True)


def show_table(head: list[str], rows: list[list[str]]) -> None:
    """Columns as wide as their widest cell; empty columns are left out."""
    kept = [at for at in range(len(head)) if at == 0 or any(row[at] for row in rows)]
    lines = [[printable(line[at]) for at in kept] for line in [head, *rows]]
    widths = [max(len(line[at]) for line in lines) for at in range(len(kept))]
    for line in lines:
        click.echo("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip())


def age(created_at: str) -> str:
    """'5 min': how old a record is, in its largest whole unit."""
    from runner.domain.instance.record import age_seconds

    seconds = int(age_seconds(created_at, time.time()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _row(view: View) -> list[str]:
    ports = ",".join(str(port) for port in view.ports.values())
    state: str = view.state or "?"
    if view.missing:
        state += f" (no {', no '.join(view.missing)})"
    about = [age(view.created_at), view.purpose or ""]
    return [view.id, state, view.branch, standing(view), ports, view.preview, *about]


def standing(view: View) -> str:
    """How it stands to base, in a word; empty where there is nothing to say."""
    if view.integrated:
        return "integrated"
    if view.conflict:
        return "conflict"
    return "red" if view.merge and view.merge.state == "red" else ""
