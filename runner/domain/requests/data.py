"""db reset, url, snapshot, restore, list, drop."""

from runner.domain.answers import Answer
from runner.domain.data.snapshot import Snapshot
from runner.domain.frozen import dataclass
from runner.domain.requests.lifecycle import Instances
from runner.domain.requests.request import Request


@dataclass(frozen=True, kw_only=True)
class Reset(Request[Instances]):
    """Renew the database: from the state that the project's reset command left, or by that
    command, where what it reads has changed."""

    verb = "db reset"

    instance: str | None = None
    """Which one; without a name the one in whose worktree we stand."""
    fresh: bool = False
    """Run the reset command whatever is known."""


@dataclass(frozen=True, kw_only=True)
class Address(Answer):
    id: str = ""
    """The instance."""
    url: str = ""
    """Where a client on this machine finds its database."""


@dataclass(frozen=True, kw_only=True)
class Url(Request[Address]):
    """Find out where a client on this machine finds the database."""

    verb = "db url"

    instance: str | None = None
    """Which one; without a name the one in whose worktree we stand."""


@dataclass(frozen=True, kw_only=True)
class Snapshots(Answer):
    snapshots: tuple[Snapshot, ...] = ()
    """The snapshots that it was about, the oldest first."""


@dataclass(frozen=True, kw_only=True)
class Keep(Request[Snapshots]):
    """Keep a copy of the database as it is now; it goes with the instance."""

    verb = "db snapshot"

    instance: str
    """Which one."""
    name: str
    """What the copy is called."""


@dataclass(frozen=True, kw_only=True)
class Restored(Answer):
    id: str = ""
    """The instance."""
    name: str = ""
    """The snapshot that its database was made from."""
    source: str = ""
    """The instance whose snapshot that is."""


@dataclass(frozen=True, kw_only=True)
class Restore(Request[Restored]):
    """Make the database what a snapshot holds, of this instance or of another one."""

    verb = "db restore"

    instance: str
    """Which one."""
    name: str
    """The snapshot."""
    source: str | None = None
    """The instance whose snapshot it is; by default the same one."""


@dataclass(frozen=True, kw_only=True)
class ListSnapshots(Request[Snapshots]):
    """List the snapshots of an instance's database."""

    verb = "db list"

    instance: str | None = None
    """Which one; without a name the one in whose worktree we stand."""


@dataclass(frozen=True, kw_only=True)
class Dropped(Answer):
    id: str = ""
    """The instance."""
    name: str = ""
    """The snapshot that is gone."""


@dataclass(frozen=True, kw_only=True)
class Drop(Request[Dropped]):
    """Delete a snapshot."""

    verb = "db drop"

    instance: str
    """Which one."""
    name: str
    """The snapshot."""
