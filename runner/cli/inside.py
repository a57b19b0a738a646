"""exec, shell, db: things that happen inside an instance."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import click

from runner.cli import completion, output
from runner.cli.run import run
from runner.controller.verbs import Controller

if TYPE_CHECKING:
    from runner.domain.requests.data import Snapshots
    from runner.domain.requests.inside import Attachable


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
@click.argument("instance", required=False, metavar="", shell_complete=completion.ids)
@output.as_json
@click.pass_context
def exec_command(ctx: click.Context, instance: str | None, json_: bool) -> int:
    """Run a command in an instance; its exit code is this command's.

    A signal that ends treedock ends the command too, and what it started. With --json the last
    MiB of each stream is printed; "files" names where up to 64 MiB of a longer one are.
    """
    from runner.domain.requests.inside import Exec

    command: list[str] = ctx.obj
    if not command:
        raise click.UsageError("Say what to run: treedock exec ID -- CMD...")
    request = Exec(instance=instance, command=tuple(command))
    if not json_:
        return _attach(request)
    with _signals_raised():
        answer = run(request)
    return output.finish(answer, lambda: None, json_=True)


@click.command("shell")
@click.argument("instance", required=False, metavar="[ID]", shell_complete=completion.ids)
def shell_command(instance: str | None) -> int:
    """Open a shell in an instance: bash where it has one, else sh."""
    from runner.domain.requests.inside import Shell

    return _attach(Shell(instance=instance))


@click.group("db")
def db_command() -> None:
    """The database of an instance."""


@db_command.command("reset")
@click.argument("instance", required=False, metavar="[ID]", shell_complete=completion.ids)
@click.option("--fresh", is_flag=True, help="Run the reset command whatever is known.")
@output.timings
@output.as_json
def reset_command(instance: str | None, fresh: bool, timings: bool, json_: bool) -> int:
    """Renew the database: from the state that the project's reset command left, or by that
    command, where what it reads has changed."""
    from runner.domain.requests.data import Reset

    answer = run(Reset(instance=instance, fresh=fresh), timings=timings)
    return output.finish(answer, lambda: None, json_=json_)


@db_command.command("url")
@click.argument("instance", required=False, metavar="[ID]", shell_complete=completion.ids)
@output.as_json
def url_command(instance: str | None, json_: bool) -> int:
    """Print where a client on this machine finds the database."""
    from runner.domain.requests.data import Url

    answer = run(Url(instance=instance))
    return output.finish(answer, lambda: click.echo(answer.url), json_=json_)


@db_command.command("shell")
@click.argument("instance", required=False, metavar="[ID]", shell_complete=completion.ids)
def db_shell_command(instance: str | None) -> int:
    """Open the database's own client (psql, sqlite3); statements may come from stdin."""
    from runner.domain.requests.inside import Client

    return _attach(Client(instance=instance))


@db_command.command("snapshot")
@click.argument("instance", metavar="ID", shell_complete=completion.ids)
@click.argument("name")
@output.as_json
def snapshot_command(instance: str, name: str, json_: bool) -> int:
    """Keep a copy of the database as it is now; it goes with the instance."""
    from runner.domain.requests.data import Keep

    answer = run(Keep(instance=instance, name=name))
    way_back = f"Restore it with: treedock db restore {instance} {name}"
    return output.finish(answer, lambda: click.echo(way_back), json_=json_)


@db_command.command("restore")
@click.argument("instance", metavar="ID", shell_complete=completion.ids)
@click.argument("name")
@click.option("--from", "source", metavar="ID", help="The instance whose snapshot it is.")
@output.as_json
def restore_command(instance: str, name: str, source: str | None, json_: bool) -> int:
    """Make the database what a snapshot holds, of this instance or of another one."""
    from runner.domain.requests.data import Restore

    answer = run(Restore(instance=instance, name=name, source=source))
    return output.finish(answer, lambda: None, json_=json_)


@db_command.command("list")
@click.argument("instance", required=False, metavar="[ID]", shell_complete=completion.ids)
@output.as_json
def snapshots_command(instance: str | None, json_: bool) -> int:
    """List the snapshots of an instance's database."""
    from runner.domain.requests.data import ListSnapshots

    answer = run(ListSnapshots(instance=instance))
    return output.finish(answer, lambda: _show_snapshots(answer), json_=json_)


def _show_snapshots(answer: "Snapshots") -> None:
    from runner.domain.sizes import shown_size

    rows = [[one.name, shown_size(one.size), one.created_at] for one in answer.snapshots]
    output.show_table(["NAME", "SIZE", "CREATED"], rows)


@db_command.command("drop")
@click.argument("instance", metavar="ID", shell_complete=completion.ids)
@click.argument("name")
@output.as_json
def drop_command(instance: str, name: str, json_: bool) -> int:
    """Delete a snapshot."""
    from runner.domain.requests.data import Drop

    answer = run(Drop(instance=instance, name=name))
    return output.finish(answer, lambda: None, json_=json_)


def _attach(request: "Attachable") -> int:
    """Run it with our streams; a signal that ends treedock ends the command inside, and the exit
    code is that of a shell then."""
    from runner.domain.errors import Signalled
    from runner.domain.instance.streams import Streams

    streams = Streams(sys.stdin.buffer, sys.stdout.buffer, sys.stderr.buffer)
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    try:
        with _signals_raised():
            return Controller.open().attach(request, streams, on_terminal=on_terminal)
    except Signalled as signalled:
        return 128 + signalled.number


@contextmanager
def _signals_raised() -> Iterator[None]:
    """A signal that would end treedock is raised as Signalled, once: the next one ends it. One
    that was to be ignored (nohup) stays so."""
    from runner.domain.errors import Signalled

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
