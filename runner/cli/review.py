"""review, pr."""

import shutil
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

import click

from runner.cli import completion, output
from runner.cli.output import printable
from runner.cli.patches import coloured
from runner.cli.run import run
from runner.domain.sizes import shown_size

if TYPE_CHECKING:
    from runner.domain.landing.changes import Change, Text, UncommittedFile
    from runner.domain.landing.pull_request import Opened
    from runner.domain.landing.review import Flag, Review
    from runner.domain.requests.landing import PullRequest, Reviewed

_Row = TypeVar("_Row")

ROWS = 1000  # rows of a section before the rest is counted
_MARKS = {"added": "A", "deleted": "D", "modified": "M", "renamed": "R", "type": "T"}


@click.command("review")
@click.argument("instance", required=False, metavar="[ID]", shell_complete=completion.ids)
@click.option("--stat", is_flag=True, help="Without the diff itself.")
@click.option("--files", is_flag=True, help="Only the changed files, one a line.")
@output.as_json
def review_command(instance: str | None, stat: bool, files: bool, json_: bool) -> int:
    """Show what an instance's branch brings: commits, files, diff, and what is uncommitted.

    Files that people or tools run on this machine later are shown first, with the reason.
    """
    from runner.domain.requests.landing import Look

    if stat and files:
        raise click.UsageError("Give --stat or --files, not both.")
    answer = run(Look(instance=instance, patches=not (stat or files)))
    return output.finish(answer, lambda: _show_review(answer, files=files), json_=json_)


@click.command("pr")
@click.argument("instance", required=False, metavar="[ID]", shell_complete=completion.ids)
@click.option("--title", help="Its title; by default the purpose, or the first commit.")
@click.option("--body", help="Its description; by default the purpose and the commits.")
@click.option("--label", "labels", multiple=True, help="A label; may be given several times.")
@click.option("--draft", is_flag=True, help="As a draft.")
@click.option("--no-gate", is_flag=True, help="Push it untested.")
@output.as_json
def pr_command(
    instance: str | None,
    title: str | None,
    body: str | None,
    labels: tuple[str, ...],
    draft: bool,
    no_gate: bool,
    json_: bool,
) -> int:
    """Run the gates on an instance's branch merged into base, push it, and open a pull request
    with gh, or say where to open one."""
    from runner.domain.requests.landing import OpenPullRequest

    request = OpenPullRequest(
        instance=instance, title=title, body=body, labels=labels, draft=draft, no_gate=no_gate
    )
    answer = run(request)
    return output.finish(answer, lambda: _show_opened(answer), json_=json_)


def _show_opened(answer: "PullRequest") -> None:
    opened = answer.pull_request
    if opened:
        click.echo(_sentence(opened), err=True)
        if opened.url:
            click.echo(printable(opened.url))


def _show_review(answer: "Reviewed", *, files: bool) -> None:
    seen = answer.review
    if seen:
        _show(lambda: _names(seen) if files else _story(seen))


def _sentence(opened: "Opened") -> str:
    branch = printable(opened.branch)
    done = "is pushed" if opened.pushed else "was pushed already"
    if opened.created:
        return f"{opened.id}: {branch} {done}; the pull request is open"
    if opened.exists:
        return f"{opened.id}: {branch} {done}; there is a pull request already"
    if opened.url:
        return f"{opened.id}: {branch} {done}; open a pull request here:"
    return f"{opened.id}: {branch} {done}; open a pull request where the remote has them"


def _show(lines: Callable[[], Iterator[str]]) -> None:
    """Through the pager where it is a terminal and too small; colours go to a terminal only."""
    if not sys.stdout.isatty():
        for line in lines():
            click.echo(line, nl=False)
        return
    height = shutil.get_terminal_size().lines - 1
    first = []
    for line in (rest := lines()):
        first.append(line)
        if len(first) > height:
            break
    else:
        click.echo("".join(first), nl=False)
        return

    def everything() -> Iterator[str]:
        yield from first
        yield from rest

    click.echo_via_pager(everything(), color=True)


def _names(seen: "Review") -> Iterator[str]:
    """'M  path' for what is committed, ' M path' for what is not; '!' behind what is flagged."""
    committed = {flag.path for flag in seen.flagged if flag.committed}
    uncommitted = {flag.path for flag in seen.flagged if not flag.committed}
    for change in seen.files:
        mark = "  !" if change.path in committed else ""
        yield f"{_MARKS.get(change.kind, '?')}  {_name(change)}{mark}\n"
    for one in seen.uncommitted.files if seen.uncommitted else ():
        mark = "  !" if one.path in uncommitted else ""
        yield f" {_MARKS.get(one.kind, '?')} {printable(one.path)}{mark}\n"


def _story(seen: "Review") -> Iterator[str]:
    known = "" if seen.synced else " (as last synced)"
    what = f"{seen.id}: {seen.branch} at {seen.head[:10]}{known}, "
    yield _title(f"{what}{seen.ahead} ahead of {seen.base} and {seen.behind} behind")
    if seen.flagged:
        yield _title("\nLook at these first; people or tools run them on this machine:")
        yield from _bounded(seen.flagged, _flag_row)
    if seen.commits:
        yield _title("\nCommits:")
        yield from _bounded(
            seen.commits,
            lambda one: f"  {one.id[:10]} {one.date[:10]} {one.author}: {one.subject}",
            total=seen.ahead,
        )
    if seen.files:
        yield _title(f"\nFiles ({_counts(seen.files)}):")
        yield from _bounded(seen.files, _file_row)
    else:
        yield "\nNo file differs from where it started.\n"
    if seen.uncommitted and seen.uncommitted.files:
        yield _title("\nUncommitted, and not part of the branch:")
        yield from _bounded(seen.uncommitted.files, _uncommitted_row)
    if seen.diff and seen.diff.text:
        yield _title("\nDiff:")
        yield from _diff(seen.diff, f"git diff {seen.fork or seen.base} {seen.head}")
    if seen.uncommitted and seen.uncommitted.diff and seen.uncommitted.diff.text:
        yield _title("\nUncommitted diff:")
        yield from _diff(seen.uncommitted.diff, "")


def _title(text: str) -> str:
    start = "\n" if text.startswith("\n") else ""
    return start + click.style(printable(text.lstrip("\n")), bold=True) + "\n"


def _bounded(
    rows: "list[_Row]", line_of: Callable[[_Row], str], total: int | None = None
) -> Iterator[str]:
    for row in rows[:ROWS]:
        yield printable(line_of(row)) + "\n"
    rest = (total or len(rows)) - len(rows[:ROWS])
    if rest > 0:
        yield f"  and {rest} more\n"


def _flag_row(flag: "Flag") -> str:
    where = "" if flag.committed else " (uncommitted)"
    return f"  {flag.path}{where}: {flag.reason}"


def _file_row(change: "Change") -> str:
    return f"  {_MARKS.get(change.kind, '?')} {_lines(change)} {_name(change)}"


def _uncommitted_row(one: "UncommittedFile") -> str:
    much = _size(one.size) if one.kind in ("untracked", "other") else _lines(one)
    return f"  {one.kind} {one.path} ({much})"


def _name(change: "Change") -> str:
    return printable(f"{change.was} -> {change.path}" if change.was else change.path)


def _lines(change: "Change | UncommittedFile") -> str:
    if change.added is None or change.deleted is None:
        return "binary or large"
    return f"+{change.added} -{change.deleted}"


def _size(size: int | None) -> str:
    return "gone" if size is None else shown_size(size)


def _counts(files: "list[Change]") -> str:
    added = sum(change.added or 0 for change in files)
    deleted = sum(change.deleted or 0 for change in files)
    count = "1 file" if len(files) == 1 else f"{len(files)} files"
    return f"{count}, +{added} -{deleted}"


def _diff(diff: "Text", command: str) -> Iterator[str]:
    yield from coloured(diff.text)
    if diff.cut:
        whole = f" The whole: {command}" if command else ""
        yield click.style(f"The diff is longer and is cut here.{whole}\n", fg="yellow")
