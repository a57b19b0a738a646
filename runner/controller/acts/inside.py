"""exec, and what runs with the streams of a caller: exec, shell, db shell."""

from runner.controller import choosing
from runner.controller.lifecycle import exec as inside
from runner.controller.project import Place, open_project
from runner.domain.errors import BadRequest, Signalled
from runner.domain.events import Emit
from runner.domain.instance.streams import Streams
from runner.domain.requests.inside import Attachable, Client, Exec, Executed


def exec_(place: Place, request: Exec, emit: Emit) -> Executed:
    """Run a command to its end and keep what it prints. A signal that ends treedock (raised as
    Signalled) ends the command, too; the exit code is that of a shell then."""
    if not request.command:
        raise BadRequest("Say what to run.", hint="treedock exec ID -- CMD...")
    repository = place.repository()
    chosen = choosing.one(repository, request.instance)
    there = inside.place_of(repository, chosen, place.folder.absolute())
    with inside.capturing(repository, chosen) as (out, err):
        try:
            code = inside.run(repository, there, list(request.command), Streams(None, out, err))
        except Signalled as signalled:
            code = 128 + signalled.number
    both = {"stdout": out, "stderr": err}
    long = {name: one for name, one in both.items() if one.truncated}
    return Executed(
        id=chosen,
        code=code,
        stdout=out.text(),
        stderr=err.text(),
        truncated=bool(long),
        sizes={name: one.size for name, one in both.items()},
        files={name: str(one.path) for name, one in long.items()},
        dropped={name: one.dropped for name, one in long.items()},
    )


_SHELL = ["sh", "-c", "command -v bash >/dev/null && exec bash || exec sh"]


def attach(place: Place, request: Attachable, streams: Streams, *, on_terminal: bool) -> int:
    """Run a command with these streams; returns its exit code. Where they are a terminal, by the
    docker command, which has a raw one. Raises RunnerError, and Signalled as it comes."""
    repository = place.repository()
    chosen = choosing.one(repository, request.instance)
    if isinstance(request, Client):
        there, command = inside.client_of(open_project(repository), chosen)
    else:
        there = inside.place_of(repository, chosen, place.folder.absolute())
        command = list(request.command) if isinstance(request, Exec) else _SHELL
    # The docker command has no words of treedock's for a command that is not there.
    if on_terminal and inside.has_terminal() and inside.can_start(repository, there, command[0]):
        return inside.run_on_terminal(repository, there, command)
    return inside.run(
        repository, there, command, streams
    )  # fmt: skip
