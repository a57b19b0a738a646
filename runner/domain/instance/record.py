"""What an instance is, and what its parts together say about its state."""

import re
from collections.abc import Collection, Sequence
from dataclasses import asdict, field
from datetime import datetime
from typing import Any, Literal

from runner.domain.errors import ConfigError
from runner.domain.frozen import dataclass
from runner.domain.typed import Document

SCHEMA_VERSION = 1

State = Literal["absent", "stopped", "starting", "running", "degraded", "failed"]
ContainerStatus = Literal["absent", "created", "running", "paused", "exited"]
Unsynced = Literal["inside", "host", "both"]
ServiceState = Literal["stopped", "starting", "running", "failed", "exited", "missing"]

_BRANCH = re.compile(r"[^-\x00-\x20\x7f~^:?*\[\\][^\x00-\x20\x7f~^:?*\[\\]*")
_ID = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,38}[a-z0-9])?")


def check_id(text: str) -> str:
    """`text` if it can be an instance's id. Raises ConfigError otherwise.

    One strict pattern, because an id becomes a path, a ref, a container name and a host name.
    """
    if not _ID.fullmatch(text):
        raise ConfigError(
            f"{text!r} cannot be an instance's id.",
            hint="Use 1 to 40 of a-z, 0-9, '-' and '_', with a letter or digit at both ends.",
        )
    return text


@dataclass(frozen=True)
class Failure:
    """An error as it is kept and shown: what, the way out, and the stable code."""

    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True)
class LastMerge:
    """What the last `merge` found: `head` is the commit of the branch that it was about, `commit`
    the candidate that landed, `log` the folder of what its gates printed."""

    state: Literal["blocked", "red", "landed"]
    head: str | None
    commit: str | None = None
    message: str = ""
    files: tuple[str, ...] = ()
    log: str | None = None


@dataclass(frozen=True)
class Lineage:
    """The branch of an instance and where it began. `created_branch` is false for an attached
    branch, which `clean` therefore leaves alone."""

    branch: str
    base: str
    base_commit: str
    created_branch: bool = True


@dataclass(frozen=True)
class Record(Document):
    """What the world cannot tell about an instance; kept as record.json.

    `checked_out` says that the files were written once: never again, there may be work in them.
    `setup_done` holds the keys of the set-up steps that ended well, in order; `reset_key` that of
    the reset that did; `services` and `sidecars` those of each definition when it was started.
    `error` is what the last `up` ended with; `ready` says it ended well. `cleaning` says that a
    `clean` has begun to remove it, after its checks.
    """

    id: str
    project: str
    git: Lineage
    checkout: str
    worktree: str
    created_at: str
    ports: dict[str, int]
    slot: int | None = None
    """None where all slots were taken: its ports are any."""
    ranges: dict[str, str] = field(default_factory=dict)
    """The port ranges that its ports were chosen by: '9100-9114' by name."""
    purpose: str | None = None
    checked_out: bool = False
    setup_done: tuple[str, ...] = ()
    verified: str | None = None
    reset_key: str | None = None
    reset_at: str | None = None
    reset_begun: bool = False
    """Whether a reset command was ever started on its data, however that ended."""
    golden: str | None = None
    """The key of the golden state that it has of its database."""
    data_lowers: dict[str, str] = field(default_factory=dict)
    """Volumes of sidecars that show a golden state until written to: their name -> its volume."""
    data_volumes: tuple[str, ...] = ()
    """Volumes with the data of its sidecars that were made."""
    copied: tuple[str, ...] = ()
    """Ignored files of the main checkout that it got a copy of, and `.env`."""
    services: dict[str, str] = field(default_factory=dict)
    served: tuple[str, ...] = ()
    """Names of the ports that its services have."""
    sidecars: dict[str, str] = field(default_factory=dict)
    ready: bool = False
    cleaning: bool = False
    archive: str | None = None
    """The name of the archive that the `clean` makes, <id>-<time>."""
    error: Failure | None = None
    leans_on: str | None = None
    """A landed branch of another instance that it started from; kept until it is updated."""
    sidecar_ports: tuple[str, ...] = ()
    """Names of ports at which a sidecar is published: no browser opens these."""
    merge: LastMerge | None = None
    mounts: dict[str, str] = field(default_factory=dict)
    """Volumes by the folder of the worktree that they are mounted at, for its life."""
    lowers: dict[str, str] = field(default_factory=dict)
    """By the name of such a volume the one that it shows, of a snapshot."""
    layered: tuple[str, ...] = ()
    """Those of them that are whole."""
    copying: tuple[str, ...] = ()
    """Folders of the worktree that a copy is being put into: not whole where this stays."""
    supplied: tuple[str, ...] = ()
    """Keys of set-up steps that need not run, because a snapshot has what they make."""

    @property
    def has_landed(self) -> bool:
        """Whether the last `merge` brought it into base."""
        return self.merge is not None and self.merge.state == "landed"

    def doubt(self) -> str:
        """What about it cannot be, whatever types its fields have; empty where all can."""
        for name in ("checkout", "worktree"):
            if not getattr(self, name).startswith("/"):
                return f"{name} is no absolute path"
        for name in ("branch", "base"):
            if not _BRANCH.fullmatch(getattr(self.git, name)):
                return f"git.{name} is no name of a branch"
        if self.archive is not None and "/" in self.archive:
            return "archive is no name"
        paths = (*self.copied, *self.mounts)
        if any(path.startswith("/") or ".." in path.split("/") for path in paths):
            return "a path in it leads out of the worktree"
        if wrong := [name for name, port in self.ports.items() if not 0 < port < 2**16]:
            return f"ports.{wrong[0]} is no port"
        return ""


def lands_in(record: Record, records: Sequence[Record]) -> str:
    """The branch that an instance lands in: the one it started from, or where that is the branch
    of another instance the one which that lands in."""
    started_from = {one.git.branch: one.git.base for one in records}
    base, seen = record.git.base, {record.git.branch}
    while base in started_from and base not in seen:
        seen.add(base)
        base = started_from[base]
    return base


@dataclass(frozen=True)
class ServiceView:
    """One service of an instance. `pid` is the one inside the container."""

    name: str
    state: ServiceState
    exit_code: int | None = None
    pid: int | None = None
    restarts: int = 0


@dataclass(frozen=True)
class DatabaseView:
    engine: str
    reset_at: str | None


@dataclass(frozen=True)
class View:
    """An instance as every face shows it; None is what no one looked at."""

    id: str
    branch: str
    base: str
    worktree: str
    state: State | None
    slot: int | None
    ports: dict[str, int]
    urls: dict[str, str]
    preview: str
    """The one of the URLs that a browser is to open; empty where there is none."""
    services: list[ServiceView] | None
    database: DatabaseView | None
    dirty: bool | None
    ahead: int | None
    behind: int | None
    created_at: str
    purpose: str | None
    container: str | None
    here: bool = False
    """Whether the command was given in its worktree."""
    limits_reached: list[str] | None = None
    sidecars: list[ServiceView] = field(default_factory=list)
    out_of_date: list[str] | None = None
    """The keys of treedock.yaml that changed since it came up."""
    checked_out: str | None = None
    """The branch that the worktree is on, 'HEAD' where it is on none."""
    unsynced: Unsynced | None = None
    """Which side of the sandbox has moved the branch since the last sync."""
    in_progress: str | None = None
    """The operation of git's that is in progress inside, such as 'rebase'."""
    error: Failure | None = None
    missing: list[str] = field(default_factory=list)
    merge: LastMerge | None = None
    conflict: bool | None = None
    """Whether merging it into base now would conflict."""
    integrated: bool | None = None
    """Whether base holds its commits already, be it by a squash merge."""

    def to_json(self) -> dict[str, Any]:
        data = asdict(self)
        if self.error is None:
            del data["error"]
        return data


def absent(instance: str) -> dict[str, Any]:
    """The document of an instance that is not there: the shape of View.to_json, all unknown."""
    unknown: dict[str, Any] = dict.fromkeys(View.__dataclass_fields__)
    return {**unknown, "id": instance, "state": "absent"}


def preview_of(ports: Collection[str], served: Collection[str]) -> str:
    """The name of the port that a browser is to open: of those that a service has, else of all,
    `frontend` or the first; empty where there is none."""
    names = [name for name in ports if name in served] or list(ports)
    return "frontend" if "frontend" in names else next(iter(names), "")


def urls_of(ports: dict[str, int]) -> dict[str, str]:
    """Where each port answers on the host."""
    return {name: f"http://localhost:{port}" for name, port in ports.items()}


def state_of(
    container: ContainerStatus,
    services: list[ServiceView],
    *,
    ready: bool,
    failed: bool,
    busy: bool,
) -> State:
    """The state that the parts add up to.

    `ready`: the last `up` ended well; `failed`: it ended with an error; `busy`: one is at work
    now. A container that runs although its `up` was killed half-way is failed: `up` again.
    """
    if busy and not ready:
        return "starting"
    if failed:
        return "failed"
    if container == "absent":
        return "absent"
    if container != "running":
        return "stopped"
    if not ready:
        return "failed"
    ended = ("failed", "exited", "stopped", "missing")
    down = [service for service in services if service.state in ended]
    if any(service.state == "failed" for service in services) and len(down) == len(services):
        return "failed"
    return "degraded" if down else "running"


def age_seconds(created_at: str, now: float) -> float:
    """How long before `now` (seconds since the epoch) a record's time is; 0 for one that cannot
    be read."""
    try:
        then = datetime.fromisoformat(created_at)
    except (ValueError, TypeError):
        return 0.0
    return now - then.timestamp() if then.tzinfo else 0.0
