"""up, down, restart, clean."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from runner.cli import completion, output
from runner.cli.run import run
from runner.domain.text import listed

if TYPE_CHECKING:
    from runner.domain.requests.cleanup import Cleaned, Cleanup
    from runner.domain.requests.lifecycle import Instances

SHOWN = 10  # paths or commands of one archive that are printed


@click.command("up")
@click.argument("ids", nargs=-1, metavar="[ID]...", shell_complete=completion.ids)
@click.option("--base", metavar="REF", help="Branch or commit to start from.")
@click.option("--attach", is_flag=True, help="Take the existing branch instead of a new one.")
@click.option(
    "--purpose", "purposes", multiple=True, help="What it is for; pairs with the ids in order."
)
@click.option("--fetch/--no-fetch", default=True, help="Fetch base first where there is an origin.")
@click.option("--fresh", is_flag=True, help="Run database.reset in new ones whatever is known.")
@click.option(
    "--require-clean", is_flag=True, help="Refuse while the main checkout has uncommitted changes."
)
@output.timings
@output.as_json
def up_command(
    ids: tuple[str, ...],
    base: str | None,
    attach: bool,
    purposes: tuple[str, ...],
    fetch: bool,
    fresh: bool,
    require_clean: bool,
    timings: bool,
    json_: bool,
) -> int:
    """Bring instances up: branch, worktree, container, set-up, database, services.

    What is up already is left alone; what was interrupted is completed.
    """
    from runner.domain.requests.lifecycle import Up

    request = Up(
        ids=ids, base=base, attach=attach, purposes=purposes, fetch=fetch, fresh=fresh,
        require_clean=require_clean,
    )  # fmt: skip
    answer = run(request, timings=timings)
    return output.finish(
        answer, lambda: _show(answer, "is up already; nothing had to change"), json_=json_
    )


@click.command("down")
@click.argument("ids", nargs=-1, metavar="[ID]...", shell_complete=completion.ids)
@click.option("--all", "everything", is_flag=True, help="All instances of this repository.")
@output.timings
@output.as_json
def down_command(ids: tuple[str, ...], everything: bool, timings: bool, json_: bool) -> int:
    """Stop instances. Container, slot, worktree, branch and database stay.

    Another operation gets 2 seconds, then its instance is stopped all the same. Afterwards commits
    are brought out; exit code 5 where that fails, and they stay inside.
    """
    from runner.domain.requests.lifecycle import Down

    answer = run(Down(ids=ids, everything=everything), timings=timings)
    return output.finish(answer, lambda: _show(answer, "was not running"), json_=json_)


@click.command("restart")
@click.argument("instance", required=False, metavar="[ID]", shell_complete=completion.ids)
@click.argument("service", required=False, shell_complete=completion.services)
@output.timings
@output.as_json
def restart_command(instance: str | None, service: str | None, timings: bool, json_: bool) -> int:
    """Restart one service or sidecar without the others, or the whole instance."""
    from runner.domain.requests.lifecycle import Restart

    answer = run(Restart(instance=instance, service=service), timings=timings)
    return output.finish(answer, lambda: _show(answer), json_=json_)


@click.command("clean")
@click.argument("ids", nargs=-1, metavar="[ID]...", shell_complete=completion.ids)
@click.option("--all", "everything", is_flag=True, help="All instances of this repository.")
@click.option("--merged", is_flag=True, help="Those whose commits base holds, squashed or not.")
@click.option("--stale", is_flag=True, help="Those without a commit or up for limits.stale_days.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--force-dirty", is_flag=True, help="Put uncommitted changes into an archive.")
@click.option(
    "--force-unmerged", is_flag=True, help="Put commits held by no other branch into an archive."
)
@click.option("--force", is_flag=True, help="Both of these.")
@click.option("--keep-ignored", is_flag=True, help="Put ignored files into the archive as well.")
@click.option("--each", is_flag=True, help="Remove the others where one of several is refused.")
@output.as_json
def clean_command(
    ids: tuple[str, ...],
    everything: bool,
    merged: bool,
    stale: bool,
    dry_run: bool,
    force_dirty: bool,
    force_unmerged: bool,
    force: bool,
    keep_ignored: bool,
    each: bool,
    json_: bool,
) -> int:
    """Remove all that treedock made for instances; refuses where work would be lost.

    Where one of several is refused none is removed, unless with --each, --merged or --stale.
    What is forced away, and the logs, stay for limits.archive_days.
    """
    from runner.domain.requests.cleanup import Clean

    request = Clean(
        ids=ids, everything=everything, merged=merged, stale=stale, dry_run=dry_run,
        force_dirty=force_dirty, force_unmerged=force_unmerged, force=force,
        keep_ignored=keep_ignored, each=each,
    )  # fmt: skip
    answer = run(request)
    code = output.finish(answer, lambda: _show_cleanup(answer), json_=json_)
    if answer.held_back and not json_:
        held_back = listed(answer.held_back)
        click.echo(f"Nothing was removed; with --each this goes: {held_back}", err=True)
    if (merged or stale) and not answer.error and not answer.results:
        click.echo(f"No instance is {'merged' if merged else 'stale'}.", err=True)
    return code


def _show(answer: "Instances", unchanged: str = "") -> None:
    """The instances; `unchanged` is said of each for which there was nothing to do."""
    for result in answer.results:
        if result.changed is False and unchanged:
            click.echo(f"{result.id}: {unchanged}", err=True)
    if answer.instances:
        output.show_views(answer.instances)


def _show_cleanup(answer: "Cleanup") -> None:
    for one in answer.cleaned:
        for line in _cleaned(one, dry_run=answer.dry_run):
            click.echo(output.printable(f"{one.id}: {line}"))


def _cleaned(answer: "Cleaned", *, dry_run: bool) -> Iterator[str]:
    word = "would remove" if dry_run else "removed"
    yield from (f"{word} {part}" for part in answer.removed)
    if answer.ignored_count:
        count = answer.ignored_count
        files = f"{count} ignored file{'s' if count > 1 else ''}: "
        files += listed(answer.ignored, count=count)
        yield f"would remove {files}" if dry_run else f"removes {files}"
    yield from (f"would keep {part}" for part in answer.would_keep)
    for archive in answer.archives:
        yield f"kept until {archive.until} in {archive.folder}"
        if archive.git:
            yield f"its own git directory, which code inside could write, is kept: {archive.git}"
        if archive.deleted:
            yield f"{len(archive.deleted)} deleted files are listed in deleted.txt there"
        if archive.omitted:
            shown = ", ".join(archive.omitted[:SHOWN])
            yield f"left out, no files or not readable: {len(archive.omitted)} ({shown})"
        for command in archive.restore[:SHOWN]:
            yield f"get it back with: {command}"
        if len(archive.restore) > SHOWN:
            yield f"all refs: git for-each-ref {archive.prefix}"
