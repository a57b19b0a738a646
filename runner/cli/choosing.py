"""Which instances a command is about, and which the shell completes."""

import click
from click.shell_completion import CompletionItem

from runner.controller.project import Repository, open_repository
from runner.domain.errors import RunnerError
from runner.domain.text import listed


def one(repository: Repository, instance: str | None) -> str:
    """The named instance, or the one whose worktree we stand in."""
    found = instance or repository.here
    if found is None:
        raise click.UsageError(f"Name an instance, or stand in its worktree. {_known(repository)}")
    return found


def with_service(
    repository: Repository, instance: str | None, service: str | None
) -> tuple[str, str | None]:
    """(instance, service) of `[ID] [SERVICE]`: in a worktree one word may be the service."""
    if instance and service is None and repository.here:
        names = repository.records.ids()
        services = repository.record(repository.here).services
        if instance not in names and instance in services:
            return repository.here, instance
    return one(repository, instance), service


def several(repository: Repository, ids: tuple[str, ...], *, everything: bool = False) -> list[str]:
    """The named instances (each once), all of them, or the one we stand in."""
    if everything and ids:
        raise click.UsageError("Name instances or give --all, not both.")
    if everything:
        return repository.records.ids()
    return list(dict.fromkeys(ids)) or [one(repository, None)]


def complete(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The ids of this repository's instances, for the shell's completion."""
    try:
        ids = open_repository().records.ids()
    except RunnerError:
        return []
    given = ctx.params.get("ids") or ()
    return [CompletionItem(i) for i in ids if i.startswith(incomplete) and i not in given]


def complete_service(
    ctx: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The services of the instance named before, or of the one we stand in."""
    try:
        repository = open_repository()
        services = repository.record(one(repository, ctx.params.get("instance"))).services
    except (RunnerError, click.UsageError):
        return []
    return [CompletionItem(name) for name in services if name.startswith(incomplete)]


def _known(repository: Repository) -> str:
    ids = repository.records.ids()
    return f"There are: {listed(ids)}." if ids else "There are none yet."
