"""The merge queue: stories first, then random truths in random finish orders."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.domain.landing.queue import (
    Aside,
    MergeQueue,
    Trial,
    conflicted,
    finished,
    is_done,
    landed,
    moved,
    started,
    stopped,
    to_cancel,
    to_land,
    to_test,
    verdicts,
)


def chain(ids: str, root: int = 0) -> Trial:
    """The trial of one-letter ids: chain("AB")."""
    return Trial(root, tuple(ids))


def queue(ids: str, width: int = 4) -> MergeQueue:
    return MergeQueue(waiting=tuple(ids), width=width)


def running(train: MergeQueue) -> MergeQueue:
    """The train with all started that there is room for."""
    for trial in to_test(train):
        train = started(train, trial)
    return train


def told(train: MergeQueue, **results: bool) -> MergeQueue:
    """The train after these chains finished in this order; each is started before where needed."""
    for ids, green in results.items():
        train = finished(running(train), chain(ids, train.root), green)
    return train


# ---- stories


def test_candidates_are_tested_side_by_side_as_if_all_before_them_were_to_land() -> None:
    assert to_test(queue("ABC")) == [chain("A"), chain("AB"), chain("ABC")]
    assert to_cancel(running(queue("ABC"))) == []


def test_only_as_many_run_as_there_is_room_for() -> None:
    train = started(queue("ABC", width=2), chain("A"))
    assert to_test(train) == [chain("AB")]
    assert to_test(running(train)) == []


def test_nothing_lands_before_all_ahead_of_it_is_green() -> None:
    train = told(queue("AB"), AB=True)
    assert to_land(train) is None
    assert to_land(told(train, A=True)) == chain("AB")


def test_a_red_one_is_set_aside_and_those_behind_are_tested_without_it() -> None:
    train = told(queue("ABC"), A=False)
    assert verdicts(train) == {"A": Aside("A", "red", trial=chain("A"))}
    assert to_cancel(train) == [chain("AB"), chain("ABC")]
    assert to_test(train) == [chain("B"), chain("BC")]


def test_what_was_tested_without_the_red_one_stays_good() -> None:
    train = told(queue("ABC"), A=True, AB=False)
    assert to_cancel(train) == [chain("ABC")]
    assert to_land(train) == chain("A")
    assert to_test(train) == [chain("AC"), chain("B")]


def test_nobody_is_blamed_while_one_ahead_is_not_known_to_be_green() -> None:
    train = told(queue("AB"), AB=False)
    assert train.waiting == ("A", "B")
    train = told(train, A=False)
    assert train.waiting == ("B",)
    assert to_test(train) == [chain("B")]


def test_the_last_is_not_blamed_while_the_one_in_the_middle_is_not_known() -> None:
    train = told(queue("ABC"), A=True, ABC=False)
    assert train.waiting == ("A", "B", "C")
    train = told(train, AB=False)
    assert train.waiting == ("A", "C")
    assert to_test(train) == [chain("AC"), chain("B")]


def test_those_behind_a_red_one_are_tested_without_it_even_before_it_is_blamed() -> None:
    assert to_test(told(queue("ABC"), AB=False)) == [chain("AC")]


def test_red_only_together_is_told_from_red_alone() -> None:
    train = told(queue("AB"), A=True, AB=False)
    assert not is_done(train)
    assert verdicts(told(train, B=False))["B"] == Aside("B", "red", trial=chain("AB"))
    together = verdicts(told(train, B=True))["B"]
    assert together == Aside("B", "red_together", ("A",), trial=chain("AB"))
    assert isinstance(together, Aside)
    assert together.sentence == "B fails only with A"


def test_landing_does_not_wait_for_telling_them_apart_but_the_end_does() -> None:
    train = told(queue("AB"), A=True, AB=False)
    train = landed(train, chain("A"))
    assert train.waiting == ()
    assert not is_done(train)
    assert is_done(told(train, B=True))


def test_the_one_blamed_is_tried_alone_on_the_root_it_was_blamed_on() -> None:
    train = landed(told(queue("AB"), A=True, AB=False), chain("A"))
    train = moved(train)
    assert to_test(train) == [chain("B", root=0)]
    train = finished(running(train), chain("B", root=0), green=True)
    assert verdicts(train)["B"] == Aside("B", "red_together", ("A",), trial=chain("AB"))


def test_telling_apart_gives_way_to_what_may_land() -> None:
    train = stopped(told(queue("ABC", width=2), A=True, AB=False), chain("ABC"))
    assert to_test(train) == [chain("AC"), chain("B")]
    assert to_test(replace(train, width=1)) == [chain("AC")]


def test_what_is_to_be_cancelled_takes_room_until_it_is_gone() -> None:
    train = told(queue("ABC", width=2), A=True, AB=False)
    assert to_cancel(train) == [chain("ABC")]
    assert to_test(train) == [chain("AC")]


def test_a_result_from_before_base_moved_counts_for_nothing() -> None:
    train = moved(running(queue("AB")))
    assert to_cancel(train) == [chain("A"), chain("AB")]
    train = finished(train, chain("A"), green=True)
    assert to_land(train) is None
    assert to_test(train) == [chain("A", root=1), chain("AB", root=1)]


def test_who_is_red_on_the_base_that_moved_is_blamed_there() -> None:
    train = told(moved(queue("A")), A=False)
    assert verdicts(train) == {"A": Aside("A", "red", trial=chain("A", root=1))}
    assert is_done(train)


def test_what_has_landed_stays_landed_when_base_moves() -> None:
    train = moved(landed(told(queue("AB"), A=True, AB=True), chain("A")))
    assert verdicts(train) == {"A": "landed"}
    assert to_land(train) is None
    assert to_test(train) == [chain("B", root=1)]


def test_a_result_outlives_the_landing_of_what_it_was_built_on() -> None:
    train = landed(told(queue("AB"), A=True, AB=True), chain("A"))
    assert to_land(train) == chain("AB")


def test_a_conflict_with_base_is_set_aside_before_any_test_and_the_others_go_on() -> None:
    train = conflicted(queue("AB"), chain("A"), ("a.py",))
    aside = verdicts(train)["A"]
    assert aside == Aside("A", "conflict", (), ("a.py",), chain("A"))
    assert isinstance(aside, Aside)
    assert aside.sentence == "A conflicts with base in a.py"
    assert to_test(train) == [chain("B")]


def test_a_conflict_with_one_ahead_counts_only_when_that_one_is_green() -> None:
    train = conflicted(queue("ABC"), chain("AB"), ("a.py",))
    assert to_test(train) == [chain("A"), chain("AC")]
    assert told(train, A=True).aside == (Aside("B", "conflict", ("A",), ("a.py",), chain("AB")),)
    assert to_test(told(train, A=False)) == [chain("B"), chain("BC")]


def test_one_that_cannot_even_be_merged_alone_is_not_said_to_fail_only_with_others() -> None:
    train = conflicted(told(queue("AB"), A=True, AB=False), chain("B"), ("a.py",))
    assert verdicts(train)["B"] == Aside("B", "red", trial=chain("AB"))


def test_a_trial_that_was_stopped_is_tried_again_if_it_is_wanted() -> None:
    assert to_test(stopped(running(queue("A")), chain("A"))) == [chain("A")]


def test_a_result_nobody_started_or_that_comes_twice_is_ignored() -> None:
    assert finished(queue("A"), chain("A"), green=True) == queue("A")
    train = told(queue("A"), A=True)
    assert finished(train, chain("A"), green=False) == train


def test_what_was_not_tested_green_is_refused_at_landing() -> None:
    with pytest.raises(ValueError, match="not tested green"):
        landed(told(queue("AB"), AB=True), chain("AB"))


def test_what_is_not_to_be_tested_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="not to be tested"):
        started(queue("AB"), chain("B"))


@pytest.mark.parametrize(("ids", "width"), [("AA", 1), ("A", 0)])
def test_a_queue_without_width_or_with_an_id_twice_is_refused(ids: str, width: int) -> None:
    with pytest.raises(ValueError, match="different ids"):
        queue(ids, width)


def test_an_empty_queue_is_done() -> None:
    assert is_done(queue(""))


# ---- any truth, any order

Contents = frozenset[str]
"""The ids that are merged into a commit."""


@dataclass(frozen=True)
class Truth:
    """What gates and merges would say of every possible commit."""

    is_red: Callable[[Contents], bool]
    clashing: frozenset[Contents] = frozenset()
    """Ids that conflict with base (sets of one) or with each other (sets of two)."""

    def conflicts(self, before: Contents, id: str) -> bool:
        merged = before | {id}
        return any(id in clash and clash <= merged for clash in self.clashing)


@dataclass
class World:
    """The yard around the train: commits, runs, and a log of what went wrong."""

    ids: tuple[str, ...]
    train: MergeQueue
    truth: Truth
    roots: list[Contents] = field(default_factory=lambda: [frozenset()])
    tested_green: set[Trial] = field(default_factory=set)
    most_running: int = 0
    untested_landings: list[Trial] = field(default_factory=list)
    moves_left: int = 2

    def contents(self, trial: Trial) -> Contents:
        return self.roots[trial.root] | set(trial.chain)

    def start(self) -> None:
        trial = to_test(self.train)[0]
        if self.truth.conflicts(self.roots[trial.root] | set(trial.chain[:-1]), trial.chain[-1]):
            self.train = conflicted(self.train, trial, ("file",))
            return
        self.train = started(self.train, trial)
        self.most_running = max(self.most_running, len(self.train.running))

    def finish(self, trial: Trial) -> None:
        green = not self.truth.is_red(self.contents(trial))
        if green:
            self.tested_green.add(trial)
        self.train = finished(self.train, trial, green)

    def stop(self) -> None:
        self.train = stopped(self.train, to_cancel(self.train)[0])

    def land(self) -> None:
        trial = to_land(self.train)
        assert trial is not None
        if trial not in self.tested_green or trial.root != len(self.roots) - 1:
            self.untested_landings.append(trial)
        self.train = landed(self.train, trial)

    def move(self) -> None:
        self.moves_left -= 1
        self.roots.append(frozenset(self.train.landed))
        self.train = moved(self.train)

    def steps(self) -> list[Callable[[], None]]:
        """All that could happen next; every one but a move brings the end nearer."""
        steps: list[Callable[[], None]] = [
            lambda trial=trial: self.finish(trial)  # type: ignore[misc]
            for trial in sorted(self.train.running)
        ]
        steps += [self.start] if to_test(self.train) else []
        steps += [self.stop] if to_cancel(self.train) else []
        steps += [self.land] if to_land(self.train) else []
        steps += [self.move] if self.moves_left and steps else []
        return steps


IDS = st.integers(0, 6).map(lambda count: tuple("ABCDEF"[:count]))
SOME = st.frozensets(st.sampled_from("ABCDEF"), max_size=2)
PAIRS = st.frozensets(st.frozensets(st.sampled_from("ABCDEF"), min_size=2, max_size=2), max_size=3)
CLASHES = st.frozensets(
    st.frozensets(st.sampled_from("ABCDEF"), min_size=1, max_size=2), max_size=2
)


@st.composite
def orderly_truths(draw: st.DrawFn) -> Truth:
    """Some are red alone, some pairs red together; who is red stays red whatever joins it."""
    bad = frozenset(frozenset(id) for id in draw(SOME)) | draw(PAIRS)
    return Truth(lambda contents: any(b <= contents for b in bad), draw(CLASHES))


@st.composite
def wild_truths(draw: st.DrawFn) -> Truth:
    """Any commit may be red: two may fail together, a third may mend them."""
    red = draw(st.functions(like=lambda contents: ..., returns=st.booleans(), pure=True))
    return Truth(red, draw(CLASHES))


TRUTHS = st.one_of(orderly_truths(), wild_truths())


@st.composite
def ended(draw: st.DrawFn, truths: st.SearchStrategy[Truth] = TRUTHS) -> World:
    """A queue that was driven to its end, events coming in any order."""
    ids = draw(IDS)
    world = World(ids, MergeQueue(waiting=ids, width=draw(st.integers(1, 4))), draw(truths))
    for _ in range(400):
        if is_done(world.train):
            return world
        steps = world.steps()
        assert steps, f"stuck: {world.train}"
        steps[draw(st.integers(0, len(steps) - 1))]()
    raise AssertionError(f"no end: {world.train}")


def one_by_one(ids: tuple[str, ...], truth: Truth) -> tuple[str, ...]:
    """What lands when each waits for the one before: slow, and plainly right."""
    base: Contents = frozenset()
    for id in ids:
        if not truth.conflicts(base, id) and not truth.is_red(base | {id}):
            base |= {id}
    return tuple(id for id in ids if id in base)


@given(ended())
def test_nothing_lands_that_was_not_tested_green_as_exactly_that_chain(world: World) -> None:
    assert world.untested_landings == []


@given(ended())
def test_never_more_run_than_the_width(world: World) -> None:
    assert world.most_running <= world.train.width


@given(ended())
def test_every_id_ends_either_landed_or_aside(world: World) -> None:
    decided = [*world.train.landed, *(aside.id for aside in world.train.aside)]
    assert sorted(decided) == list(world.ids)
    assert set(verdicts(world.train)) == set(world.ids)


@given(ended())
def test_the_order_of_landing_is_the_order_given(world: World) -> None:
    assert world.train.landed == tuple(id for id in world.ids if id in world.train.landed)


@given(ended())
def test_exactly_that_lands_which_would_land_one_by_one(world: World) -> None:
    assert world.train.landed == one_by_one(world.ids, world.truth)


@given(ended(orderly_truths()))
def test_whoever_is_green_alone_and_with_all_others_lands(world: World) -> None:
    everyone_else = frozenset("ABCDEF")
    for id in world.ids:
        harmless = not any(
            world.truth.is_red(frozenset({id, other}))
            and not world.truth.is_red(frozenset({other}))
            for other in everyone_else
        )
        clashes = any(id in clash for clash in world.truth.clashing)
        if harmless and not clashes and not world.truth.is_red(frozenset({id})):
            assert id in world.train.landed


@given(ended(orderly_truths()))
def test_whoever_is_said_to_fail_only_with_others_is_green_without_them(world: World) -> None:
    for aside in world.train.aside:
        assert aside.trial is not None
        root = world.roots[aside.trial.root]
        if aside.reason == "red_together":
            assert aside.with_
            assert not world.truth.is_red(root | {aside.id})
            assert world.truth.is_red(root | set(aside.with_) | {aside.id})
        if aside.reason == "red":
            assert world.truth.is_red(root | {aside.id}) or world.truth.conflicts(root, aside.id)


@given(ended())
def test_whoever_is_set_aside_for_a_conflict_does_conflict(world: World) -> None:
    for aside in world.train.aside:
        if aside.reason == "conflict":
            assert aside.trial is not None
            before = world.roots[aside.trial.root] | set(aside.with_)
            assert world.truth.conflicts(before, aside.id)


@given(ended())
def test_what_still_runs_at_the_end_is_to_be_cancelled(world: World) -> None:
    assert set(to_cancel(world.train)) == world.train.running
