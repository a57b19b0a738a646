"""exec, shell, db: things that happen inside an instance."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn, cast

import click

from runner.cli import choosing, output
from runner.cli.progress import narration
from runner.controller.project import Repository, open_project, open_repository
from runner.controller.stream import Stream

if TYPE_CHECKING:
    from runner.controller.lifecycle.exec import Place


class _Exec(click.Command):
    """`exec [ID] -- CMD...`: what stands behind the first `--` is the command, untouched."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own, command = args, []
        if "--" in args:
            at = args.index("--")
            own, command = args[:at], args[at + 1 :]
        elif not {"-h", "--help"} & set(args):
            own, command = args[:1], args[1:]
        ctx.obj = command
        return super().parse_args(ctx, own)


@click.command("exec", cls=_Exec, options_metavar="[ID] [--json] -- CMD...")
@click.argument("instance", required=False, metavar="", shell_complete=choosing.complete)
@output.as_json
@click.pass_context
def exec_command(ctx: click.Context, instance: str | None, json_: bool) -> int:
    """Run a command in an instance; its exit code is this command's.

    A signal that ends treedock ends the command too, and what it started. With --json the last
    MiB of each stream is printed; "files" names where up to 64 MiB of a longer one are.
    """
    command: list[str] = ctx.obj
    if not command:
        raise click.UsageError("Say what to run: treedock exec ID -- CMD...")
    return _run(instance, command, json_=json_)


@click.command("shell")
@click.argument("instance", required=False, metavar="[ID]", shell_complete=choosing.complete)
def shell_command(instance: str | None) -> int:
    """Open a shell in an instance: bash where it has one, else sh."""
    return _run(instance, ["sh", "-c", "command -v bash >/dev/null && exec bash || exec sh"])


@click.group("db")
def db_command() -> None:
    """The database of an instance."""


@db_command.command("reset")
@click.argument("instance", required=False, metavar="[ID]", shell_complete=choosing.complete)
@click.option("--fresh", is_flag=True, help="Run the reset command whatever is known.")
@click.option("--timings", is_flag=True, help="Print how long each step took.")
@output.as_json
def reset_command(instance: str | None, fresh: bool, timings: bool, json_: bool) -> None:
    """Make the database anew: from the state that the project's reset command left, or by that
    command, where what it reads has changed."""
    from runner.controller.data.reset import reset
    from runner.controller.observe.listing import list_instances

    repository = open_repository()
    chosen = choosing.one(repository, instance)
    with narration(timings=timings) as emit:
        reset(open_project(repository), chosen, emit, fresh=fresh)
    if json_:
        views = list_instances(repository, Stream())
        output.show_json(next(view.to_json() for view in views if view.id == chosen))


@db_command.command("url")
@click.argument("instance", required=False, metavar="[ID]", shell_complete=choosing.complete)
@output.as_json
def url_command(instance: str | None, json_: bool) -> None:
    """Print where a client on this machine finds the database."""
    from runner.controller.data.database import url_of

    repository = open_repository()
    chosen = choosing.one(repository, instance)
    url = url_of(open_project(repository), chosen)
    if json_:
        output.show_json({"id": chosen, "url": url})
    else:
        click.echo(url)


@db_command.command("shell")
@click.argument("instance", required=False, metavar="[ID]", shell_complete=choosing.complete)
def db_shell_command(instance: str | None) -> int:
    """Open the database's own client (psql, sqlite3); statements may come from stdin."""
    from runner.controller.lifecycle.exec import client_of

    repository = open_repository()
    chosen = choosing.one(repository, instance)
    place, command = client_of(open_project(repository), chosen)
    return _run_at(repository, chosen, place, command)


@db_command.command("snapshot")
@click.argument("instance", metavar="ID", shell_complete=choosing.complete)
@click.argument("name")
@output.as_json
def snapshot_command(instance: str, name: str, json_: bool) -> None:
    """Keep a copy of the database as it is now; it goes with the instance."""
    from runner.controller.data.database import snapshot

    with narration() as emit:
        made = snapshot(open_project(open_repository()), instance, name, emit)
    if json_:
        output.show_json(asdict(made))
    else:
        click.echo(f"Restore it with: treedock db restore {instance} {name}")


@db_command.command("restore")
@click.argument("instance", metavar="ID", shell_complete=choosing.complete)
@click.argument("name")
@click.option("--from", "source", metavar="ID", help="The instance whose snapshot it is.")
@output.as_json
def restore_command(instance: str, name: str, source: str | None, json_: bool) -> None:
    """Make the database what a snapshot holds, of this instance or of another one."""
    from runner.controller.data.database import restore

    with narration() as emit:
        restore(open_project(open_repository()), instance, source or instance, name, emit)
    if json_:
        output.show_json({"id": instance, "name": name, "from": source or instance})


@db_command.command("list")
@click.argument("instance", required=False, metavar="[ID]", shell_complete=choosing.complete)
@output.as_json
def snapshots_command(instance: str | None, json_: bool) -> None:
    """List the snapshots of an instance's database."""
    from runner.controller.data.database import snapshots
    from runner.domain.sizes import shown_size

    repository = open_repository()
    chosen = choosing.one(repository, instance)
    found = snapshots(open_project(repository), chosen)
    if json_:
        output.show_json({"snapshots": [asdict(one) for one in found]})
    else:
        rows = [[one.name, shown_size(one.size), one.created_at] for one in found]
        output.show_table(["NAME", "SIZE", "CREATED"], rows)


@db_command.command("drop")
@click.argument("instance", metavar="ID", shell_complete=choosing.complete)
@click.argument("name")
@output.as_json
def drop_command(instance: str, name: str, json_: bool) -> None:
    """Delete a snapshot."""
    from runner.controller.data.database import drop

    with narration() as emit:
        drop(open_project(open_repository()), instance, name, emit)
    if json_:
        output.show_json({"id": instance, "name": name})


def _run(instance: str | None, command: list[str], *, json_: bool = False) -> int:
    from runner.controller.lifecycle.exec import place_of

    repository = open_repository()
    chosen = choosing.one(repository, instance)
    place = place_of(repository, chosen, Path.cwd())
    return _run_at(repository, chosen, place, command, json_=json_)


def _run_at(
    repository: Repository, chosen: str, place: "Place", command: list[str], *, json_: bool = False
) -> int:
    """On a terminal through the docker command, which has a raw tty; else streams are joined.

    A signal that ends treedock ends the command inside; the exit code is that of a shell then.
    """
    from runner.adapters.engine.ending import Signalled
    from runner.controller.lifecycle.exec import can_start, has_terminal, run, run_on_terminal

    if json_:
        return _run_captured(repository, chosen, place, command)
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty() and has_terminal()
    try:
        with _signals_raised():
            # The docker command has no words of treedock's for a command that is not there.
            if on_terminal and can_start(repository, place, command[0]):
                return run_on_terminal(repository, place, command)
            streams = {"stdin": sys.stdin.buffer, "stdout": sys.stdout.buffer}
            return run(repository, place, command, **streams, stderr=sys.stderr.buffer)
    except Signalled as signalled:
        return 128 + signalled.number


def _run_captured(repository: Repository, chosen: str, place: "Place", command: list[str]) -> int:
    """Print the end of what a command says as JSON, and where more of it is."""
    from runner.adapters.engine.ending import Signalled
    from runner.controller.lifecycle.exec import capturing, run

    with capturing(repository, chosen) as (out, err):
        try:
            with _signals_raised():
                streams = {"stdout": cast(BinaryIO, out), "stderr": cast(BinaryIO, err)}
                code = run(repository, place, command, stdin=None, **streams)
        except Signalled as signalled:
            code = 128 + signalled.number
    both = {"stdout": out, "stderr": err}
    long = {name: one for name, one in both.items() if one.truncated}
    output.show_json(
        {
            "id": chosen,
            "exit_code": code,
            **{name: one.text() for name, one in both.items()},
            "truncated": bool(long),
            "bytes": {name: one.size for name, one in both.items()},
            "files": {name: str(one.path) for name, one in long.items()},
            "dropped": {name: one.dropped for name, one in long.items()},
        }
    )
    return code


@contextmanager
def _signals_raised() -> Iterator[None]:
    """A signal that would end treedock is raised as Signalled, once: the next one ends it. One
    that was to be ignored (nohup) stays so."""
    from runner.adapters.engine.ending import Signalled

    kinds = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = {kind: signal.getsignal(kind) for kind in kinds}

    def restore() -> None:
        for kind, handler in before.items():
            signal.signal(kind, handler)

    def signalled(number: int, _: object) -> NoReturn:
        restore()
        raise Signalled(number)

    for kind, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(kind, signalled)
    try:
        yield
    finally:
        restore()
