"""Which instances a command is about."""

import click

from runner.controller.opening import Repository


def one(repository: Repository, instance: str | None) -> str:
    """The named instance, or the one whose worktree we stand in."""
    found = instance or repository.here
    if found is None:
        raise click.UsageError("Name an instance, or stand in its worktree.")
    return found


def several(repository: Repository, ids: tuple[str, ...], *, everything: bool = False) -> list[str]:
    """The named instances (each once), all of them, or the one we stand in."""
    if everything and ids:
        raise click.UsageError("Name instances or give --all, not both.")
    if everything:
        return [record.id for record in repository.records.all()]
    return list(dict.fromkeys(ids)) or [one(repository, None)]
