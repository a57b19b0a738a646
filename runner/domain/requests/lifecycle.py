"""up, down, restart."""

from runner.domain.answers import Answer
from runner.domain.frozen import dataclass
from runner.domain.instance.record import View
from runner.domain.requests.request import Request


@dataclass(frozen=True, kw_only=True)
class Instances(Answer):
    instances: tuple[View, ...] = ()
    """The instances that it was about, as they are now; one that does not exist is not here."""


@dataclass(frozen=True, kw_only=True)
class Up(Request[Instances]):
    """Bring instances up: branch, worktree, container, set-up, database, services."""

    verb = "up"

    ids: tuple[str, ...] = ()
    """Which ones; without any the one in whose worktree we stand."""
    base: str | None = None
    """Branch or commit to start from."""
    attach: bool = False
    """Take the existing branch instead of a new one."""
    purposes: tuple[str, ...] = ()
    """What they are for, in the order of the ids."""
    fetch: bool = True
    """Fetch base first where there is an origin."""
    fresh: bool = False
    """Run database.reset in new ones whatever is known."""
    require_clean: bool = False
    """Refuse while the main checkout has uncommitted changes."""


@dataclass(frozen=True, kw_only=True)
class Down(Request[Instances]):
    """Stop instances. Container, slot, worktree, branch and database stay."""

    verb = "down"

    ids: tuple[str, ...] = ()
    """Which ones; without any the one in whose worktree we stand."""
    everything: bool = False
    """All instances of the repository."""


@dataclass(frozen=True, kw_only=True)
class Restart(Request[Instances]):
    """Restart one service or sidecar without the others, or the whole instance."""

    verb = "restart"

    instance: str | None = None
    """Which one; without a name the one in whose worktree we stand."""
    service: str | None = None
    """A service or sidecar; without a name the whole instance."""
