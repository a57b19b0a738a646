"""sync, update, rebase."""

from dataclasses import asdict

import click

from runner.cli import choosing, output
from runner.cli.progress import narration
from runner.controller.operation import Operation
from runner.controller.parallel import map_parallel
from runner.controller.project import open_repository
from runner.domain.errors import RunnerError, exit_code_of


@click.command("sync")
@click.argument("ids", nargs=-1, metavar="[ID]...", shell_complete=choosing.complete)
@click.option("--all", "everything", is_flag=True, help="All instances of this repository.")
@click.option(
    "--keep",
    type=click.Choice(["inside", "host"]),
    help="Where a branch moved on both sides: which one counts. The other stays as a ref.",
)
@output.as_json
def sync_command(ids: tuple[str, ...], everything: bool, keep: str | None, json_: bool) -> int:
    """Bring commits out of instances, checked as a stranger's, and into them."""
    from runner.controller.sync.sync import Side, Synced, sync

    repository = open_repository()
    chosen = choosing.several(repository, ids, everything=everything)
    prefer: Side | None = "inside" if keep == "inside" else "host" if keep == "host" else None

    def one(instance: str) -> Synced | RunnerError:
        try:
            operation = Operation(repository, instance, emit)
            repository.record(instance)
            with operation.locked():
                return sync(operation, prefer=prefer)
        except RunnerError as error:
            return error

    with narration() as emit:
        answers = map_parallel(one, chosen)
    errors = [answer for answer in answers if isinstance(answer, RunnerError)]
    if json_:
        documents = []
        for instance, answer in zip(chosen, answers, strict=True):
            if isinstance(answer, RunnerError):
                documents.append({"id": instance, "error": answer.to_json()})
            else:
                shown = asdict(answer)
                del shown["inside"]
                documents.append(shown)
        output.show_json({"instances": documents})
        return exit_code_of(errors)
    for answer in answers:
        if isinstance(answer, RunnerError):
            output.show_error(answer)
        else:
            click.echo(_sentence(answer))
    return exit_code_of(errors)


def _sentence(synced: object) -> str:
    from runner.controller.sync.sync import Synced

    assert isinstance(synced, Synced)
    head = synced.head[:10]
    if synced.later:
        return f"{synced.id}: {head}, committed here, reaches it with the next up"
    where = {"inside": "came out", "host": "went in", None: "is on both sides already"}
    also = f"; {synced.refs} refs changed" if synced.refs and not synced.moved else ""
    return f"{synced.id}: {head} {where[synced.moved]}{also}"


@click.command("update")
@click.argument("instance", required=False, metavar="[ID]", shell_complete=choosing.complete)
@click.option("--rebase", "how", flag_value="rebase", help="Put its commits on top of base.")
@click.option("--merge", "how", flag_value="merge", default=True, help="Merge base (the default).")
@click.option("--continue", "go", flag_value="continue", help="Go on after a conflict.")
@click.option("--abort", "go", flag_value="abort", help="Give up, back to before.")
@output.as_json
def update_command(instance: str | None, how: str, go: str | None, json_: bool) -> None:
    """Bring today's base into an instance, inside its container."""
    _update(instance, how, go, json_=json_)


@click.command("rebase")
@click.argument("instance", required=False, metavar="[ID]", shell_complete=choosing.complete)
@click.option("--continue", "go", flag_value="continue", help="Go on after a conflict.")
@click.option("--abort", "go", flag_value="abort", help="Give up, back to before.")
@output.as_json
def rebase_command(instance: str | None, go: str | None, json_: bool) -> None:
    """Short for: update ID --rebase."""
    _update(instance, "rebase", go, json_=json_)


def _update(instance: str | None, how: str, go: str | None, *, json_: bool) -> None:
    from runner.controller.sync.update import go_on, update

    repository = open_repository()
    chosen = choosing.one(repository, instance)
    repository.record(chosen)
    with narration() as emit:
        operation = Operation(repository, chosen, emit)
        if go:
            done = go_on(operation, "continue" if go == "continue" else "abort")
        else:
            done = update(operation, "rebase" if how == "rebase" else "merge")
    if json_:
        output.show_json(asdict(done))
        return
    what = f"is at {done.head[:10]}" if done.changed else "had everything already"
    if go == "abort":
        what = f"is back at {done.head[:10]}"
    click.echo(f"{done.id}: {what}; {done.base} is {done.base_commit[:10]}")
