"""`list` and `status`: the quick look, and the look at everything."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from runner.adapters.files import disk
from runner.adapters.git.access import Worktree
from runner.adapters.host import sockets
from runner.controller.instance.ports import is_ours, last_ranges, slots_of
from runner.controller.instance.private_git import instance_ref, own_git
from runner.controller.instance.views import view
from runner.controller.observe.merge_status import standings
from runner.controller.operation import Operation
from runner.controller.parallel import map_parallel
from runner.controller.project import Project, Repository
from runner.controller.stream import Stream
from runner.domain.errors import EngineUnavailable, RunnerError
from runner.domain.events import Emit, Warned
from runner.domain.instance.container import Container
from runner.domain.instance.listening import listening_ports
from runner.domain.instance.ports import Slots
from runner.domain.instance.record import Failure, Record, Unsynced, View, check_id
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
    records = _readable(repository, emit)
    if not records:
        return Listing([], None)
    everywhere = _containers(repository, emit)
    containers = [one for one in everywhere or () if is_ours(repository, one)]
    views = [
        replace(
            view(repository.records, record, *_parts(containers, record.id)),
            here=record.id == repository.here,
        )
        for record in records
    ]
    views = _with_standing(repository, records, views, emit)
    if everywhere is None:
        return Listing([replace(v, state=None) for v in views], None)
    return Listing(views, _slots(repository, everywhere))


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
    records = [r for r in _readable(repository, emit) if not ids or r.id in ids]
    if not records:
        return []
    everywhere = _containers(repository, emit)
    containers = [one for one in everywhere or () if is_ours(repository, one)]
    base = project.base
    registered = {worktree.path: worktree for worktree in repository.git.worktrees()}
    heads = repository.git.refs("refs/heads", "refs/remotes")
    tips = {name: repository.git.newest(name)[0] for name in {r.base for r in records}}

    def look(record: Record) -> View:
        container, sidecars = _parts(containers, record.id)
        engine = project.config.database.engine if project.config.database else None
        seen = view(repository.records, record, container, sidecars, database=engine)
        seen = _ask_git(repository, record, seen, base, registered, heads, tips)
        seen = replace(
            seen,
            here=record.id == repository.here,
            limits_reached=_limits(project, record, container),
            out_of_date=out_of_date(project.config, project.name, record, container),
        )
        return seen if everywhere is not None else replace(seen, state=None)

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


def _readable(repository: Repository, emit: Emit) -> list[Record]:
    """The records by id; one that is damaged, or not about this place, is a warning, so that the
    others still show."""
    found = []
    for instance in repository.records.ids():
        try:
            record = repository.records.read(instance)
            if record:
                found.append(record)
                repository.require_own(record)
        except RunnerError as error:
            emit(Warned(sentences(error.message, error.hint)), instance)
    return found


def _containers(repository: Repository, emit: Emit) -> list[Container] | None:
    """Every container of treedock's, or None (and a warning) without an engine."""
    try:
        return repository.engine.containers()
    except EngineUnavailable as error:
        emit(Warned(sentences(error.message, error.hint)))
        return None


def _parts(
    containers: Sequence[Container], instance: str
) -> tuple[Container | None, list[Container]]:
    """(its own container, those of its sidecars)."""
    own = next((one for one in containers if one.instance == instance), None)
    return own, [one for one in containers if one.beside == instance]


def _ask_git(
    repository: Repository,
    record: Record,
    seen: View,
    base: str,
    registered: dict[Path, Worktree],
    heads: dict[str, str],
    tips: dict[str, str | None],
) -> View:
    git, worktree = repository.git, Path(record.worktree)
    found = registered.get(worktree)
    if found is None:
        seen = replace(seen, missing=sorted({*seen.missing, "worktree"}))
    else:
        seen = replace(seen, checked_out=found.branch or "HEAD")
    head = heads.get(f"refs/heads/{record.branch}")
    if head is None:
        return replace(seen, missing=[*seen.missing, "branch"])
    try:
        there = tips.get(record.base) or base
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
    last = operation.git.ref(instance_ref(operation, "head"))
    if last is None or not own.folder.exists():
        return seen
    try:
        inside = own.look()
    except RunnerError as error:
        failure = Failure(error.code, error.message, error.hint)
        return replace(seen, error=seen.error or failure)
    theirs = inside.refs.get(f"refs/heads/{operation.record.branch}", last)
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
    days = age_seconds(record.created_at) / 86400
    if days > limits.stale_days:
        reached.append(f"stale_days ({days:.0f} days old)")
    return reached


def age_seconds(created_at: str) -> float:
    """How long ago a record's time is; 0 for one that cannot be read."""
    try:
        return (datetime.now(UTC) - datetime.fromisoformat(created_at)).total_seconds()
    except (ValueError, TypeError):  # no time, or one without its zone
        return 0.0
