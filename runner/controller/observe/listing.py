"""`list` and `status`: the quick look, and the look at everything."""

import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from runner.adapters.files import disk
from runner.adapters.host import sockets
from runner.controller.instance.ports import last_ranges, slots_of
from runner.controller.instance.private_git import own_git
from runner.controller.observe.merge_status import standings
from runner.controller.operation import Operation
from runner.controller.parallel import map_parallel
from runner.controller.project import Project, Repository
from runner.controller.stream import Stream
from runner.controller.world import observe
from runner.domain.errors import RunnerError
from runner.domain.events import Emit, Warned
from runner.domain.frozen import dataclass
from runner.domain.instance.container import Container
from runner.domain.instance.listening import listening_ports
from runner.domain.instance.ports import Slots
from runner.domain.instance.record import Failure, Record, Unsynced, View, age_seconds, check_id
from runner.domain.instance.world import World
from runner.domain.text import sentences

GIT_WIDTH = 4  # git processes at once


@dataclass(frozen=True)
class Listing:
    """The instances, and the slots of this machine; None where these are not known."""

    views: list[View]
    slots: Slots | None


def look(repository: Repository, emit: Emit) -> Listing:
    """Every instance, from its record, run folder and the engine, and one look by git at how they
    stand to base.

    An engine that does not answer is a warning: the state is then None.
    """
    world = _observed(repository, None, emit)
    if world is None:
        return Listing([], None)
    views = [replace(world.view(id_), here=id_ == repository.here) for id_ in world.records]
    views = _with_standing(repository, list(world.records.values()), views, emit)
    if world.containers is None:
        return Listing([replace(v, state=None) for v in views], None)
    return Listing(views, _slots(repository, world.containers))


def list_instances(repository: Repository, emit: Emit) -> list[View]:
    """The views of `look`."""
    return look(repository, emit).views


def _slots(repository: Repository, containers: Sequence[Container]) -> Slots | None:
    """How many are free as far as that shows without trying to listen."""
    ranges = last_ranges(repository)
    if ranges is None:
        return None
    busy = listening_ports(sockets.listening_tables())
    return slots_of(repository, ranges, containers, lambda port: port not in busy)


def status(project: Project, ids: list[str], emit: Emit) -> list[View]:
    """Everything about these instances (all of them without ids). Raises NotFound."""
    from runner.controller.observe.drift import out_of_date

    repository = project.repository
    for instance in ids:
        repository.record(check_id(instance))
    world = _observed(repository, ids, emit)
    if world is None:
        return []
    base = project.base
    records = [one for id_, one in world.records.items() if not ids or id_ in ids]
    tips = {name: repository.git.newest(name)[0] for name in {r.git.base for r in records}}
    engine = project.config.database.engine if project.config.database else None

    def look(record: Record) -> View:
        container = world.container(record.id)
        seen = world.view(record.id, database=engine)
        seen = _ask_git(repository, record, seen, world, tips.get(record.git.base) or base)
        seen = replace(
            seen,
            here=record.id == repository.here,
            limits_reached=_limits(project, record, container),
            out_of_date=out_of_date(project.config, project.name, record, container),
        )
        return seen if world.containers is not None else replace(seen, state=None)

    views = map_parallel(look, records, GIT_WIDTH)
    return [
        _squashed(repository, view, base)
        for view in _with_standing(repository, records, views, emit)
    ]


def _with_standing(
    repository: Repository, records: list[Record], views: list[View], emit: Emit
) -> list[View]:
    """The views with how each stands to base; without that where git cannot tell."""
    try:
        found = standings(repository.git, records)
    except RunnerError as error:
        emit(Warned(sentences("conflicts are not looked at:", error.message)))
        return views
    known = {id_: (one.conflict, one.integrated) for id_, one in found.items()}
    nothing = (None, None)
    return [
        replace(
            view, conflict=known.get(view.id, nothing)[0], integrated=known.get(view.id, nothing)[1]
        )
        for view in views
    ]


def _squashed(repository: Repository, view: View, base: str) -> View:
    """A squash merge that base has built on since shows only by its patch."""
    if not view.conflict or view.ahead == 0:
        return view
    try:
        return replace(view, integrated=repository.git.is_integrated(view.branch, base))
    except RunnerError:
        return view


def _observed(repository: Repository, ids: Collection[str] | None, emit: Emit) -> World | None:
    """The world, or None where there is no instance. A record that is damaged, or not about this
    place, is a warning, so that the others still show."""
    if not repository.records.ids():
        return None
    world = observe(repository)
    for instance, error in world.doubts.items():
        emit(Warned(sentences(error.message, error.hint)), instance)
    if not world.records or (ids and not world.records.keys() & set(ids)):
        return None
    if world.silent:
        emit(Warned(sentences(world.silent.message, world.silent.hint)))
    return world


def _ask_git(repository: Repository, record: Record, seen: View, world: World, there: str) -> View:
    """With what only git can tell; `there` is the newest commit of its base."""
    git, worktree = repository.git, Path(record.worktree)
    if record.worktree in world.worktrees:
        seen = replace(seen, checked_out=world.worktrees[record.worktree] or "HEAD")
    else:
        seen = replace(seen, missing=sorted({*seen.missing, "worktree"}))
    head = world.head(record.id)
    if head is None:
        return replace(seen, missing=[*seen.missing, "branch"])
    try:
        ahead, behind = (0, 0) if there == head else git.ahead_behind(head, there)
        dirty = bool(git.dirty(worktree)) if worktree.is_dir() else None
    except RunnerError as error:
        failure = Failure(error.code, error.message, error.hint)
        return replace(seen, error=seen.error or failure)
    seen = replace(seen, dirty=dirty, ahead=ahead, behind=behind)
    return _look_inside(Operation(repository, record.id, Stream()), head, seen)


def _look_inside(operation: Operation, head: str, seen: View) -> View:
    """With what its own git directory says: commits that no sync has brought over yet."""
    own = own_git(operation)
    last = operation.git.ref(operation.names.ref("head"))
    if last is None or not own.folder.exists():
        return seen
    try:
        inside = own.look()
    except RunnerError as error:
        failure = Failure(error.code, error.message, error.hint)
        return replace(seen, error=seen.error or failure)
    theirs = inside.refs.get(f"refs/heads/{operation.record.git.branch}", last)
    side: Unsynced | None = None
    if theirs != head:
        both = last not in (theirs, head)
        side = "both" if both else "inside" if theirs != last else "host"
    return replace(seen, unsynced=side, in_progress=inside.busy)


def _limits(project: Project, record: Record, container: Container | None) -> list[str]:
    """The limits that the instance has run into, as sentences' beginnings."""
    from runner.adapters.engine import cgroups

    limits, reached = project.config.limits, []
    if container and container.status == "running":
        usage = cgroups.usage(container.id)
        if usage.memory_kills:
            reached.append(f"memory ({usage.memory_kills} processes killed)")
        if usage.pids is not None and usage.pids >= limits.pids * 0.95:
            reached.append(f"pids ({usage.pids} of {limits.pids})")
    if disk.free_bytes(Path(record.checkout)) < limits.disk_free:
        reached.append("disk_free")
    days = age_seconds(record.created_at, time.time()) / 86400
    if days > limits.stale_days:
        reached.append(f"stale_days ({days:.0f} days old)")
    return reached
