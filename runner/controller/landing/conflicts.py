"""`conflicts`: which instances conflict with base and with each other, by the real merge, and in
which order most of them land."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

from runner.adapters.git.rehearsal import Histories, Rehearsal, rehearsal
from runner.adapters.git.repository import Git
from runner.adapters.git.uncommitted import Snapshot, snapshot
from runner.controller.operation import Operation
from runner.controller.parallel import map_parallel
from runner.controller.project import Project
from runner.controller.sync.sync import sync
from runner.domain.answers import problem_of
from runner.domain.errors import NotFound, Refused, RunnerError, unavailable
from runner.domain.events import Emit
from runner.domain.instance.record import lands_in
from runner.domain.landing import order as merging
from runner.domain.landing.comparison import Compared, Conflicts, Pair
from runner.domain.landing.order import Clash, ConflictGraph, Files, Order


@dataclass(frozen=True)
class _Looked:
    """What was found of an instance. `commit` is its head with what is uncommitted."""

    id: str
    head: str | None
    found: Snapshot | None
    error: RunnerError | None

    @property
    def commit(self) -> str | None:
        return self.found.commit if self.found else self.head


@dataclass
class _Rehearsed:
    """Single merges of some commits by id, onto base and in pairs."""

    place: Rehearsal
    base: str
    heads: Mapping[str, str]
    histories: Histories
    onto_base: dict[str, Files | None] = field(default_factory=dict)
    trees: dict[str, str] = field(default_factory=dict)
    pairs: dict[tuple[str, str], Files | None] = field(default_factory=dict)
    both_touch: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    def related(self, id: str) -> bool:
        return self.histories.related(self.base, self.heads[id])

    def nothing_new(self, id: str) -> bool:
        return self.histories.holds(self.base, self.heads[id])


def conflicts(project: Project, ids: Sequence[str], emit: Emit) -> list[Conflicts]:
    """Sync these instances and compare them with base and each other, uncommitted work included:
    each with the branch that it lands in, and with those that land there too.

    Nothing is written but what sync brings. An instance that cannot be synced is compared as it
    is known here. Raises NotFound for an unknown instance or base.
    """
    repository = project.repository
    records = repository.records.all()
    groups: dict[str, list[str]] = {}
    for id in ids:
        base = lands_in(repository.record(id), records)
        known = base if any(repository.git.heads(base)) else project.base
        groups.setdefault(known, []).append(id)
    return [
        _conflicts(project.on(base), group, emit)
        for base, group in (groups or {project.base: []}).items()
    ]


def _conflicts(project: Project, ids: Sequence[str], emit: Emit) -> Conflicts:
    repository = project.repository
    git, base = repository.git, project.base
    commit = git.newest(base)[0]
    if commit is None:
        raise NotFound(f"There is no branch {base} here.", hint=f"git branch {base}")
    with rehearsal(git, commit) as place:
        looked = map_parallel(lambda id: _look(Operation(repository, id, emit), place), ids)
        heads = {one.id: one.commit for one in looked if one.commit}
        seen = _rehearse(place, commit, heads)
        compared = [_compared(one, seen, base) for one in looked]
        pairs = [
            Pair(a, b, files is not None, seen.both_touch[a, b], files or ())
            for (a, b), files in seen.pairs.items()
        ]
        new = [id for id in heads if seen.related(id) and not seen.nothing_new(id)]
        order = _order(seen, new)
    return Conflicts(base, commit, compared, pairs, order)


def simulate(git: Git, base: str, heads: Mapping[str, str]) -> Order:
    """The order in which most of `heads` (id -> commit) land on the commit `base`, all in it."""
    with rehearsal(git, base) as place:
        return _order(_rehearse(place, base, heads), list(heads))


def recommended(git: Git, base: str, heads: Mapping[str, str]) -> list[str]:
    """The ids of `heads` in that order."""
    return list(simulate(git, base, heads).ids)


def _look(operation: Operation, place: Rehearsal) -> _Looked:
    """Sync an instance and see its files."""
    head: str | None = None
    found: Snapshot | None = None
    error: RunnerError | None = None
    try:
        with operation.locked():
            try:
                synced = sync(operation)
            except RunnerError as problem:
                head, error = operation.git.branch(operation.record.git.branch), problem
                elsewhere = False
            else:
                head = synced.head
                inside = synced.inside
                elsewhere = inside is not None and inside.branch != operation.record.git.branch
            if elsewhere:
                operation.warn(
                    f"inside, HEAD is not on {operation.record.git.branch}; its files are left out"
                )
            elif head and operation.record.checked_out and Path(operation.record.worktree).is_dir():
                found = snapshot(place, Path(operation.record.worktree), head)
    except RunnerError as problem:
        error = error or problem
    except OSError as problem:
        error = error or unavailable(problem)
    return _Looked(operation.id, head, found, error)


def _rehearse(place: Rehearsal, base: str, heads: Mapping[str, str]) -> _Rehearsed:
    """Merge each with base and with each other: one process of git for all of it. Two that have
    nothing to do with each other are not merged, only the clean answer would come back."""
    seen = _Rehearsed(place, base, heads, place.histories([base, *heads.values()]))
    ids = [id for id in heads if seen.related(id)]
    related = seen.histories.related
    every = [(a, b) for a, b in combinations(ids, 2) if related(heads[a], heads[b])]
    two = _meeting(seen, every)
    asked = [(base, heads[id]) for id in ids] + [(heads[a], heads[b]) for a, b in two]
    done = place.merges(asked)
    seen.pairs = dict.fromkeys(every)
    for id, merged in zip(ids, done, strict=False):
        seen.onto_base[id] = None if merged.tree else merged.files
        if merged.tree:
            seen.trees[id] = merged.tree
    for pair, merged in zip(two, done[len(ids) :], strict=True):
        seen.pairs[pair] = None if merged.tree else merged.files
    return seen


def _meeting(seen: _Rehearsed, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs that have to be merged to know; keeps what both of each touch."""
    forks, crossed = seen.histories.forks, seen.histories.crossed
    commits = {(a, b): (seen.heads[a], seen.heads[b]) for a, b in pairs}
    asked = [(forks[two], one) for two in commits.values() for one in two]
    changed = seen.place.changed_files(asked)
    meeting = []
    for pair, (one, other) in commits.items():
        fork = forks[one, other]
        ours, theirs = changed[fork, one], changed[fork, other]
        seen.both_touch[pair] = tuple(sorted(ours.keys() & theirs.keys()))
        if (one, other) in crossed or merging.may_meet(ours, theirs):
            meeting.append(pair)
    return meeting


def _compared(looked: _Looked, seen: _Rehearsed, base: str) -> Compared:
    id, error = looked.id, looked.error
    if looked.commit is None:
        return Compared(id, None, None, error=problem_of(error) if error else None)
    if not seen.related(id):
        error = error or Refused(
            f"{id}: {looked.commit[:10]} shares no history with {base}, so they cannot be merged.",
            hint=f"Bring its commits onto {base} inside: git rebase --onto origin/{base} --root",
        )
        return Compared(id, looked.head, None, error=problem_of(error))
    files = seen.onto_base[id]
    return Compared(
        id=id,
        head=looked.head,
        conflict=files is not None,
        files=files or (),
        nothing_new=seen.nothing_new(id),
        dirty_included=bool(looked.found and looked.found.dirty),
        skipped=looked.found.skipped if looked.found else (),
        error=problem_of(error) if error else None,
    )


def _order(seen: _Rehearsed, ids: Sequence[str]) -> Order:
    """The recommended order of some of what was rehearsed."""
    blocked = {id: seen.onto_base.get(id, ()) for id in ids}
    pairs = {two: files for two, files in seen.pairs.items() if files is not None}
    holds = seen.histories.holds
    heads = seen.heads
    graph = ConflictGraph(
        ids=tuple(ids),
        base={id: files for id, files in blocked.items() if files is not None},
        pairs={(a, b): files for (a, b), files in pairs.items() if a in blocked and b in blocked},
        parents={
            id: {o for o in ids if heads[o] != heads[id] and holds(heads[id], heads[o])}
            for id in ids
        },
    )
    always = _in_any_order(seen, graph)
    return merging.recommend(replace(graph, always=always), lambda: _Chain(seen).verbs)


def _in_any_order(seen: _Rehearsed, graph: ConflictGraph) -> tuple[Clash, ...]:
    """What conflicts whichever lands first, tried on top of each that lands alone."""
    place, heads = seen.place, seen.heads
    free = [id for id in graph.ids if id not in graph.base]
    stuck = [id for id in graph.base if seen.related(id)]
    two = [(a, b) for a, b in graph.pairs if a in free and b in free]
    needed = free if stuck else [id for id in free if any(id in pair for pair in two)]
    tip = {id: place.commit(seen.trees[id], [seen.base, heads[id]]) for id in needed}
    asked = [(a, b) for a, b in two] + [(b, a) for a, b in two]
    asked += [(a, b) for b in stuck for a in free]
    done = place.merges([(tip[first], heads[then]) for first, then in asked])
    found = {pair: one.files for pair, one in zip(asked, done, strict=True) if one.tree is None}
    unrelated = [Clash(None, id, ()) for id in graph.base if id not in stuck]
    return (
        *(Clash(None, b, graph.base[b]) for b in stuck if all((a, b) in found for a in free)),
        *unrelated,
        *(Clash(a, b, found[a, b]) for a, b in two if (a, b) in found and (b, a) in found),
    )


class _Chain:
    """Merges one on top of the other, beginning at base."""

    def __init__(self, seen: _Rehearsed) -> None:
        self._seen = seen
        self._tip = seen.base
        self._trees: dict[str, str] = {}
        self.verbs = (self._attempt, self._land)

    def _attempt(self, ids: Sequence[str]) -> list[Files | None]:
        asked = [id for id in ids if self._seen.related(id)]
        done = self._seen.place.merges([(self._tip, self._seen.heads[id]) for id in asked])
        merged = dict(zip(asked, done, strict=True))
        self._trees = {id: one.tree for id, one in merged.items() if one.tree}
        return [
            None if id in self._trees else merged[id].files if id in merged else () for id in ids
        ]

    def _land(self, id: str) -> None:
        parents = [self._tip, self._seen.heads[id]]
        self._tip = self._seen.place.commit(self._trees[id], parents)
