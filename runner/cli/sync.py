"""sync, update, rebase."""

from typing import TYPE_CHECKING, Literal

import click

from runner.cli import completion, output
from runner.cli.run import run

if TYPE_CHECKING:
    from runner.domain.git.synced import Synced
    from runner.domain.requests.sync import Syncs, Updates

_How = Literal["merge", "rebase"]
_Go = Literal["continue", "abort"] | None


@click.command("sync")
@click.argument("ids", nargs=-1, metavar="[ID]...", shell_complete=completion.ids)
@click.option("--all", "everything", is_flag=True, help="All instances of this repository.")
@click.option(
    "--keep",
    type=click.Choice(["inside", "host"]),
    help="Where a branch moved on both sides: which one counts. The other stays as a ref.",
)
@output.as_json
def sync_command(
    ids: tuple[str, ...], everything: bool, keep: Literal["inside", "host"] | None, json_: bool
) -> int:
    """Bring commits out of instances, checked as a stranger's, and into them."""
    from runner.domain.requests.sync import Sync

    answer = run(Sync(ids=ids, everything=everything, keep=keep))
    return output.finish(answer, lambda: _show(answer), json_=json_)


def _show(answer: "Syncs") -> None:
    for synced in answer.synced:
        click.echo(_sentence(synced))


def _sentence(synced: "Synced") -> str:
    head = synced.head[:10]
    if synced.later:
        return f"{synced.id}: {head}, committed here, reaches it with the next up"
    where = {"inside": "came out", "host": "went in", None: "is on both sides already"}
    also = f"; {synced.refs} refs changed" if synced.refs and not synced.moved else ""
    return f"{synced.id}: {head} {where[synced.moved]}{also}"


@click.command("update")
@click.argument("instance", required=False, metavar="[ID]", shell_complete=completion.ids)
@click.option("--rebase", "how", flag_value="rebase", help="Put its commits on top of base.")
@click.option("--merge", "how", flag_value="merge", default=True, help="Merge base (the default).")
@click.option("--continue", "go", flag_value="continue", help="Go on after a conflict.")
@click.option("--abort", "go", flag_value="abort", help="Give up, back to before.")
@output.as_json
def update_command(instance: str | None, how: _How, go: _Go, json_: bool) -> int:
    """Bring today's base into an instance, inside its container."""
    return _update(instance, how, go, json_=json_)


@click.command("rebase")
@click.argument("instance", required=False, metavar="[ID]", shell_complete=completion.ids)
@click.option("--continue", "go", flag_value="continue", help="Go on after a conflict.")
@click.option("--abort", "go", flag_value="abort", help="Give up, back to before.")
@output.as_json
def rebase_command(instance: str | None, go: _Go, json_: bool) -> int:
    """Short for: update ID --rebase."""
    return _update(instance, "rebase", go, json_=json_)


def _update(instance: str | None, how: _How, go: _Go, *, json_: bool) -> int:
    from runner.domain.requests.sync import Update

    answer = run(Update(instance=instance, how=how, go=go))
    return output.finish(answer, lambda: _show_update(answer, go), json_=json_)


def _show_update(answer: "Updates", go: _Go) -> None:
    done = answer.updated
    if done:
        what = f"is at {done.head[:10]}" if done.changed else "had everything already"
        if go == "abort":
            what = f"is back at {done.head[:10]}"
        click.echo(f"{done.id}: {what}; {done.base} is {done.base_commit[:10]}")
