"""Looking at the instances of a repository: once per phase of a verb, so that what is decided in
it is decided on one picture."""

from pathlib import Path

from runner.adapters.store.folder import Folder
from runner.adapters.store.records import Records
from runner.adapters.store.run_folder import RunFolder
from runner.controller.project import Repository
from runner.domain.errors import EngineUnavailable, RunnerError
from runner.domain.instance.container import LABEL_REPOSITORY, Container
from runner.domain.instance.record import Record, ServiceView
from runner.domain.instance.service import service_process, view_of
from runner.domain.instance.world import World


def observe(repository: Repository, *, ask_engine: bool = True) -> World:
    """The world as it is now; no process is started for it. An engine that is silent is part of
    it. Raises EngineFailed and GitFailed.

    Containers first and locks last: what a verb makes has a record before, and what a verb is at
    work on is not judged by its parts.
    """
    containers, silent = _containers(repository) if ask_engine else (None, None)
    key = repository.key if containers else ""
    git = repository.git
    worktrees = {str(one.path): one.branch for one in git.worktrees()}
    records, doubts = _records(repository)
    running = {
        one.instance
        for one in containers or ()
        if one.status == "running" and one.labels.get(LABEL_REPOSITORY) == key
    }
    paths = {Path(path) for path in [*worktrees, *(one.worktree for one in records.values())]}
    return World(
        key=key,
        records=records,
        doubts=doubts,
        folders=frozenset(repository.records.ids()),
        containers=containers,
        silent=silent,
        services={
            id_: services(repository.records, record, up=id_ in running)
            for id_, record in records.items()
        },
        worktrees=worktrees,
        present={str(path): (path / ".git").exists() for path in paths if path.is_dir()},
        refs=git.refs("refs/heads", "refs/remotes", "refs/treedock"),
        busy=frozenset(repository.records.busy()),
    )


def services(records: Records, record: Record, *, up: bool) -> tuple[ServiceView, ...]:
    """The services of an instance as their processes are; `up`: its container runs."""
    folder = RunFolder(Folder(records.folder(record.id)).run)
    return tuple(
        view_of(name, folder.process(service_process(name)), up=up) for name in record.services
    )


def _containers(
    repository: Repository,
) -> tuple[tuple[Container, ...] | None, EngineUnavailable | None]:
    try:
        return tuple(repository.engine.containers()), None
    except EngineUnavailable as error:
        return None, error


def _records(repository: Repository) -> tuple[dict[str, Record], dict[str, RunnerError]]:
    """(those that can be read, what is the matter with the others and with those that are not of
    this place)."""
    found: dict[str, Record] = {}
    doubts: dict[str, RunnerError] = {}
    for instance in repository.records.ids():
        try:
            record = repository.records.read(instance)
            if record:
                found[instance] = record
                repository.require_own(record)
        except RunnerError as error:
            doubts[instance] = error
    return found, doubts
