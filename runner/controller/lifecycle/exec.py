"""`exec`, `shell`, `db shell`: where in an instance a command runs, and running it."""

import contextlib
import secrets
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from runner.adapters.engine import docker_command
from runner.adapters.engine.ending import MARK, end_marked, new_mark
from runner.adapters.engine.protocol import Exec
from runner.adapters.files import disk
from runner.adapters.files.captured import Captured
from runner.adapters.store.folder import Folder
from runner.controller.data.database import required_adapter, site_of
from runner.controller.instance.container import exec_env
from runner.controller.operation import (
    Operation,
    require_running,
    require_worktree,
)
from runner.controller.project import Project, Repository, open_project
from runner.controller.stream import Stream
from runner.controller.sync.sparse import hand_in_patterns
from runner.domain.errors import ConfigError, RunnerError
from runner.domain.frozen import dataclass
from runner.domain.instance.container import WORKSPACE
from runner.domain.instance.streams import Streams

KEPT = 6  # files of earlier commands; each of at most 64 MiB


@dataclass(frozen=True)
class Place:
    """A running container, the folder inside it, and what to add to its environment: with a mark
    by which the command is found again."""

    container: str
    workdir: str
    env: dict[str, str]


def place_of(repository: Repository, instance: str, here: Path) -> Place:
    """The instance's container, and the folder inside that `here` is when it lies in the
    worktree. Raises NotFound, and Refused where the instance does not run."""
    record = repository.record(instance)
    operation = Operation(repository, instance, Stream())
    container = require_running(operation)
    require_worktree(operation)
    with contextlib.suppress(RunnerError):  # `sync` says what is the matter
        hand_in_patterns(operation)
    worktree = Path(record.worktree)
    inner = here.relative_to(worktree) if here.is_relative_to(worktree) else PurePosixPath()
    try:
        env = exec_env(Operation(open_project(repository), instance, Stream()))
    except ConfigError:  # a look inside must be possible with a faulty treedock.yaml, too
        env = {}
    marked = {**env, MARK: new_mark()}
    return Place(container.id, str(PurePosixPath(WORKSPACE) / inner), marked)


def client_of(project: Project, instance: str) -> tuple[Place, list[str]]:
    """Where the database's own client runs, and its command line. Raises NotFound, Refused where
    the instance does not run or the engine has no client."""
    operation = Operation(project, instance, Stream())
    adapter = required_adapter(project.config)
    place = place_of(project.repository, instance, project.repository.checkout)
    site = site_of(operation, place.container)
    container, command = adapter.shell(site)
    if container == place.container:
        return place, command
    return Place(container, "/", {**adapter.variables(), MARK: new_mark()}), command


def can_start(repository: Repository, place: Place, command: str) -> bool:
    """Whether there is such a command inside, asked of the shell there."""
    asks = Exec(["sh", "-c", 'command -v "$1"', "sh", command], place.env, place.workdir)
    return repository.engine.exec(place.container, asks).exit_code == 0


def run(
    repository: Repository,
    place: Place,
    command: list[str],
    streams: Streams,
) -> int:
    """Run a command there, its streams joined to these files; returns its exit code, 127 (and
    the reason on stderr) where there is no such command."""
    return repository.engine.exec_attached(
        place.container, Exec(command, place.env, place.workdir), streams
    )


def has_terminal() -> bool:
    """Whether a command can get a terminal: the docker command is what has a raw one."""
    return docker_command.is_installed()


def run_on_terminal(repository: Repository, place: Place, command: list[str]) -> int:
    """Run a command there on our terminal; returns its exit code. Whatever ends the wait early
    ends the command, too, and what it started."""
    return docker_command.exec_on_terminal(
        place.container,
        command,
        env=place.env,
        workdir=place.workdir,
        end=partial(end_marked, repository.engine, place.container, place.env[MARK]),
    )


@contextlib.contextmanager
def capturing(repository: Repository, instance: str) -> Iterator[tuple[Captured, Captured]]:
    """Where the two streams of a command go that no person reads; of what does not fit into
    memory there are files, the newest of which stay until the instance is cleaned."""
    folder = Folder(repository.records.folder(instance)).commands
    disk.remove_oldest(folder, beyond=KEPT)
    name = secrets.token_hex(4)
    out, err = Captured(folder / f"{name}.stdout"), Captured(folder / f"{name}.stderr")
    with contextlib.closing(out), contextlib.closing(err):
        yield out, err
