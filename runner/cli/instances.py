"""up, down, restart, clean."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import click

from runner.cli import choosing, output
from runner.cli.progress import narration
from runner.controller.opening import Repository, open_project, open_repository
from runner.controller.parallel import side_by_side
from runner.domain.errors import RunnerError, exit_code_of
from runner.domain.instance import View, absent

_Answer = TypeVar("_Answer")


@click.command("up")
@click.argument("ids", nargs=-1, metavar="[ID]...", shell_complete=choosing.complete)
@click.option("--base", metavar="REF", help="Branch or commit to start from.")
@click.option("--attach", is_flag=True, help="Take the existing branch instead of a new one.")
@click.option("--task", "tasks", multiple=True, help="What it is for; pairs with the ids in order.")
@click.option("--fetch/--no-fetch", default=True, help="Fetch base first where there is an origin.")
@click.option("--timings", is_flag=True, help="Print how long each step took.")
@output.as_json
def up_command(
    ids: tuple[str, ...],
    base: str | None,
    attach: bool,
    tasks: tuple[str, ...],
    fetch: bool,
    timings: bool,
    json_: bool,
) -> int:
    """Bring instances up: branch, worktree, container, set-up, database, services.

    What is up already is left alone; what was interrupted is completed.
    """
    from runner.controller.up import Brought, up
    from runner.controller.worktree import Wish

    repository = open_repository()
    chosen = choosing.several(repository, ids)
    if len(tasks) > len(chosen):
        raise click.UsageError(f"{len(tasks)} times --task, but only {len(chosen)} instances.")
    padded = [*tasks, *[None] * (len(chosen) - len(tasks))]
    wishes = [
        Wish(instance, base=base, attach=attach, task=task)
        for instance, task in zip(chosen, padded, strict=True)
    ]
    with narration(timings=timings) as emit:
        brought: list[Brought] = up(open_project(repository), wishes, emit, fetch=fetch)
    for one in brought:
        if one.view and not one.changed:
            click.echo(f"{one.view.id}: is up already; nothing had to change", err=True)
    seen = [one.view for one in brought if one.view]
    return _show(repository, chosen, [one.error for one in brought], json_=json_, seen=seen)


@click.command("down")
@click.argument("ids", nargs=-1, metavar="[ID]...", shell_complete=choosing.complete)
@click.option("--all", "everything", is_flag=True, help="All instances of this repository.")
@click.option("--timings", is_flag=True, help="Print how long each step took.")
@output.as_json
def down_command(ids: tuple[str, ...], everything: bool, timings: bool, json_: bool) -> int:
    """Stop instances. Container, slot, worktree, branch and database stay."""
    from runner.controller.down import down

    repository = open_repository()
    chosen = choosing.several(repository, ids, everything=everything)
    with narration(timings=timings) as emit:
        answers = _each(chosen, lambda instance: down(repository, instance, emit))
    for instance, answer in zip(chosen, answers, strict=True):
        if answer is False and not json_:
            click.echo(f"{instance}: was not running", err=True)
    return _show(repository, chosen, _errors(answers), json_=json_)


@click.command("restart")
@click.argument("instance", required=False, metavar="[ID]", shell_complete=choosing.complete)
@click.argument("service", required=False, shell_complete=choosing.complete_service)
@click.option("--timings", is_flag=True, help="Print how long each step took.")
@output.as_json
def restart_command(instance: str | None, service: str | None, timings: bool, json_: bool) -> int:
    """Restart one service without the others, or the whole instance."""
    from runner.controller.restart import restart, restart_service

    repository = open_repository()
    chosen, service = choosing.with_service(repository, instance, service)
    with narration(timings=timings) as emit:
        project = open_project(repository)
        if service:
            restart_service(project, chosen, service, emit)
            error = None
        else:
            error = restart(project, chosen, emit).error
    return _show(repository, [chosen], [error], json_=json_)


@click.command("clean")
@click.argument("ids", nargs=-1, metavar="[ID]...", shell_complete=choosing.complete)
@click.option("--all", "everything", is_flag=True, help="All instances of this repository.")
@click.option("--force", is_flag=True, help="Even if uncommitted changes or commits get lost.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@output.as_json
def clean_command(
    ids: tuple[str, ...], everything: bool, force: bool, dry_run: bool, json_: bool
) -> int:
    """Remove all that treedock made for instances; refuses where work would be lost."""
    from runner.controller.clean import Cleaned, clean

    repository = open_repository()
    chosen = choosing.several(repository, ids, everything=everything)

    def one(instance: str) -> Cleaned:
        return clean(repository, instance, emit, force=force, dry_run=dry_run)

    with narration() as emit:
        answers = _each(chosen, one)
    errors = _errors(answers)
    cleaned = [answer for answer in answers if isinstance(answer, Cleaned)]
    if json_:
        failed = {
            instance: error.to_json()
            for instance, error in zip(chosen, errors, strict=True)
            if error
        }
        removed = {answer.id: answer.removed for answer in cleaned}
        output.show_json({"dry_run": dry_run, "removed": removed, "errors": failed})
    else:
        word = "would remove" if dry_run else "removed"
        for answer in cleaned:
            for part in answer.removed:
                click.echo(output.printable(f"{answer.id}: {word} {part}"))
        _show_errors(errors)
    return exit_code_of([error for error in errors if error])


def _each(ids: list[str], verb: Callable[[str], _Answer]) -> list[_Answer | RunnerError]:
    """`verb` for every id, in parallel; an error is the answer of that one."""

    def attempt(instance: str) -> _Answer | RunnerError:
        try:
            return verb(instance)
        except RunnerError as error:
            return error

    return side_by_side(attempt, ids)


def _errors(answers: Sequence[object]) -> list[RunnerError | None]:
    return [answer if isinstance(answer, RunnerError) else None for answer in answers]


def _show(
    repository: Repository,
    ids: list[str],
    errors: Sequence[RunnerError | None],
    *,
    json_: bool,
    seen: Sequence[View] = (),
) -> int:
    """The instances as they are now, then every error once; returns the exit code. `seen` are
    those that the verb has looked at already."""
    from runner.controller.listing import list_instances

    views = {view.id: view for view in seen}
    if not set(ids) <= views.keys():
        listed = list_instances(repository, lambda event: None)
        views = {view.id: view for view in listed} | views
    failed = [error for error in errors if error]
    if json_:
        documents = []
        for instance, error in zip(ids, errors, strict=True):
            document = views[instance].to_json() if instance in views else absent(instance)
            if error:
                document["error"] = error.to_json()
            elif document.get("error") is None:
                document.pop("error", None)
            documents.append(document)
        output.show_json({"instances": documents})
    else:
        there = [views[instance] for instance in ids if instance in views]
        if there:
            output.show_views(there, json_=False)
        _show_errors(failed)
    return exit_code_of(failed)


def _show_errors(errors: Sequence[RunnerError | None]) -> None:
    for error in errors:
        if error:
            output.show_error(error)
