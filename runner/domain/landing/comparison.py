"""How branches meet base and each other."""

from runner.domain.answers import Problem
from runner.domain.frozen import dataclass
from runner.domain.landing.order import Files, Order
from runner.domain.landing.skipped import Skipped


@dataclass(frozen=True)
class Compared:
    """An instance against base. `conflict` is None where they cannot be merged at all; `head` is
    the last one known where `error` says that it could not be synced, None without a branch.
    `dirty_included`: uncommitted work took part, except for what was `skipped`."""

    id: str
    head: str | None
    conflict: bool | None
    files: Files = ()
    nothing_new: bool = False
    dirty_included: bool = False
    skipped: tuple[Skipped, ...] = ()
    error: Problem | None = None


@dataclass(frozen=True)
class Pair:
    """Two instances. `both_touch`: the files that both changed since their merge base."""

    a: str
    b: str
    conflict: bool
    both_touch: tuple[str, ...]
    files: Files


@dataclass(frozen=True)
class Conflicts:
    """`order` is of the instances that have something new and can be merged at all."""

    base: str
    base_commit: str
    compared: list[Compared]
    pairs: list[Pair]
    order: Order
