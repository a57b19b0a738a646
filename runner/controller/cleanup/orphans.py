"""What a repository has left over: locks of instances that are gone, and instances of which
record, worktree and container do not agree."""

from collections.abc import Iterator
from pathlib import Path

from runner.adapters.engine.protocol import Engine, Filter
from runner.adapters.files import disk
from runner.adapters.store import locks
from runner.adapters.store.folder import Folder
from runner.controller.cleanup.clean import clean
from runner.controller.instance.sidecars import remove_sidecars
from runner.controller.operation import Operation
from runner.controller.project import Project, Repository
from runner.controller.world import observe
from runner.domain.errors import ConfigError, RunnerError
from runner.domain.events import Emit
from runner.domain.frozen import dataclass
from runner.domain.instance.container import NETWORK, Container
from runner.domain.instance.health import Finding, Leftover
from runner.domain.instance.record import check_id
from runner.domain.instance.world import World, leftover
from runner.domain.text import listed

_CHECK = "leftovers"


@dataclass(frozen=True)
class _Remains:
    """An instance of which not all parts are there. `worktree` is where it is or would be."""

    id: str
    kind: Leftover
    folder: Path
    worktree: Path
    containers: list[Container]


def stale_locks(repository: Repository, *, fix: bool) -> Finding:
    """Lock files whose instance is gone and that no one holds, and folders of such instances that
    a kill kept from being deleted."""
    old_locks, trash = list(_stale_locks(repository)), list(_stale_trash(repository))
    stale = [*old_locks, *trash]
    if not stale:
        return Finding("stale-locks", "ok", "no lock is left of an instance that is gone")
    said = listed([path.name for path in stale])
    if not fix:
        message = f"Left of instances that are gone: {said}."
        return Finding("stale-locks", "warning", message, "treedock doctor --fix removes them.")
    for path in trash:
        disk.remove_tree(path)
    for path in old_locks:
        # Removed while held: whoever opened it meanwhile notices and makes a new one.
        with locks.hold(path):
            path.unlink(missing_ok=True)
    return Finding("stale-locks", "ok", f"removed: {said}", fixed=True)


def leftovers(project: Project, engine: Engine | None, *, fix: bool, emit: Emit) -> list[Finding]:
    """Where record, worktree and container of an instance do not agree.

    `fix` removes what cannot hold work; the rest is told with the command that repairs it. Without
    an engine only records and worktrees are compared, and nothing is removed.
    """
    found: list[Finding] = []
    try:
        world = observe(project.repository, ask_engine=engine is not None)
        if world.silent:
            raise world.silent
    except RunnerError as error:
        return [Finding(_CHECK, "problem", error.message, error.hint)]
    for instance in _ids(project, world):
        remains = _remains(project, instance, world)
        try:
            if remains:
                repair = fix and world.containers is not None
                found.append(_repaired(project, remains, emit) if repair else _finding(remains))
        except RunnerError as error:
            found.append(Finding(_CHECK, "problem", error.message, error.hint))
    return found or [Finding(_CHECK, "ok", "records, worktrees and containers agree")]


def network(project: Project, engine: Engine, *, fix: bool) -> list[Finding]:
    """A finding where instances have lost their network; `up` and `restart` make it again too."""
    try:
        needed = engine.containers(Filter(repository=project.repository.key))
        if not needed or engine.has_network():
            return []
        if fix:
            engine.ensure_network()
            return [Finding("network", "ok", f"{NETWORK} was made again", fixed=True)]
    except RunnerError as error:
        return [Finding("network", "problem", error.message, error.hint)]
    message = f"The engine's network {NETWORK} is gone; instances cannot start without it."
    return [Finding("network", "warning", message, "treedock doctor --fix makes it again.")]


def _stale_locks(repository: Repository) -> Iterator[Path]:
    known = set(repository.records.ids())
    folder = repository.records.repository_lock.parent
    for path in sorted(folder.glob("instance-*.lock")):
        instance = path.name.removeprefix("instance-").removesuffix(".lock")
        if instance not in known and not locks.is_held(path):
            yield path


def _stale_trash(repository: Repository) -> Iterator[Path]:
    for instance, path in repository.records.trashed():
        if not locks.is_held(repository.records.lock(instance)):
            yield path


def _ids(project: Project, world: World) -> list[str]:
    """Every id that a folder, a worktree of ours or a container bears."""
    paths = map(Path, world.worktrees)
    ours = {path.name for path in paths if path.parent == project.worktrees}
    theirs = {container.owner for container in world.own}
    return sorted(filter(_is_id, {*world.folders, *ours, *theirs}))


def _remains(project: Project, instance: str, world: World) -> _Remains | None:
    """What is left of an instance; None when all of it is there, and where its record is damaged
    or of another place, which is a finding of its own."""
    if instance in world.doubts:
        return None
    record = world.records.get(instance)
    worktree = Path(record.worktree) if record else project.worktrees / instance
    kind = leftover(world, instance, str(worktree))
    if kind == "whole":
        return None
    folder = project.repository.records.folder(instance)
    return _Remains(instance, kind, folder, worktree, world.of(instance))


def _finding(remains: _Remains) -> Finding:
    message, way_out = _sentences(remains)
    return Finding(_CHECK, "warning", message, way_out)


def _repaired(project: Project, remains: _Remains, emit: Emit) -> Finding:
    """Remove what cannot hold work, else tell. Raises RunnerError, `clean`'s refusals included."""
    repository = project.repository
    if remains.kind == "stripped":
        now = _remains(project, remains.id, observe(repository))
        if now and now.kind == "stripped":  # an `up` may have been quicker
            removed = clean(repository, remains.id, emit).removed
            return Finding(_CHECK, "ok", f"removed: {listed(removed)}", fixed=True)
    if remains.kind == "unrecorded" and not _may_hold_work(remains.folder):
        removed = _remove_unrecorded(Operation(repository, remains.id, emit))
        return Finding(_CHECK, "ok", f"removed: {listed(removed)}", fixed=True)
    return _finding(remains)


def _remove_unrecorded(operation: Operation) -> list[str]:
    removed = []
    with operation.locked():
        if not operation.has_record():
            for container in operation.engine.containers(
                Filter(repository=operation.repository.key, instance=operation.id)
            ):
                operation.engine.remove(container.id)
                removed.append(f"container {container.name}")
            removed += remove_sidecars(operation)
            if operation.records.folder(operation.id).is_dir():
                operation.records.remove(operation.id)
                removed.append(f"folder {operation.records.folder(operation.id)}")
    return removed


def _sentences(remains: _Remains) -> tuple[str, str]:
    """What is the matter, and the way out."""
    id_, worktree = remains.id, remains.worktree
    rest = f"treedock clean {id_} removes the rest"
    match remains.kind:
        case "stray":
            return (
                f"The worktree {worktree} has no record: it is no instance.",
                f"Save what you need of it, then: git worktree remove {worktree}",
            )
        case "stripped":
            return (
                f"{id_} has neither worktree nor container.",
                f"treedock up {id_} makes them again from its branch; {rest}.",
            )
        case "lost-worktree":
            return (
                f"The worktree of {id_}, {worktree}, is gone.",
                f"treedock down {id_}, then treedock up {id_}, makes it again from its branch; "
                f"{rest}.",
            )
        case "unregistered":
            return (
                f"git no longer knows the worktree of {id_}, {worktree}.",
                f"Save what you need of it and delete it, then: treedock clean {id_} --force",
            )
        case "lost-container":
            return f"{id_} has no container.", f"treedock up {id_} makes it; {rest}."
    names = [f"the container {container.name}" for container in remains.containers]
    if remains.folder.is_dir():
        names.append(f"the folder {remains.folder}")
    way_out = "treedock doctor --fix removes them."
    if _may_hold_work(remains.folder):
        way_out = (
            f"Save what you need of it (git --git-dir={remains.folder}/git log --all), then: "
            f"rm -r {remains.folder} && treedock doctor --fix"
        )
    return f"{' and '.join(names)}: no instance has them.", way_out


def _may_hold_work(folder: Path) -> bool:
    """Whether commits may be in it that are nowhere else, or a record that was set aside."""
    return Folder(folder).git.exists() or any(folder.glob("record.json.*"))


def _is_id(text: str) -> bool:
    try:
        return check_id(text) == text
    except ConfigError:
        return False
