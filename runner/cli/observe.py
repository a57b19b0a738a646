"""list, status, logs, path, open, compose."""

import contextlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from runner.cli import completion, output
from runner.cli.run import run
from runner.controller.verbs import Controller
from runner.domain.instance.record import View

if TYPE_CHECKING:
    from runner.domain.requests.observe import Listing, LogLines


@click.command("list")
@output.as_json
def list_command(json_: bool) -> int:
    """Show the instances: the quick look."""
    from runner.domain.requests.observe import List

    answer = run(List())
    return output.finish(answer, lambda: _show_listing(answer), json_=json_)


def _show_listing(answer: "Listing") -> None:
    output.show_views(answer.instances)
    if answer.slots:
        click.echo(f"{answer.slots.free} of {answer.slots.total} slots are free", err=True)


@click.command("status")
@click.argument("instance", required=False, metavar="[ID]", shell_complete=completion.ids)
@output.as_json
def status_command(instance: str | None, json_: bool) -> int:
    """Show everything: changes, commits, services, database, limits reached."""
    from runner.domain.requests.observe import Status

    answer = run(Status(instance=instance))
    return output.finish(answer, lambda: _show_states(answer.instances), json_=json_)


def _show_states(views: Sequence[View]) -> None:
    for view in views:
        _show_status(view)
    if not views:
        output.show_views([])


@click.command("logs")
@click.argument("instance", required=False, metavar="[ID]", shell_complete=completion.ids)
@click.argument("service", required=False, shell_complete=completion.services)
@click.option("-f", "--follow", is_flag=True, help="Go on printing what is added.")
@click.option("--tail", type=click.IntRange(min=0), default=200, help="Lines from the end.")
@output.as_json
def logs_command(
    instance: str | None, service: str | None, follow: bool, tail: int, json_: bool
) -> int:
    """Print what services printed; SERVICE may also be a sidecar, setup-1, setup-2, ..., verify or
    reset."""
    from runner.domain.requests.observe import Logs

    if follow and json_:
        raise click.UsageError("--follow has no end, and --json is one document.")
    answer = run(Logs(instance=instance, service=service, tail=tail))
    code = output.finish(answer, lambda: _show_logs(answer), json_=json_)
    if follow and not answer.error:
        with contextlib.suppress(KeyboardInterrupt):  # it is how one ends it
            for name, lines in Controller.open().follow(answer):
                _print_lines(name, lines, _label(answer))
    return code


@click.command("path")
@click.argument("instance", required=False, metavar="[ID]", shell_complete=completion.ids)
@output.as_json
def path_command(instance: str | None, json_: bool) -> int:
    """Print the folder of an instance's worktree."""
    from runner.domain.requests.observe import Path

    answer = run(Path(instance=instance))
    return output.finish(answer, lambda: click.echo(answer.path), json_=json_)


@click.command("open")
@click.argument("instance", required=False, metavar="[ID]", shell_complete=completion.ids)
@click.argument("service", required=False, shell_complete=completion.services)
@output.as_json
def open_command(instance: str | None, service: str | None, json_: bool) -> int:
    """Print a preview's URL, and open it in the browser where there is one."""
    from runner.domain.requests.observe import Open

    answer = run(Open(instance=instance, service=service))
    code = output.finish(answer, lambda: click.echo(answer.url), json_=json_)
    if answer.warning:
        click.echo(answer.warning, err=True)
    if answer.running and sys.stdout.isatty() and not json_:
        click.launch(answer.url)
    return code


@click.command("compose")
@click.argument("instance", required=False, metavar="[ID]", shell_complete=completion.ids)
@output.as_json
def compose_command(instance: str | None, json_: bool) -> int:
    """Print an instance as a Compose file, which runs it without treedock."""
    from runner.domain.requests.observe import Compose

    answer = run(Compose(instance=instance))
    return output.finish(answer, lambda: click.echo(answer.compose, nl=False), json_=json_)


def _show_status(view: View) -> None:
    click.secho(f"{view.id}  {view.state or '?'}", bold=True)
    services = ", ".join(_service(s) for s in view.services or ()) or "none"
    unknown = "?"
    changes = unknown if view.dirty is None else "uncommitted changes" if view.dirty else "clean"
    commits = unknown if view.ahead is None else f"{view.ahead} ahead, {view.behind} behind"
    database = view.database
    facts = {
        "branch": f"{view.branch} (from {view.base}; {commits}; {changes})",
        "checked out": _elsewhere(view),
        "inside": _inside(view),
        "worktree": view.worktree,
        "urls": "  ".join(f"{name} {url}" for name, url in view.urls.items()),
        "services": services,
        "sidecars": ", ".join(_service(s) for s in view.sidecars),
        "database": f"{database.engine}, reset {database.reset_at or 'never'}" if database else "",
        "container": view.container or "",
        "created": f"{view.created_at} ({output.age(view.created_at)})",
        "purpose": view.purpose or "",
        "out of date": _out_of_date(view),
        "limits": ", ".join(view.limits_reached or ()),
        "merge": _merge(view),
        "missing": ", ".join(view.missing),
        "error": view.error.message if view.error else "",
        "way out": view.error.hint if view.error else "",
    }
    for key, value in facts.items():
        if value:
            click.echo(
                f"  {key:<11} " + output.printable_lines(value).replace("\n", "\n" + " " * 14)
            )


def _inside(view: View) -> str:
    """What git inside holds that does not show here."""
    sync = f"treedock sync {view.id}"
    sides = {
        "inside": f"committed inside and not here yet: {sync}",
        "host": f"committed here and not inside yet: {sync}",
        "both": f"the branch has moved here and inside: {sync} --keep inside (or --keep host)",
    }
    said = [sides[view.unsynced]] if view.unsynced else []
    if view.in_progress in ("merge", "rebase"):
        ways = f"treedock update {view.id} --continue (or --abort)"
        said.append(f"a {view.in_progress} is in progress: {ways}")
    elif view.in_progress:
        said.append(f"a {view.in_progress} is in progress")
    return "; ".join(said)


def _elsewhere(view: View) -> str:
    """What the worktree is on, where that is not the instance's branch."""
    if view.checked_out in (None, view.branch):
        return ""
    found = "no branch (detached HEAD)" if view.checked_out == "HEAD" else view.checked_out
    back = f"git -C {view.worktree} switch {view.branch}"
    return f"{found}, not the instance's branch; go back with: {back}"


def _out_of_date(view: View) -> str:
    """What changed in treedock.yaml and the way out; a database is never renewed by itself."""
    changed = list(view.out_of_date or ())
    ways = []
    if changed != ["database.reset"]:
        ways.append(f"treedock up {view.id} brings it up to date")
    if "database.reset" in changed:
        ways.append(f"treedock db reset {view.id} renews the data")
    return "; ".join([", ".join(changed), *ways]) if changed else ""


def _merge(view: View) -> str:
    """How it stands to base, and what its last merge ended with."""
    said = {"integrated": "base holds it already", "conflict": "conflicts with base"}
    parts = [said.get(output.standing(view), "")]
    if view.merge and view.merge.state != "landed":
        parts.append(view.merge.message)
    return "; ".join(part for part in parts if part)


def _service(service: object) -> str:
    from runner.domain.instance.record import ServiceView

    assert isinstance(service, ServiceView)
    text = f"{service.name} {service.state}"
    if service.exit_code is not None:
        text += f" (exit code {service.exit_code})"
    if service.restarts:
        text += f" ({service.restarts} restarts)"
    return text


def _show_logs(answer: "LogLines") -> None:
    for name, lines in answer.logs.items():
        _print_lines(name, lines, _label(answer))


def _label(answer: "LogLines") -> int:
    """How wide the names in front of lines are; 0 where there is but one log."""
    names = [output.printable(name) for name in answer.logs]  # code inside can add any
    return max(map(len, names)) if len(names) > 1 else 0


def _print_lines(name: str, lines: list[str], label: int) -> None:
    for line in lines:
        prefix = f"{output.printable(name):<{label}} | " if label else ""
        click.echo(prefix + _shown(line))


def _shown(line: str) -> str:
    """A log line: colours are kept for a terminal, everything else that controls it is not."""
    import re

    if not sys.stdout.isatty():
        return output.printable(re.sub(r"\x1b\[[0-9;]*m", "", line))
    parts = re.split(r"(\x1b\[[0-9;]*m)", line)
    return "".join(p if p.startswith("\x1b[") else output.printable(p) for p in parts)
