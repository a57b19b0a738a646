"""The instances of a repository as they were at one moment, and what follows from that alone."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from runner.domain.errors import EngineUnavailable, RunnerError
from runner.domain.instance import container as names
from runner.domain.instance.container import Container
from runner.domain.instance.health import Leftover, Parts, leftover_of
from runner.domain.instance.record import (
    DatabaseView,
    Failure,
    Record,
    ServiceView,
    State,
    View,
    preview_of,
    state_of,
    urls_of,
)


@dataclass(frozen=True)
class World:
    """Seen once per phase of a verb; decisions are functions of it."""

    key: str
    """What the containers of this repository carry."""
    records: Mapping[str, Record]
    """Those that can be read, by id."""
    doubts: Mapping[str, RunnerError]
    """By id why a record cannot be read, or is not that of an instance of this place."""
    folders: frozenset[str]
    """The ids that have a folder of treedock's, be there a record in it or not."""
    containers: tuple[Container, ...] | None
    """All of treedock's on this engine, sidecars and those of other repositories too; None where
    it was not asked or does not answer."""
    silent: EngineUnavailable | None
    """Why it does not."""
    services: Mapping[str, tuple[ServiceView, ...]]
    """Those of each record, as their processes are."""
    worktrees: Mapping[str, str | None]
    """The branch that each worktree that git knows is on; None for no branch."""
    present: Mapping[str, bool]
    """The worktrees whose folder is there, and whether it has its .git."""
    refs: Mapping[str, str]
    """The ids of all branches, here and at remotes, and of the instances' own refs."""
    busy: frozenset[str]
    """The ids whose lock is held: a verb is at work on them."""

    @property
    def own(self) -> tuple[Container, ...]:
        """The containers of this repository."""
        return tuple(one for one in self.containers or () if self.is_own(one))

    def is_own(self, container: Container) -> bool:
        return container.labels.get(names.LABEL_REPOSITORY) == self.key

    def of(self, instance: str) -> list[Container]:
        """The containers of an instance, its sidecars' too."""
        return [one for one in self.own if one.owner == instance]

    def container(self, instance: str) -> Container | None:
        return next((one for one in self.own if one.instance == instance), None)

    def sidecars(self, instance: str) -> list[Container]:
        return [one for one in self.own if one.beside == instance]

    def running(self) -> dict[str, list[Container]]:
        """The containers that run, by the instance that they belong to."""
        found: dict[str, list[Container]] = {}
        for one in self.own:
            if one.owner and one.status == "running":
                found.setdefault(one.owner, []).append(one)
        return found

    def head(self, instance: str) -> str | None:
        """The commit that an instance's branch is at on this side."""
        return self.refs.get(f"refs/heads/{self.records[instance].git.branch}")

    def holder(self, instance: str) -> str | None:
        """Another worktree in which an instance's branch is checked out."""
        record = self.records[instance]
        found = (path for path, branch in self.worktrees.items() if branch == record.git.branch)
        return next((path for path in found if path != record.worktree), None)

    def doomed_branch(self, instance: str) -> str | None:
        """The commit of an instance's branch, where that goes with it. A branch that was there
        before stays, and one that is checked out elsewhere."""
        goes = self.records[instance].git.created_branch and self.holder(instance) is None
        return self.head(instance) if goes else None

    def doomed_branches(self, instance: str, together: Collection[str] = ()) -> list[str]:
        """Branches that are about to be deleted, and hold nothing for any other: that of an
        instance, and those of others that go `together` with it or that a clean has begun on."""
        own = self.doomed_branch(instance) is not None
        others = (one for one in self.records.values() if one.cleaning or one.id in together)
        found = [one.git.branch for one in others if one.git.created_branch and one.id != instance]
        return [*([self.records[instance].git.branch] if own else []), *found]

    def view(self, instance: str, *, database: str | None = None) -> View:
        """What record, engine and processes say of an instance; without what only git can tell."""
        record = self.records[instance]
        return view(
            record,
            self.container(instance),
            self.sidecars(instance),
            self.services[instance],
            busy=instance in self.busy,
            has_worktree=self.present.get(record.worktree, False),
            database=database,
        )

    def state(self, instance: str) -> State | None:
        """None where the engine does not answer."""
        return None if self.containers is None else self.view(instance).state


@dataclass(frozen=True)
class Glance:
    """`state`: None is unknown; `busy`: a verb is at work; `head`: the commit of its branch."""

    state: State | None
    busy: bool
    head: str | None


@dataclass(frozen=True)
class Change:
    """An instance that is otherwise than before; None where there was, or is, none."""

    instance: str
    before: Glance | None
    after: Glance | None


def changes(before: World, after: World) -> list[Change]:
    """What happened to instances between two looks, by id: appeared, gone, or changed."""
    was, now = _glances(before), _glances(after)
    pairs = ((id_, was.get(id_), now.get(id_)) for id_ in sorted(was.keys() | now.keys()))
    return [Change(id_, one, other) for id_, one, other in pairs if one != other]


def _glances(world: World) -> dict[str, Glance]:
    return {
        id_: Glance(world.state(id_), id_ in world.busy, world.head(id_)) for id_ in world.records
    }


def leftover(world: World, instance: str, worktree: str) -> Leftover:
    """How the parts of an instance fail to agree; 'whole' where they do. `worktree` is the path
    that it has or would have."""
    record, containers = world.records.get(instance), world.of(instance)
    if record:  # a sidecar alone does not make the instance whole
        containers = [one for one in containers if one.instance]
    return leftover_of(
        Parts(
            record=record is not None,
            folder=instance in world.folders,
            worktree=worktree in world.present,
            registered=worktree in world.worktrees,
            container=None if world.containers is None else bool(containers),
            busy=instance in world.busy,
        )
    )


def strangers(world: World, root: str) -> list[Container]:
    """Containers of instances that run and that no record here accounts for: under this
    repository's key, or made to mount something below the folder `root`."""

    def is_stranger(one: Container) -> bool:
        if world.is_own(one):
            return one.instance not in world.folders
        return any(f"{source}/".startswith(f"{root}/") for source in one.sources)

    kind = "instance"
    found = (one for one in world.containers or () if one.labels.get(names.LABEL) == kind)
    return [one for one in found if one.instance and one.is_up and is_stranger(one)]


def view(
    record: Record,
    container: Container | None,
    sidecars: Iterable[Container],
    services: Sequence[ServiceView],
    *,
    busy: bool,
    has_worktree: bool,
    database: str | None,
) -> View:
    """What the parts of an instance add up to. `busy`: a verb is at work; `has_worktree`: its
    folder is there, with its .git."""
    beside = [_sidecar(one) for one in sidecars]
    lost = sorted(record.sidecars.keys() - {one.name for one in beside}) if container else []
    beside += [ServiceView(name, "missing") for name in lost]
    error = record.error
    if container and not (record.ready or busy or error):
        error = Failure(
            "interrupted", "Its last `up` was interrupted.", f"Go on with: treedock up {record.id}"
        )
    urls = urls_of({n: p for n, p in record.ports.items() if n not in record.sidecar_ports})
    return View(
        id=record.id,
        branch=record.git.branch,
        base=record.git.base,
        worktree=record.worktree,
        state=state_of(
            container.status if container else "absent",
            [*services, *beside],
            ready=record.ready,
            failed=error is not None,
            busy=busy,
        ),
        slot=record.slot,
        ports=record.ports,
        urls=urls,
        preview=urls.get(preview_of(urls, record.served), ""),
        services=list(services),
        sidecars=sorted(beside, key=lambda one: one.name),
        database=DatabaseView(database, record.reset_at) if database else None,
        dirty=None,
        ahead=None,
        behind=None,
        created_at=record.created_at,
        purpose=record.purpose,
        container=container.id[:12] if container else None,
        error=error,
        merge=record.merge,
        missing=[
            *([] if has_worktree else ["worktree"]),
            *(f"sidecar {name}" for name in lost),
        ],
    )


def _sidecar(container: Container) -> ServiceView:
    up = container.status == "running"
    name = container.labels.get(names.LABEL_SIDECAR, "")
    return ServiceView(name, "running" if up else "stopped")
