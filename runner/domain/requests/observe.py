"""list, status, logs, path, open, compose."""

from dataclasses import field

from runner.domain.answers import Answer
from runner.domain.frozen import dataclass
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


@dataclass(frozen=True, kw_only=True)
class LogLines(Answer):
    id: str = ""
    """The instance."""
    logs: dict[str, list[str]] = field(default_factory=dict)
    """The last lines by the name of their log; code inside can write all of them."""


@dataclass(frozen=True, kw_only=True)
class Logs(Request[LogLines]):
    """Print what services printed."""

    verb = "logs"

    instance: str | None = None
    """Which one; without a name the one in whose worktree we stand."""
    service: str | None = None
    """A service, a sidecar, setup-1, setup-2, ..., verify or reset; without a name all services."""
    tail: int = 200
    """Lines from the end."""


@dataclass(frozen=True, kw_only=True)
class Place(Answer):
    id: str = ""
    """The instance."""
    path: str = ""
    """The folder of its worktree."""


@dataclass(frozen=True, kw_only=True)
class Path(Request[Place]):
    """Find the folder of an instance's worktree."""

    verb = "path"

    instance: str | None = None
    """Which one; without a name the one in whose worktree we stand."""


@dataclass(frozen=True, kw_only=True)
class Preview(Answer):
    id: str = ""
    """The instance."""
    service: str = ""
    """The name of the port."""
    url: str = ""
    """Where it answers on this machine."""
    running: bool = False
    """Whether the instance runs."""
    warning: str = ""
    """Why it does not, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Open(Request[Preview]):
    """Find a preview's URL."""

    verb = "open"

    instance: str | None = None
    """Which one; without a name the one in whose worktree we stand."""
    service: str | None = None
    """A service or port; without a name what a browser is to open."""


@dataclass(frozen=True, kw_only=True)
class ComposeFile(Answer):
    id: str = ""
    """The instance."""
    compose: str = ""
    """The Compose file, as YAML."""


@dataclass(frozen=True, kw_only=True)
class Compose(Request[ComposeFile]):
    """Make a Compose file of an instance, which runs it without treedock."""

    verb = "compose"

    instance: str | None = None
    """Which one; without a name the one in whose worktree we stand."""
