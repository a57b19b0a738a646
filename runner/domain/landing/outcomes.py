"""What became of each instance of a merge."""

from collections.abc import Sequence
from dataclasses import field
from typing import Literal

from runner.domain.frozen import dataclass

State = Literal["landed", "ready", "conflict", "red", "red_together", "refused"]


@dataclass(frozen=True)
class Outcome:
    """What became of one instance. `commit` is the candidate, `log` the folder of its gates."""

    id: str
    state: State
    message: str
    commit: str | None = None
    files: tuple[str, ...] = ()
    log: str | None = None
    hint: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Merged:
    """One run, of one queue into one base. `was` and `now`: base before and after."""

    run: str | None
    base: str
    was: str
    now: str
    pushed: bool
    outcomes: list[Outcome] = field(default_factory=list)
    failed: int = 0
    """The exit code of what stopped the whole queue."""
    remote: str | None = None
    """Where what lands is pushed to."""
    not_pushed: str = ""
    """Why it is pushed nowhere."""

    @property
    def exit_code(self) -> int:
        """That of this queue alone."""
        return exit_code_of([self])


def exit_code_of(queues: Sequence[Merged]) -> int:
    """1 for a red gate, 4 for refused or conflicting, 0 when everything landed; that of an error
    that stopped a queue."""
    failed = max((queue.failed for queue in queues), default=0)
    if failed:
        return failed
    states = {outcome.state for queue in queues for outcome in queue.outcomes}
    if states & {"red", "red_together"}:
        return 1
    return 4 if states & {"conflict", "refused"} else 0
