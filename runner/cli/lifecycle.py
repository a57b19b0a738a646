"""up, down, restart, clean."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from runner.cli import choosing, output
from runner.cli.progress import narration
from runner.controller.parallel import STOPS, attempts
from runner.controller.project import Repository, open_project, open_repository
from runner.domain.errors import RunnerError, exit_code_of
from runner.domain.instance.record import View, absent
from runner.domain.text import listed

if TYPE_CHECKING:
    from runner.controller.cleanup.clean import Cleaned

NAMED = 1000  # ignored files that the document of --json names
SHOWN = 10  # paths or commands of one archive that are printed


@click.command("up")
@click.argument("ids", nargs=-1, metavar="[ID]...", shell_complete=choosing.complete)
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
@click.option("--timings", is_flag=True, help="Print how long each step took.")
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
    from runner.controller.instance.worktree import Wish
    from runner.controller.lifecycle.up import UpResult, up

    repository = open_repository()
    chosen = choosing.several(repository, ids)
    if len(purposes) > len(chosen):
        raise click.UsageError(
            f"{len(purposes)} times --purpose, but only {len(chosen)} instances."
        )
    padded = [*purposes, *[None] * (len(chosen) - len(purposes))]
    wishes = [
        Wish(instance, base=base, attach=attach, purpose=purpose)
        for instance, purpose in zip(chosen, padded, strict=True)
    ]
    with narration(timings=timings) as emit:
        project = open_project(repository)
        brought: list[UpResult] = up(
            project, wishes, emit, fetch=fetch, fresh=fresh, require_clean=require_clean
        )
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
    """Stop instances. Container, slot, worktree, branch and database stay.

    Another operation gets 2 seconds, then its instance is stopped all the same. Afterwards commits
    are brought out; exit code 5 where that fails, and they stay inside.
    """
    from runner.controller.lifecycle.down import down
    from runner.controller.onboarding.moved import require_none_left

    repository = open_repository()
    chosen = choosing.several(repository, ids, everything=everything)
    with narration(timings=timings) as emit:
        answers = attempts(lambda instance: down(repository, instance, emit), chosen, STOPS)
        if everything and not any(_errors(answers)):
            require_none_left(repository)
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
    """Restart one service or sidecar without the others, or the whole instance."""
    from runner.controller.lifecycle.restart import restart, restart_service

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
    from runner.controller.cleanup.clean import Cleaned, clean
    from runner.controller.cleanup.clean_several import HeldBack, clean_each, clean_several
    from runner.controller.cleanup.selection import merged as merged_ones
    from runner.controller.cleanup.selection import stale as stale_ones

    repository = open_repository()
    selecting = merged or stale
    if selecting and (ids or everything or (merged and stale)):
        raise click.UsageError("Name instances, or give one of --all, --merged, --stale.")
    if selecting and (force or force_dirty or force_unmerged):
        raise click.UsageError("--merged and --stale never force; name the instances for that.")

    going: set[str] = set()

    def one(instance: str, *, look: bool = False) -> Cleaned:
        return clean(
            repository, instance, emit, dry_run=dry_run or look, force=force,
            force_dirty=force_dirty, force_unmerged=force_unmerged, keep_ignored=keep_ignored,
            together=going,
        )  # fmt: skip

    def check(instance: str) -> object:
        if force or (force_dirty and force_unmerged):  # nothing that a look finds is refused
            return repository.record(instance, or_copied=True)
        return one(instance, look=True)

    with narration() as emit:
        if selecting:
            chosen = merged_ones(repository, emit) if merged else stale_ones(repository, emit)
        else:
            chosen = choosing.several(repository, ids, everything=everything)
        joint = len(chosen) > 1 and not (each or selecting)
        going.update(chosen if joint else ())
        several = joint and not dry_run
        answers = clean_several(chosen, check, one) if several else clean_each(chosen, one)
    errors = _errors(answers)
    cleaned = [answer for answer in answers if isinstance(answer, Cleaned)]
    held_back = [answer.id for answer in answers if isinstance(answer, HeldBack)]
    if json_:
        failed = {
            instance: error.to_json()
            for instance, error in zip(chosen, errors, strict=True)
            if error
        }
        removed = {answer.id: answer.removed for answer in cleaned}
        kept = {answer.id: [one.to_json() for one in answer.archives] for answer in cleaned}
        ignored = {
            answer.id: {"count": len(answer.ignored), "files": answer.ignored[:NAMED]}
            for answer in cleaned
        }
        document = {
            "dry_run": dry_run, "removed": removed, "ignored": ignored, "kept": kept,
            "errors": failed, "held_back": held_back,
        }  # fmt: skip
        if dry_run:
            document["would_keep"] = {answer.id: answer.would_keep for answer in cleaned}
        output.show_json(document)
    else:
        for answer in cleaned:
            for line in _cleaned(answer, dry_run=dry_run):
                click.echo(output.printable(f"{answer.id}: {line}"))
        _show_errors(chosen, errors)
    if held_back and not json_:
        click.echo(f"Nothing was removed; with --each this goes: {listed(held_back)}", err=True)
    if selecting and not chosen:
        click.echo(f"No instance is {'merged' if merged else 'stale'}.", err=True)
    return exit_code_of([error for error in errors if error])


def _cleaned(answer: "Cleaned", *, dry_run: bool) -> Iterator[str]:
    word = "would remove" if dry_run else "removed"
    yield from (f"{word} {part}" for part in answer.removed)
    if answer.ignored:
        count = len(answer.ignored)
        files = f"{count} ignored file{'s' if count > 1 else ''}: {listed(answer.ignored)}"
        yield f"would remove {files}" if dry_run else f"removes {files}"
    yield from (f"would keep {part}" for part in answer.would_keep)
    for archive in answer.archives:
        yield f"kept until {archive.until} in {archive.folder}"
        if archive.git:
            yield f"its own git directory, which code inside could write, is kept: {archive.git}"
        if archive.deleted:
            yield f"{len(archive.deleted)} deleted files are listed in deleted.txt there"
        if archive.left_out:
            shown = ", ".join(archive.left_out[:SHOWN])
            yield f"left out, no files or not readable: {len(archive.left_out)} ({shown})"
        for command in archive.restore[:SHOWN]:
            yield f"get it back with: {command}"
        if len(archive.restore) > SHOWN:
            yield f"all refs: git for-each-ref {archive.prefix}"


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
    from runner.controller.observe.listing import list_instances

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
        _show_errors(ids, errors)
    return exit_code_of(failed)


def _show_errors(ids: Sequence[str], errors: Sequence[RunnerError | None]) -> None:
    """Each error once: of instances with the same one, the others are only named."""
    said: dict[str, str] = {}
    for instance, error in zip(ids, errors, strict=True):
        text = error.message.removeprefix(f"{instance}: ") if error else ""
        if error and text in said:
            click.secho(f"{instance}: the same as {said[text]}", fg="red", err=True)
        elif error:
            said[text] = instance
            output.show_error(error)
