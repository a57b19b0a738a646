"""The recommended order, on a world in which every merge is known."""

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.domain.landing.order import (
    Clash,
    ConflictGraph,
    Files,
    Order,
    largest_without,
    may_meet,
    proposal,
    recommend,
)

Graph = dict[str, set[str]]


@dataclass
class World:
    """`together`: sets of ids that do not merge one after the other; `with_base`: who conflicts
    with base, and what lands before it makes up for that."""

    together: Collection[frozenset[str]] = ()
    with_base: Mapping[str, str | None] = field(default_factory=dict)
    attempts: int = 0

    def chain(self) -> tuple[Callable[[Sequence[str]], list[Files | None]], Callable[[str], None]]:
        landed: set[str] = set()

        def attempt(ids: Sequence[str]) -> list[Files | None]:
            self.attempts += 1
            return [self._files(id, landed) for id in ids]

        return attempt, landed.add

    def _files(self, id: str, landed: set[str]) -> Files | None:
        if id in self.with_base and self.with_base[id] not in landed:
            return ("base.txt",)
        met = [one for one in self.together if id in one and one <= landed | {id}]
        return ("met.txt",) if met else None


def graph(ids: str, *pairs: str, base: str = "", always: Sequence[Clash] = ()) -> ConflictGraph:
    """Ids of one letter each, 'AB' for a conflict of A with B."""
    return ConflictGraph(
        ids=tuple(ids),
        base=dict.fromkeys(base, ("base.txt",)),
        pairs={(pair[0], pair[1]): ("met.txt",) for pair in pairs},
        always=tuple(always),
    )


def order(seen: ConflictGraph, world: World | None = None) -> Order:
    known = World(
        [frozenset(pair) for pair in seen.pairs], dict.fromkeys(seen.base)
    )  # what single merges say is all there is
    return recommend(seen, (world or known).chain)


def test_without_conflicts_the_given_order_stays() -> None:
    found = order(graph("CAB"))
    assert found == Order(("C", "A", "B"), 3, (), (), 3)


def test_nothing_gives_an_empty_order() -> None:
    assert order(graph("")) == Order((), 0, (), (), 0)


def test_the_one_that_meets_many_goes_behind_them() -> None:
    found = order(graph("ABCD", "AB", "AC", "AD"))
    assert found.ids == ("B", "C", "D", "A")
    assert (found.lands, found.given_lands) == (3, 1)
    (left,) = found.remaining
    assert (left.id, left.files, left.conflicts_with) == ("A", ("met.txt",), ("B", "C", "D"))
    assert not left.in_any_order


def test_what_stays_in_any_order_is_marked() -> None:
    always = [Clash("A", "B", ("met.txt",)), Clash(None, "D", ("base.txt",))]
    found = order(graph("ABCD", "AB", "AC", base="D", always=always))
    marks = {left.id: (left.base, left.in_any_order) for left in found.remaining}
    assert marks == {"A": (False, True), "D": (True, True)}
    assert found.always == tuple(always)
    other = order(graph("ABCD", "AB", "AC", base="D", always=[Clash("A", "D", ())]))
    assert not any(left.in_any_order for left in other.remaining)


def test_a_conflict_with_base_that_another_branch_resolves_lands_behind_it() -> None:
    seen = graph("AB", base="A")
    found = order(seen, World(with_base={"A": "B"}))
    assert (found.ids, found.lands, found.given_lands) == (("B", "A"), 2, 1)


def test_three_that_meet_only_together_are_told_by_the_chain() -> None:
    found = order(graph("ABC"), World([frozenset("ABC")]))
    assert (found.ids, found.lands) == (("A", "B", "C"), 2)
    (left,) = found.remaining
    assert (left.id, left.base, left.conflicts_with) == ("C", False, ())


def test_a_pair_that_conflicts_alone_but_not_in_the_chain_lands() -> None:
    found = order(graph("AB", "AB"), World())
    assert found.lands == 2


def test_an_order_is_never_worse_than_the_given_one() -> None:
    # Alone A meets nobody; behind B, which the proposal takes first, nothing else lands.
    seen = graph("ABCDE", "AB", "AC")
    world = World([frozenset("DB"), frozenset("EB"), frozenset("DC"), frozenset("EC")])
    found = order(seen, world)
    assert found.lands >= found.given_lands
    assert set(found.ids) == set(seen.ids)


def test_a_branch_goes_behind_those_that_it_holds() -> None:
    seen = ConflictGraph(tuple("CBA"), {}, {}, parents={"C": "BA", "B": "A"})
    assert proposal(seen) == (["A", "B", "C"], [])
    around = ConflictGraph(tuple("AB"), {}, {}, parents={"A": "B", "B": "A"})
    assert sorted(proposal(around)[0]) == ["A", "B"]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    ids = [str(number) for number in range(draw(st.integers(0, 9)))]
    pairs = draw(st.sets(st.sampled_from(list(combinations(ids, 2))))) if len(ids) > 1 else set()
    return {id: {b if a == id else a for a, b in pairs if id in (a, b)} for id in ids}


def is_calm(chosen: Collection[str], graph: Graph) -> bool:
    return not any(b in graph[a] for a, b in combinations(chosen, 2))


@given(graphs())
def test_no_larger_set_without_a_conflict_exists(graph: Graph) -> None:
    found = largest_without(list(graph), graph)
    assert is_calm(found, graph)
    larger = combinations(graph, len(found) + 1)
    assert not any(is_calm(chosen, graph) for chosen in larger)


@given(graphs(), st.randoms(use_true_random=False))
def test_every_id_is_in_the_order_once_and_what_lands_comes_first(
    graph: Graph, chance: random.Random
) -> None:
    pairs = {(a, b): ("x",) for a, b in combinations(graph, 2) if b in graph[a]}
    blocked = {id: ("base.txt",) for id in graph if chance.random() < 0.2}
    together = (
        [frozenset(chance.sample(list(graph), 3)) for _ in range(2)] if len(graph) > 2 else []
    )
    world = World([*map(frozenset, pairs), *together], dict.fromkeys(blocked))
    found = order(ConflictGraph(tuple(graph), blocked, pairs), world)
    assert sorted(found.ids) == sorted(graph)
    assert tuple(left.id for left in found.remaining) == found.ids[found.lands :]
    assert found.lands >= found.given_lands
    attempt, land = world.chain()
    for id in found.ids[: found.lands]:
        assert attempt([id]) == [None]
        land(id)
    assert None not in attempt(found.ids[found.lands :])


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_forty_branches_are_searched_within_bounds(share: float) -> None:
    chance = random.Random(share)
    ids = [f"i{number}" for number in range(40)]
    pairs = [pair for pair in combinations(ids, 2) if chance.random() < share]
    graph = {id: {b if a == id else a for a, b in pairs if id in (a, b)} for id in ids}
    found = largest_without(ids, graph)
    assert is_calm(found, graph)
    assert all(graph[id] & found for id in ids if id not in found)


@pytest.mark.parametrize(
    ("one", "other", "may"),
    [
        ({"a": "M"}, {"b": "M", "c/d": "A"}, False),
        ({"a": "M"}, {"a": "M"}, True),
        ({"a": "A"}, {"a/b": "A"}, True),
        ({"a/b/c": "A"}, {"a": "T"}, True),
        ({"a/b": "A"}, {"a/c": "D"}, False),
        ({"old": "D", "new": "A"}, {"c": "M"}, True),  # a renaming, perhaps of a whole folder
        ({}, {"a": "M"}, False),
    ],
)
def test_two_meet_in_files_in_folders_and_in_what_is_moved(
    one: dict[str, str], other: dict[str, str], may: bool
) -> None:
    assert may_meet(one, other) is may
    assert may_meet(other, one) is may
