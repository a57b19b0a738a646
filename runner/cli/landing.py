"""merge."""

from typing import TYPE_CHECKING, Literal

import click

from runner.cli import completion, output
from runner.cli.run import run

if TYPE_CHECKING:
    from runner.domain.landing.outcomes import Merged
    from runner.domain.requests.landing import Merges


@click.command("merge")
@click.argument("ids", nargs=-1, metavar="[ID]...", shell_complete=completion.ids)
@click.option("--all", "everything", is_flag=True, help="All instances of this repository.")
@click.option(
    "--order",
    type=click.Choice(["auto", "given"]),
    default="auto",
    help="auto: the order in which most land without conflict.",
)
@click.option("--gate", "gates", multiple=True, metavar="CMD", help="One more gate.")
@click.option("--no-gate", is_flag=True, help="Land untested.")
@click.option("--push/--no-push", default=None, help="Default: where base is at its remote.")
@click.option("--keep", is_flag=True, help="Leave the instances there after landing.")
@click.option("--message", "-m", help="Subject of the merge commits.")
@click.option("--width", type=click.IntRange(min=1), help="Candidates tested at once.")
@click.option("--dry-run", is_flag=True, help="Build and test, land nothing.")
@click.option("--into", metavar="BRANCH", help="Land in this branch. Default: as started from.")
@click.option("--undo", metavar="RUN", help="Put base back to before a run, or the `last` one.")
@output.as_json
@click.pass_context
def merge_command(
    ctx: click.Context,
    ids: tuple[str, ...],
    everything: bool,
    order: Literal["auto", "given"],
    gates: tuple[str, ...],
    no_gate: bool,
    push: bool | None,
    keep: bool,
    message: str | None,
    width: int | None,
    dry_run: bool,
    into: str | None,
    undo: str | None,
    json_: bool,
) -> int:
    """Merge instances back into the branches they started from: each candidate is tested in a
    throwaway instance, and what lands is exactly what was tested. Several are a queue."""
    from runner.domain.requests.landing import Merge, Undo

    if undo:
        _require_alone(ctx, "undo")
        undone = run(Undo(run=undo))
        return output.finish(undone, lambda: click.echo(output.printable(undone.done)), json_=json_)
    if no_gate and gates:
        raise click.UsageError("--gate and --no-gate exclude each other.")
    request = Merge(
        ids=ids, everything=everything, order=order, gates=gates, no_gate=no_gate, push=push,
        keep=keep, message=message, width=width, dry_run=dry_run, into=into,
    )  # fmt: skip
    answer = run(request)
    return output.finish(answer, lambda: _show_all(answer), json_=json_)


def _show_all(answer: "Merges") -> None:
    if not answer.error and not any(queue.outcomes for queue in answer.queues):
        click.echo("There is nothing to merge.", err=True)
    for queue in answer.queues:
        _show(queue)


def _show(merged: "Merged") -> None:
    for one in merged.outcomes:
        good = one.state in ("landed", "ready")
        click.echo(output.shown(one.message), err=not good)
        if one.hint:
            click.echo(f"  {output.shown(one.hint)}", err=True)
        for note in one.notes:
            click.echo(f"  {output.shown(note)}", err=True)
    if merged.run and merged.was != merged.now:
        landed = any(one.state == "landed" and one.commit for one in merged.outcomes)
        pushed = f" and pushed to {merged.remote}" if merged.pushed else ""
        if landed and merged.not_pushed:
            pushed = f"; not pushed: {merged.not_pushed}"
        line = f"{merged.base}: {merged.was[:10]} -> {merged.now[:10]}{pushed}"
        click.echo(output.shown(line))
        if landed and not merged.pushed:
            click.echo(f"Undo it with: treedock merge --undo {merged.run}", err=True)


def _require_alone(ctx: click.Context, name: str) -> None:
    """Raises UsageError where an option comes with others that would then not count."""
    given = [
        key
        for key in ctx.params
        if key not in (name, "json_")
        and ctx.get_parameter_source(key) is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(f"--{name} stands alone: it takes a run, and no instances.")
