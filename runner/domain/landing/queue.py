"""The merge queue: what to test next, what may land, who is to blame. Decisions only.

Candidates A, A+B, A+B+C are tested side by side; what lands is always a tested one (the rule of
bors), each is tested as if all before it were to land (the speculation of Zuul).

Chains grow from a *root*: the commit base was at when the queue began, or when base last moved
under it. Landing does not change the root, so the chain (A, B) names the same commit before and
after A has landed, and its result stays good. A `Trial` carries the number of its root (whoever
runs trials remembers the commit of each), so a result that comes in late from an older root is
never taken for one of today's, and "B alone" is tried on the very root that B was blamed on.

Every event takes a train and returns the next one. Ask the questions again after every event.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from runner.domain.text import listed

Chain = tuple[str, ...]


@dataclass(frozen=True, order=True)
class Trial:
    """The test of one candidate: all of `chain`, merged one after the other on root `root`."""

    root: int
    chain: Chain


@dataclass(frozen=True)
class Aside:
    """An id that will not land, and why.

    `red` fails alone, `red_together` only on top of `with_` (every id between root and it).
    `conflict` names its `files`; it met them on top of `with_`, on base itself when that is empty.
    """

    id: str
    reason: Literal["conflict", "red", "red_together"]
    with_: Chain = ()
    files: tuple[str, ...] = ()
    trial: Trial | None = None
    """The trial that it was set aside for: its log is the one to show."""

    @property
    def sentence(self) -> str:
        """Such as 'payments fails only with auth'."""
        others = ", ".join(self.with_)
        if self.reason == "conflict":
            return f"{self.id} conflicts with {others or 'base'} in {listed(self.files)}"
        return f"{self.id} fails only with {others}" if others else f"{self.id} fails"


Verdict = Aside | Literal["landed"]


@dataclass(frozen=True)
class MergeQueue:
    """The queue at one moment. Begin with `Train(waiting=ids, width=4)`."""

    waiting: tuple[str, ...]
    """Neither landed nor set aside yet, in landing order."""
    width: int
    """How many trials may run at once."""
    green: frozenset[Trial] = frozenset()
    red: frozenset[Trial] = frozenset()
    running: frozenset[Trial] = frozenset()
    landed: tuple[str, ...] = ()
    aside: tuple[Aside, ...] = ()
    suspects: tuple[Trial, ...] = ()
    """Red trials whose last id is set aside; whether it fails alone too is not known yet."""
    clashes: Mapping[Trial, tuple[str, ...]] = field(default_factory=dict, hash=False)
    """Which of `red` could not even be merged, and the files in conflict."""
    root: int = 0
    """How often base has moved under the queue."""
    ahead: Chain = ()
    """What has landed since base last moved: every chain of today begins with it."""

    def __post_init__(self) -> None:
        if self.width < 1 or len(set(self.waiting)) < len(self.waiting):
            raise ValueError(f"A queue needs a width and different ids: {self}")


# ---- events


def started(train: MergeQueue, trial: Trial) -> MergeQueue:
    """The trial runs; it must be one of `to_test`."""
    if trial not in to_test(train):
        raise ValueError(f"{trial} is not to be tested now.")
    return replace(train, running=train.running | {trial})


def finished(train: MergeQueue, trial: Trial, green: bool) -> MergeQueue:
    """The gates have spoken. A result that comes twice or after `stopped` is ignored.

    One that is not wanted any more is kept, and asked for by nothing: what is not wanted now (it
    holds an id that was set aside, a red chain, or an older root) never is again.
    """
    if trial not in train.running:
        return train
    train = stopped(train, trial)
    if green:
        return _settled(replace(train, green=train.green | {trial}))
    return _settled(replace(train, red=train.red | {trial}))


def stopped(train: MergeQueue, trial: Trial) -> MergeQueue:
    """The trial ended without a result: cancelled, or it could not run. Tried again if wanted."""
    return replace(train, running=train.running - {trial})


def conflicted(train: MergeQueue, trial: Trial, files: tuple[str, ...]) -> MergeQueue:
    """The last id of the chain cannot be merged onto those before it: known before any gate runs.

    With only landed ids before it, it is set aside at once. Behind others it waits for their
    results (without a red one there may be no conflict); the ids behind it go on.
    """
    clashes = {**train.clashes, trial: files}
    return _settled(replace(train, red=train.red | {trial}, clashes=clashes))


def landed(train: MergeQueue, trial: Trial) -> MergeQueue:
    """Base now is this candidate; it must be one that may land."""
    if trial not in _front(train)[0]:
        raise ValueError(f"{trial} was not tested green with everything before it.")
    new = trial.chain[len(train.ahead) :]
    waiting = train.waiting[len(new) :]
    return replace(train, waiting=waiting, landed=train.landed + new, ahead=trial.chain)


def moved(train: MergeQueue) -> MergeQueue:
    """Someone else moved base: today's base is the next root, and nothing is tested on it yet."""
    return replace(train, root=train.root + 1, ahead=())


# ---- questions


def to_test(train: MergeQueue) -> list[Trial]:
    """The trials to start now, most wanted first, never more than there is room for."""
    known = train.green | train.red | train.running
    room = train.width - len(train.running)
    return [trial for trial in _wanted(train) if trial not in known][:room]


def to_cancel(train: MergeQueue) -> list[Trial]:
    """Running trials whose result can no longer matter; tell `stopped` once they are gone."""
    return sorted(train.running.difference(_wanted(train)))


def to_land(train: MergeQueue) -> Trial | None:
    """The longest chain that is green, as is every shorter one in it that has not landed yet."""
    green, _ = _front(train)
    return green[-1] if green else None


def is_done(train: MergeQueue) -> bool:
    """Every id has its verdict; what still runs is in `to_cancel`."""
    return not train.waiting and not train.suspects


def verdicts(train: MergeQueue) -> dict[str, Verdict]:
    """Of each id that is decided: landed, or why it was set aside."""
    decided: dict[str, Verdict] = {aside.id: aside for aside in train.aside}
    return decided | dict.fromkeys(train.landed, "landed")


# ---- how it is decided


def _wanted(train: MergeQueue) -> list[Trial]:
    """Each waiting id on top of those before it, passing over what is red there; then suspects."""
    chain, wanted = train.ahead, []
    for id in train.waiting:
        trial = Trial(train.root, (*chain, id))
        if trial not in train.red:
            chain = trial.chain
            wanted.append(trial)
    return wanted + [_alone(suspect) for suspect in train.suspects]


def _alone(suspect: Trial) -> Trial:
    return Trial(suspect.root, suspect.chain[-1:])


def _front(train: MergeQueue) -> tuple[list[Trial], list[Trial]]:
    """The front of the queue, as far as it is known: the green, and the red on top of only green.

    No one is blamed on top of a chain that is not known to be green: the fault may be there.
    """
    chain, green, guilty = train.ahead, [], []
    for id in train.waiting:
        trial = Trial(train.root, (*chain, id))
        if trial in train.green:
            chain = trial.chain
            green.append(trial)
        elif trial in train.red:
            guilty.append(trial)
        else:
            break
    return green, guilty


def _settled(train: MergeQueue) -> MergeQueue:
    """Set the guilty aside, and judge the suspects."""
    _, guilty = _front(train)
    out = {trial.chain[-1] for trial in guilty}
    judged = {trial: _judged(train, trial) for trial in (*train.suspects, *guilty)}
    return replace(
        train,
        waiting=tuple(id for id in train.waiting if id not in out),
        suspects=tuple(trial for trial, aside in judged.items() if aside is None),
        aside=train.aside + tuple(aside for aside in judged.values() if aside),
    )


def _judged(train: MergeQueue, trial: Trial) -> Aside | None:
    *before, id = trial.chain
    if trial in train.clashes:
        return Aside(id, "conflict", tuple(before), train.clashes[trial], trial)
    if _alone(trial) in train.red:
        return Aside(id, "red", trial=trial)
    if _alone(trial) in train.green:
        return Aside(id, "red_together", tuple(before), trial=trial)
    return None
