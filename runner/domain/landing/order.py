"""In which order branches land with the least trouble, and what stays whichever is taken.

A conflict between two branches is what merging them says. Whether a branch lands behind several
others only a chain of merges can tell: it is passed in.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from runner.domain.frozen import dataclass

Files = tuple[str, ...]

BRANCHINGS = 20_000  # steps of the search for the largest set; the best found counts then


@dataclass(frozen=True)
class Clash:
    """A conflict that stays in any order: of `a` with `b`, or of `b` with base where `a` is
    None, alone and on top of each of the others."""

    a: str | None
    b: str
    files: Files


@dataclass(frozen=True)
class Unmergeable:
    """A branch that does not land in the order: it meets base itself (`base`) or those of
    `conflicts_with`; neither means only all that have landed together."""

    id: str
    files: Files
    base: bool
    conflicts_with: tuple[str, ...]
    in_any_order: bool


@dataclass(frozen=True)
class Order:
    """`ids`: all of them; the first `lands` land without a conflict, one after the other, and
    `remaining` are the rest. `given_lands`: how many would, in the order they were given."""

    ids: tuple[str, ...]
    lands: int
    remaining: tuple[Unmergeable, ...]
    always: tuple[Clash, ...]
    given_lands: int


@dataclass(frozen=True)
class ConflictGraph:
    """What single merges say. `base`: who conflicts with base; `pairs`: which two conflict, by
    the two ids in the order given; `always`: what stays in any order; `parents`: whose commits
    each holds besides its own."""

    ids: tuple[str, ...]
    base: Mapping[str, Files]
    pairs: Mapping[tuple[str, str], Files]
    always: tuple[Clash, ...] = ()
    parents: Mapping[str, Collection[str]] | None = None

    def partners(self, id: str) -> list[str]:
        """Those that `id` conflicts with."""
        found = [b if a == id else a for a, b in self.pairs if id in (a, b)]
        return [other for other in self.ids if other in found]


def may_meet(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether merging two sets of changes (path -> 'A', 'M', 'D', 'T'), since the one commit that
    both came from, can be anything else than doing both.

    It cannot where no path is in both or a folder of one in the other, and neither side moved
    anything: what git takes for a renaming has something deleted and something added.
    """
    if any({"A", "D"} <= {*side.values()} for side in (one, other)):
        return True
    return not (
        one.keys().isdisjoint(other)
        and one.keys().isdisjoint(_folders(other))
        and other.keys().isdisjoint(_folders(one))
    )


def _folders(paths: Iterable[str]) -> set[str]:
    found = set()
    for path in paths:
        while path := path.rpartition("/")[0]:
            found.add(path)
    return found


Attempt = Callable[[Sequence[str]], Sequence[Files | None]]
"""The conflicting files of each of these on top of all that landed so far; None: no conflict."""


def recommend(
    graph: ConflictGraph, chain: Callable[[], tuple[Attempt, Callable[[str], None]]]
) -> Order:
    """The order in which most land. `chain()` begins at base and gives (attempt, land)."""
    first, rest = proposal(graph)
    landed, left = _rehearse(first, rest, *chain())
    given_lands = len(landed)
    if [*landed, *left] != list(graph.ids):
        given_lands = len(_straight(graph.ids, *chain()))
    if given_lands > len(landed):  # three of them meet where no two do
        landed, left = _rehearse(graph.ids, (), *chain())
    remaining = tuple(_unmergeable(graph, id, left[id], landed) for id in left)
    return Order((*landed, *left), len(landed), remaining, graph.always, given_lands)


def proposal(graph: ConflictGraph) -> tuple[list[str], list[str]]:
    """The largest set of branches without a conflict among them, each behind those that it holds;
    and the rest: those that meet fewest others, and last what conflicts with base."""
    free = [id for id in graph.ids if id not in graph.base]
    clashes = {id: {o for o in graph.partners(id) if o in free} for id in free}
    kept = largest_without(free, clashes)
    rest = sorted((id for id in free if id not in kept), key=lambda id: len(clashes[id]))
    blocked = [id for id in graph.ids if id in graph.base]
    first = _behind_parents([id for id in free if id in kept], graph.parents or {})
    return first, [*rest, *blocked]


def largest_without(ids: Sequence[str], clashes: Mapping[str, Collection[str]]) -> set[str]:
    """The largest set of `ids` in which no two clash (the first, of several as large)."""
    budget = [BRANCHINGS]
    kept: set[str] = set()
    for group in _groups(ids, clashes):
        kept |= set(_best(group, clashes, budget))
    return kept


def _groups(ids: Sequence[str], clashes: Mapping[str, Collection[str]]) -> Iterable[list[str]]:
    """Those that are bound to each other by clashes, directly or not."""
    waiting = dict.fromkeys(ids)
    while waiting:
        todo, group = [next(iter(waiting))], set()
        while todo:
            id = todo.pop()
            if id in waiting:
                del waiting[id]
                group.add(id)
                todo += clashes[id]
        yield [id for id in ids if id in group]


def _best(
    ids: list[str], clashes: Mapping[str, Collection[str]], budget: list[int], floor: int = -1
) -> list[str]:
    """The largest such set of `ids` where it has more than `floor`, else possibly a smaller."""
    taken: list[str] = []
    while ids:
        degrees = {id: sum(o in clashes[id] for o in ids) for id in ids}
        calm = min(ids, key=lambda id: degrees[id])
        # Who clashes with no one, or with one, is in some largest set.
        if degrees[calm] > 1 and budget[0] > 0:
            break
        taken.append(calm)
        ids = [id for id in ids if id != calm and id not in clashes[calm]]
    if not ids or len(taken) + len(ids) <= floor:
        return taken
    budget[0] -= 1
    busy = max(ids, key=lambda id: degrees[id])
    without = [id for id in ids if id != busy]
    with_ = [busy, *_best([i for i in without if i not in clashes[busy]], clashes, budget)]
    other = _best(without, clashes, budget, floor=len(with_))
    return taken + (other if len(other) > len(with_) else with_)


def _behind_parents(ids: list[str], parents: Mapping[str, Collection[str]]) -> list[str]:
    placed: dict[str, None] = {}

    def place(id: str, seen: frozenset[str]) -> None:
        for parent in ids:
            if parent in parents.get(id, ()) and parent not in placed and parent not in seen:
                place(parent, seen | {id})
        placed[id] = None

    for id in ids:
        if id not in placed:
            place(id, frozenset({id}))
    return list(placed)


def _rehearse(
    first: Sequence[str], rest: Sequence[str], attempt: Attempt, land: Callable[[str], None]
) -> tuple[list[str], dict[str, Files]]:
    """(landed, what met a conflict on top of all of these and in which files)."""
    landed = _straight(first, attempt, land)
    waiting = [id for id in (*first, *rest) if id not in landed]
    while waiting:  # what landed later may have brought what one of them was missing
        found = dict(zip(waiting, attempt(waiting), strict=True))
        clean = next((id for id in waiting if found[id] is None), None)
        if clean is None:
            return landed, {id: files for id, files in found.items() if files is not None}
        land(clean)
        landed.append(clean)
        waiting.remove(clean)
    return landed, {}


def _straight(proposed: Sequence[str], attempt: Attempt, land: Callable[[str], None]) -> list[str]:
    """Those that land when each is tried once."""
    landed = []
    for id in proposed:
        if attempt([id])[0] is None:
            land(id)
            landed.append(id)
    return landed


def _unmergeable(graph: ConflictGraph, id: str, files: Files, landed: Sequence[str]) -> Unmergeable:
    base = id in graph.base
    met = tuple(other for other in graph.partners(id) if other in landed and not base)
    theirs = {None} if base else set(met)
    always = any(
        (clash.b == id and clash.a in theirs) or (clash.a == id and clash.b in theirs)
        for clash in graph.always
    )
    return Unmergeable(id, files, base, met, always)
