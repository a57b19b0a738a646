"""sync, update."""

from typing import Literal

from runner.domain.answers import Answer
from runner.domain.frozen import dataclass
from runner.domain.git.synced import Side, Synced
from runner.domain.git.updated import Updated
from runner.domain.requests.request import Request


@dataclass(frozen=True, kw_only=True)
class Syncs(Answer):
    synced: tuple[Synced, ...] = ()
    """What moved, of each instance that could be synced."""


@dataclass(frozen=True, kw_only=True)
class Sync(Request[Syncs]):
    """Bring commits out of instances, checked as a stranger's, and into them."""

    verb = "sync"

    ids: tuple[str, ...] = ()
    """Which ones; without any the one in whose worktree we stand."""
    everything: bool = False
    """All instances of the repository."""
    keep: Side | None = None
    """Where a branch moved on both sides: which one counts. The other stays as a ref."""


@dataclass(frozen=True, kw_only=True)
class Updates(Answer):
    updated: Updated | None = None
    """Where the instance is now."""


@dataclass(frozen=True, kw_only=True)
class Update(Request[Updates]):
    """Bring today's base into an instance, inside its container."""

    verb = "update"

    instance: str | None = None
    """Which one; without a name the one in whose worktree we stand."""
    how: Literal["merge", "rebase"] = "merge"
    """Merge base, or put the commits on top of it."""
    go: Literal["continue", "abort"] | None = None
    """Go on after a conflict, or give up: back to before."""
