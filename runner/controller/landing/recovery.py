"""What a treedock that was killed left of a merge or a sync: a landing half-way, throwaway
instances, containers that git ran in, refs that pinned candidates, snapshots half made."""

from pathlib import Path

from runner.adapters.engine.protocol import Filter
from runner.adapters.store import locks
from runner.adapters.store.runs import Journal
from runner.controller.cache.prune import leftover_volumes, remove_leftover_volumes
from runner.controller.instance.throwaway import abandoned, dispose
from runner.controller.landing.land import settle
from runner.controller.project import Project, Repository
from runner.controller.sync.git_inside import HELPER
from runner.domain.errors import RunnerError
from runner.domain.events import Emit
from runner.domain.instance.container import LABEL, LABEL_HELPS, Container
from runner.domain.instance.health import Finding
from runner.domain.instance.names import throwaway
from runner.domain.text import listed

_CHECK = "unfinished"
PINS = "refs/treedock-run"


def unfinished(project: Project, *, fix: bool, emit: Emit) -> list[Finding]:
    """One finding: everything that is left, or was removed. Needs the engine."""
    try:
        said = _leftovers(project)
        if not said:
            return [Finding(_CHECK, "ok", "no merge or sync was cut off")]
        if not fix:
            way_out = "treedock doctor --fix finishes or removes it; so does the next merge."
            return [Finding(_CHECK, "warning", f"Cut off: {listed(said)}.", way_out)]
        clear_up(project, emit)
    except RunnerError as error:
        return [Finding(_CHECK, "problem", error.message, error.hint)]
    return [Finding(_CHECK, "ok", f"cleared up: {listed(said)}", fixed=True)]


def clear_up(project: Project, emit: Emit) -> None:
    """Finish or undo a landing that was cut off, and remove what no one works with any more.
    Raises Refused where a person has to look."""
    repository = project.repository
    settle(repository, emit)
    for operation in abandoned(project):
        with operation.locked():
            dispose(operation)
    for container in idle_helpers(repository):
        repository.engine.remove(container.id)
    remove_leftover_volumes(repository)
    with repository.locked():
        pins = _stale_pins(repository)
        repository.git.update_refs({name: (None, commit) for name, commit in pins.items()})
    for lock in _idle_locks(repository):
        with locks.hold(lock):  # whoever opened it meanwhile notices and makes a new one
            lock.unlink(missing_ok=True)


def _idle_locks(repository: Repository) -> list[Path]:
    """Lock files of runs, throwaway instances and snapshots that no one holds."""
    wanted = [repository.records.lock(name) for name in ("run-*", throwaway("*"))]
    wanted.append(repository.snapshots.lock("*"))
    found = [lock for pattern in wanted for lock in pattern.parent.glob(pattern.name)]
    return [lock for lock in found if not locks.is_held(lock)]


def idle_helpers(repository: Repository) -> list[Container]:
    """Containers that git ran in, for an instance that no one works on."""
    found = repository.engine.containers(Filter(repository=repository.key))
    return [
        container
        for container in found
        if container.labels.get(LABEL) == HELPER
        and not locks.is_held(repository.records.lock(container.labels.get(LABEL_HELPS, "")))
    ]


def _leftovers(project: Project) -> list[str]:
    repository = project.repository
    said = ["a landing"] if Journal(repository.records.root).read() else []
    said += [f"the throwaway instance {operation.id}" for operation in abandoned(project)]
    said += [f"the container {container.name}" for container in idle_helpers(repository)]
    said += [f"the ref {name}" for name in _stale_pins(repository)]
    said += [f"the volume {name}" for name in leftover_volumes(repository)]
    return said


def _stale_pins(repository: Repository) -> dict[str, str]:
    """Refs of runs whose treedock has ended."""
    records = repository.records
    return {
        name: commit
        for name, commit in repository.git.refs(PINS).items()
        if not locks.is_held(records.lock(f"run-{name.split('/')[2]}"))
    }
