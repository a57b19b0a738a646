"""What bringing base into an instance did."""

from runner.domain.frozen import dataclass


@dataclass(frozen=True)
class Updated:
    """`head`: the branch's commit now; `changed`: whether it is another one than before."""

    id: str
    base: str
    base_commit: str
    head: str
    changed: bool
