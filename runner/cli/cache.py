"""warm, cache: what instances share."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from runner.cli import output
from runner.cli.run import run
from runner.domain.sizes import shown_size

if TYPE_CHECKING:
    from runner.domain.cache.cached import Cached

_UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def _age(ctx: click.Context, option: click.Parameter, text: str | None) -> float | None:
    """'14d' in seconds."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([mhdw])", text)
    if match is None:
        raise click.BadParameter(f"{text!r} is not an age such as 90m, 12h, 14d or 2w")
    return float(match[1]) * _UNITS[match[2]]


def _size(ctx: click.Context, option: click.Parameter, text: str | None) -> int | None:
    from runner.domain.sizes import parse_size

    try:
        return None if text is None else parse_size(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command("warm")
@output.as_json
def warm_command(json_: bool) -> int:
    """Make images, snapshots and the golden database for base ahead of time, so that the first
    `up` is quick, too."""
    from runner.domain.requests.cache import Warm

    answer = run(Warm())
    return output.finish(answer, lambda: None, json_=json_)


@click.group("cache")
def cache_command() -> None:
    """Snapshots of what set-up steps and resets make, shared by all instances."""


@cache_command.command("list")
@output.as_json
def list_command(json_: bool) -> int:
    """Show every snapshot with the size of its files, the most recently used first."""
    from runner.domain.requests.cache import ListCache

    answer = run(ListCache())
    return output.finish(answer, lambda: _show(answer.cached), json_=json_)


def _show(found: "Sequence[Cached]") -> None:
    if not found:
        click.echo("There are no snapshots.", err=True)
        return
    rows = [
        [one.key[:12], _step(one), shown_size(one.size), str(one.used_by), output.age(one.used_at)]
        for one in found
    ]
    output.show_table(["SNAPSHOT", "STEP", "SIZE", "INSTANCES", "USED"], rows)


@cache_command.command("prune")
@click.option("--older-than", callback=_age, metavar="AGE", help="Not used for so long: 12h, 14d.")
@click.option(
    "--max-size", callback=_size, metavar="SIZE", help="What may stay: 5g. Default: limits.cache."
)
@output.as_json
def prune_command(older_than: float | None, max_size: int | None, json_: bool) -> int:
    """Remove snapshots, the least recently used first, and never one that an instance uses."""
    from runner.domain.requests.cache import Prune

    answer = run(Prune(older_than=older_than, max_size=max_size))
    return output.finish(answer, lambda: _show_pruned(answer.pruned), json_=json_)


def _show_pruned(gone: "Sequence[Cached]") -> None:
    for one in gone:
        click.echo(output.printable(f"removed {one.key[:12]} ({one.step}), {shown_size(one.size)}"))
    if not gone:
        click.echo("nothing had to go", err=True)


def _step(one: "Cached") -> str:
    return f"{one.step} (not shared: {one.unfit})" if one.unfit else one.step
