"""What a person's shell completes: ids of instances, and their services."""

import click
from click.shell_completion import CompletionItem

from runner.controller.project import open_repository
from runner.domain.errors import RunnerError


def ids(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The ids of this repository's instances that were not given yet."""
    try:
        known = open_repository().records.ids()
    except RunnerError:
        return []
    given = ctx.params.get("ids") or ()
    return [CompletionItem(i) for i in known if i.startswith(incomplete) and i not in given]


def services(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The services of the instance named before, or of the one we stand in."""
    try:
        repository = open_repository()
        chosen = ctx.params.get("instance") or repository.here
        names = repository.record(chosen).services if chosen else []
    except RunnerError:
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
