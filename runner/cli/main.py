"""The command `treedock`: a group whose commands are imported when they are called."""

import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import click

from runner.cli import output
from runner.cli.process import interrupted
from runner.domain.errors import RunnerError, unavailable
from runner.version import __version__

# What --help shows, in groups. Command -> module; the function has the command's name, '-' as '_',
# and an underscore behind it where Python has a word of that name.
_GROUPS = {
    "Set a repository up": {
        "init": "onboarding",
        "demo": "onboarding",
        "doctor": "onboarding",
        "config": "onboarding",
        "schema": "onboarding",
    },
    "Run instances": {
        "up": "lifecycle",
        "down": "lifecycle",
        "restart": "lifecycle",
        "clean": "lifecycle",
    },
    "See them": {
        "list": "observe",
        "status": "observe",
        "logs": "observe",
        "path": "observe",
        "open": "observe",
        "compose": "observe",
    },
    "Work inside": {
        "exec": "inside",
        "shell": "inside",
        "db": "inside",
    },
    "Bring branches back": {
        "sync": "sync",
        "update": "sync",
        "rebase": "sync",
        "review": "review",
        "conflicts": "conflicts",
        "merge": "landing",
        "pr": "review",
    },
    "Save time and disk": {
        "warm": "cache",
        "cache": "cache",
    },
    "Your shell": {
        "shell-init": "shells",
        "completion": "shells",
        "version": "onboarding",
    },
}
_COMMANDS = {name: module for group in _GROUPS.values() for name, module in group.items()}

# What other tools call it, by what it is called here.
_ELSEWHERE = {
    **dict.fromkeys(("ls", "ps"), "list"),
    **dict.fromkeys(("rm", "remove", "delete"), "clean"),
    **dict.fromkeys(("sh", "ssh"), "shell"),
    "start": "up",
    "stop": "down",
    "run": "exec",
    "log": "logs",
}


_WIDEST = max(map(len, _COMMANDS))


def _summary(command: click.Command) -> str:
    """The first sentence of its help, whole."""
    return command.get_short_help_str(limit=1000)


def _go_there(ctx: click.Context, param: click.Parameter, folders: tuple[str, ...]) -> None:
    for folder in folders:
        try:
            os.chdir(folder)
        except OSError as error:
            raise click.BadParameter(f"{folder}: {error.strerror}.", ctx, param) from error


class _ReaderGone(Exception):
    """What reads our output has ended. click would make exit code 1 of it, a command's own."""


@contextlib.contextmanager
def _reader_watched() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise _ReaderGone from error


class _Commands(click.Group):
    """Imports one module per call: `list` does not pay for what `up` needs."""

    def make_context(self, *args: Any, **settings: Any) -> click.Context:
        with _reader_watched():  # --help and --version print here
            return super().make_context(*args, **settings)

    def invoke(self, ctx: click.Context) -> Any:
        with _reader_watched():
            result = super().invoke(ctx)
            sys.stdout.flush()
        return result

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in _GROUPS.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            rows = [(name, _summary(command)) for name, command in commands if command]
            with formatter.section(title):
                formatter.write_dl([(name.ljust(_WIDEST), summary) for name, summary in rows])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"runner.cli.{_COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in _COMMANDS:
            import difflib

            close = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            near = _ELSEWHERE.get(args[0]) or next(iter(close), None)
            also = f" Did you mean {near!r}?" if near else ""
            ctx.fail(f"There is no command {args[0]!r}.{also}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "-C",
    "folders",
    multiple=True,
    metavar="DIR",
    type=click.Path(),
    expose_value=False,
    is_eager=True,
    callback=_go_there,
    help="Run as if started in DIR, as git does.",
)
@click.version_option(__version__, prog_name="treedock", message="%(prog)s %(version)s")
def treedock() -> None:
    """Isolated full-stack instances of one repository: each a git worktree in its own
    container, with its own ports and database."""


def main() -> None:
    """Run the command and exit: errors once, on stderr (or as JSON), with their exit code."""
    # Looking for plug-ins of pydantic costs 25 ms at every start, and there are none.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    if signal.getsignal(signal.SIGINT) == interrupted:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        result = treedock.main(standalone_mode=False)
        sys.exit(result if isinstance(result, int) else 0)
    except RunnerError as error:
        output.show_error(error)
        sys.exit(error.exit_code)
    except (click.exceptions.Abort, KeyboardInterrupt):
        interrupted(signal.SIGINT, None)  # not sys.exit: that would wait for the threads at work
    except click.ClickException as error:
        output.show_usage_error(error)
        sys.exit(error.exit_code)
    except (_ReaderGone, BrokenPipeError):
        _exit_without_reader()
    except OSError as error:  # a full disk, a missing right
        translated = unavailable(error)
        output.show_error(translated)
        sys.exit(translated.exit_code)


def _exit_without_reader() -> NoReturn:
    """As a program that SIGPIPE ends; what is still to be written goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    sys.exit(128 + signal.SIGPIPE)
