"""`exec`, `shell`, `db shell`: where in an instance a command runs, and running it."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from runner.controller.containers import exec_env
from runner.controller.database import required_adapter, site_of
from runner.controller.opening import Project, Repository, open_project
from runner.controller.work import ProjectWork, Work, require_running
from runner.domain.container import WORKSPACE
from runner.domain.errors import ConfigError


@dataclass(frozen=True)
class Place:
    """A running container, the folder inside it, and what to add to its environment."""

    container: str
    workdir: str
    env: dict[str, str]


def place_of(repository: Repository, instance: str, here: Path) -> Place:
    """The instance's container, and the folder inside that `here` is when it lies in the
    worktree. Raises NotFound, and Refused where the instance does not run."""
    record = repository.record(instance)
    container = require_running(Work(repository, instance, lambda event: None))
    worktree = Path(record.worktree)
    inner = here.relative_to(worktree) if here.is_relative_to(worktree) else PurePosixPath()
    try:
        env = exec_env(ProjectWork(open_project(repository), instance, lambda event: None))
    except ConfigError:  # a look inside must be possible with a faulty treedock.yaml, too
        env = {}
    return Place(container.id, str(PurePosixPath(WORKSPACE) / inner), env)


def client_of(project: Project, instance: str) -> tuple[Place, list[str]]:
    """Where the database's own client runs, and its command line. Raises NotFound, Refused where
    the instance does not run or the engine has no client."""
    work = ProjectWork(project, instance, lambda event: None)
    adapter = required_adapter(project.config)
    place = place_of(project.repository, instance, project.repository.checkout)
    site = site_of(work, place.container)
    container, command = adapter.shell(site)
    if container == place.container:
        return place, command
    return Place(container, "/", adapter.variables()), command


def can_start(repository: Repository, place: Place, command: str) -> bool:
    """Whether there is such a command inside, asked of the shell there."""
    argv = ["sh", "-c", 'command -v "$1"', "sh", command]
    found = repository.engine.exec(place.container, argv, env=place.env, workdir=place.workdir)
    return found.exit_code == 0


def run(
    repository: Repository,
    place: Place,
    command: list[str],
    *,
    stdin: BinaryIO | None,
    stdout: BinaryIO,
    stderr: BinaryIO,
) -> int:
    """Run a command there, its streams joined to these files; returns its exit code, 127 (and
    the reason on stderr) where there is no such command."""
    return repository.engine.exec_attached(
        place.container,
        command,
        env=place.env,
        workdir=place.workdir,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
    )
