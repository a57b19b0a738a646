"""list, status."""

from dataclasses import dataclass

from runner.domain.instance.ports import Slots
from runner.domain.requests.lifecycle import Instances
from runner.domain.requests.request import Request


@dataclass(frozen=True, kw_only=True)
class Listing(Instances):
    slots: Slots | None = None
    """The slots of this machine; null where they are not known."""


@dataclass(frozen=True, kw_only=True)
class List(Request[Listing]):
    """Show the instances: the quick look."""

    verb = "list"


@dataclass(frozen=True, kw_only=True)
class Status(Request[Instances]):
    """Show everything: changes, commits, services, database, limits reached."""

    verb = "status"

    instance: str | None = None
    """Which one; without a name the one in whose worktree we stand, or all."""
