"""What a sync of the two sides of a sandbox did."""

from typing import Literal

from runner.domain.frozen import dataclass

Side = Literal["inside", "host"]


@dataclass(frozen=True)
class Synced:
    """`head`: the commit that the branch is at, on both sides. `moved`: the side that had moved
    on the branch; `refs`: how many other refs of the instance changed. `later`: what was
    committed here reaches the instance when it is up again."""

    id: str
    head: str
    moved: Side | None = None
    refs: int = 0
    later: bool = False
