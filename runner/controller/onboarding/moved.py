"""A repository that was moved, copied or put back: its instances repaired, and what still runs at
the old place found by what it mounts."""

from dataclasses import replace
from pathlib import Path

from runner.adapters.engine.protocol import Engine
from runner.adapters.store import identity
from runner.controller.project import Repository
from runner.controller.world import observe
from runner.domain.errors import Refused, RunnerError
from runner.domain.instance.container import LABEL_REPOSITORY, Container
from runner.domain.instance.health import Finding, Status
from runner.domain.instance.record import Record
from runner.domain.instance.world import World, strangers

_CHECK = "moved"


def moved(repository: Repository, engine: Engine | None, *, fix: bool) -> list[Finding]:
    """What `doctor` finds of records that were made at another place, and of containers that use
    this one. `fix` repairs the records of a repository that was moved, which needs the engine; a
    copy is only reported."""
    found = []
    try:
        records = [one for one in repository.records.all() if repository.standing(one) == "moved"]
        if records and fix and engine:
            found.append(_repaired(repository, engine, records))
        for record in repository.records.all():
            found += _finding(repository, record)
        if engine:
            world = observe(repository)
            if world.silent:
                raise world.silent
            others = strangers(world, str(repository.records.root))
            found += [_stranger(one) for one in others if not _is_leftover(world, one)]
    except RunnerError as error:
        found.append(Finding(_CHECK, "problem", error.message, error.hint))
    return found


def require_none_elsewhere(repository: Repository) -> None:
    """Raises Refused where an instance runs that no record here accounts for."""
    world = observe(repository)
    if world.silent and world.folders:
        raise world.silent  # without both nothing runs
    left = strangers(world, str(repository.records.root))
    if left:
        found = _stranger(left[0])
        raise Refused(found.message, hint=found.way_out)


def _stranger(container: Container) -> Finding:
    return Finding(
        _CHECK,
        "warning",
        f"The container {container.name} runs with files of this place, and no instance here has "
        "it: a repository that was here before, or a record that is gone.",
        f"Stop it with: docker stop {container.name}",
    )


def _is_leftover(world: World, container: Container) -> bool:
    """Whether `leftovers` names a container: this repository's, without even a worktree."""
    names = {path.rpartition("/")[2] for path in world.worktrees}
    return world.is_own(container) and container.instance not in names


def _finding(repository: Repository, record: Record) -> list[Finding]:
    try:
        repository.require_own(record)
    except Refused as error:
        status: Status = "problem" if repository.standing(record) == "moved" else "warning"
        return [Finding(_CHECK, status, error.message, error.hint)]
    return []


def _repaired(repository: Repository, engine: Engine, records: list[Record]) -> Finding:
    """Everything that names the old place is made to name this one. The records go last: what is
    cut off can be gone on with."""
    known = repository.known_as
    was = Path(known.common_dir) if known else Path(records[0].checkout) / ".git"
    key = known.key if known else identity.key_of(was)
    with repository.locked():
        # These mount the old place, and run on where the files went; `up` makes them from what
        # lies in worktrees and volumes.
        for container in engine.containers():
            below = any(Path(s).is_relative_to(was / "treedock") for s in container.sources)
            if container.labels.get(LABEL_REPOSITORY) == key or below:
                engine.remove(container.id)
        repository.be(key)
        here = {record.id: repository.here_of(record) for record in records}
        there = [path for path in here.values() if (path / ".git").exists()]
        if there:
            repository.git.repair_worktrees(there)
        for record in records:
            checkout, worktree = str(repository.checkout), str(here[record.id])
            repository.records.write(replace(record, checkout=checkout, worktree=worktree))
    ids = ", ".join(here)
    return Finding(
        _CHECK,
        "ok",
        f"this repository was moved from {records[0].checkout}: the paths of {ids} are repaired; "
        f"start them with: treedock up {' '.join(here)}",
        fixed=True,
    )
