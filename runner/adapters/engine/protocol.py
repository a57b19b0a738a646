"""The container engine as treedock sees it: a Protocol and the plain values it speaks in.

`runner.adapters.engine.docker` is the real one; the tests have a fake, and `tests/contract/`
holds both to the same behaviour. This module imports nothing heavy.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from runner.domain.errors import Refused
from runner.domain.frozen import dataclass
from runner.domain.instance import container as names
from runner.domain.instance.container import Container, ContainerSpec
from runner.domain.instance.record import ContainerStatus
from runner.domain.instance.streams import Streams

HINT = "treedock doctor says why; treedock doctor --fix starts it where it can."
ICC = "com.docker.network.bridge.enable_icc"  # whether containers of a network reach each other


NO_COMMAND = 127  # a shell's exit code for it


def require_own_volume(name: str, found: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Raises Refused where a volume of that name has the labels `found`, and is not one of the
    repository that wants it."""
    key = names.LABEL_REPOSITORY
    if found.get(key) != wanted.get(key):
        raise Refused(
            f"There is a volume {name} that treedock did not make.",
            hint=f"See what is in it (docker volume inspect {name}), and if you do not need it: "
            f"docker volume rm {name}",
        )


LIMITS = {"memory": "MemoryLimit", "cpus": "CpuCfsQuota", "pids": "PidsLimit"}
"""What can be limited, by the engine's name for it (Docker's API: SystemInfo)."""


@dataclass(frozen=True)
class EngineInfo:
    """What the engine says about itself, and what it can do. `data_root` is None where it is not on
    this host; `limits` are those of 'memory', 'cpus' and 'pids' that it can hold; with `userns`
    users inside have other ids on the host."""

    version: str
    api_version: str
    data_root: str | None
    rootless: bool
    name: str = "Engine"
    cgroup_version: int | None = None
    limits: frozenset[str] = frozenset(LIMITS)
    userns: bool = False


_STATUS: dict[str, ContainerStatus] = {
    "created": "created",
    "running": "running",
    "restarting": "running",
    "paused": "paused",
}


def container_of(item: Mapping[str, Any]) -> Container:
    """A Container from an entry of the engine's own list (GET /containers/json)."""
    return Container(
        id=item["Id"],
        name=item["Names"][0].lstrip("/") if item["Names"] else item["Id"][:12],
        status=_STATUS.get(item["State"], "exited"),
        labels=item["Labels"] or {},
        image=item["Image"],
        sources=tuple(m["Source"] for m in item.get("Mounts") or () if m["Type"] == "bind"),
    )


def ports_label(ports: Mapping[str, int]) -> str:
    """The text of the ports label; Container.ports is its inverse."""
    return ",".join(f"{name}={port}" for name, port in ports.items())


@dataclass(frozen=True)
class Filter:
    """Which of treedock's containers or volumes: those that carry all labels given here."""

    repository: str | None = None
    instance: str | None = None
    beside: str | None = None
    helps: str | None = None
    cache: str | None = None
    snapshot: str | None = None
    lower: str | None = None

    @property
    def labels(self) -> dict[str, str]:
        """The labels as they stand on containers and volumes."""
        named = {f"{names.LABEL}.{field}": value for field, value in vars(self).items()}
        return {label: value for label, value in named.items() if value is not None}

    @property
    def words(self) -> list[str]:
        """The same as the engine's filters want them."""
        return [names.LABEL, *(f"{label}={value}" for label, value in self.labels.items())]


EVERYTHING = Filter()


@dataclass(frozen=True)
class Exec:
    """A command inside a container. `timeout` is in seconds, and for one that is waited for."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str = "/"
    timeout: float | None = None


@dataclass(frozen=True)
class ImageBuild:
    """An image `name` of the folder `context` (its Dockerfile, less what its .dockerignore names),
    for which there are `timeout` seconds."""

    context: Path
    name: str
    args: Mapping[str, str]
    timeout: float


@dataclass(frozen=True)
class Finished:
    """The end of a command that ran inside; `output` is stdout and stderr in their order."""

    exit_code: int
    output: bytes


@dataclass(frozen=True)
class EngineEvent:
    """What happened to a container: `action` is the engine's word for it ('start', 'die', 'oom',
    'destroy'), `at` the time in seconds since the epoch."""

    action: str
    container: str
    labels: Mapping[str, str]
    at: float


@dataclass(frozen=True)
class Stats:
    """What a container uses now, in bytes and as a count, and its CPU time since it was started."""

    cpu_seconds: float
    memory: int
    memory_limit: int
    pids: int


class Terminal(Protocol):
    """A command inside at a terminal of its own. Each method raises EngineUnavailable."""

    def read(self) -> bytes:
        """What it printed, as soon as there is something; b'' once it has ended. Raises Cancelled
        while it waits."""

    def write(self, data: bytes) -> None:
        """Type that."""

    def resize(self, rows: int, columns: int) -> None:
        """The terminal's new size, in characters."""

    def exit_code(self) -> int | None:
        """None while it runs."""


def not_started(command: str, workdir: str, said: str) -> str:
    """Why a command inside could not start, and the way out; `said` are the engine's words."""
    if "permission denied" in said.lower():  # the kernel's own word, the same in every engine
        return (
            f"{command!r} is there in the instance, but is no program that may run: chmod +x? "
            "Or is its disk mounted noexec? treedock doctor tells."
        )
    if "chdir" in said:
        return f"There is no folder {workdir} in the instance; go to another one and try again."
    return (
        f"There is no command {command!r} in the instance's image or PATH. "
        "Install it in the image or a set-up step; treedock shell shows what is there."
    )


class Engine(Protocol):
    """Every method raises EngineUnavailable when the engine is not there (any more), and
    EngineFailed when it says no. `container` is an id or a name."""

    def info(self) -> EngineInfo: ...

    def containers(self, wanted: Filter = EVERYTHING) -> list[Container]:
        """All containers of treedock's, running or not, that are wanted."""

    def has_network(self) -> bool:
        """Whether the shared network is there."""

    def ensure_network(self) -> None:
        """Make the shared network without inter-container communication; repeatable."""

    def create(self, spec: ContainerSpec) -> str:
        """A stopped container made to `spec`; returns its id. The image has to be there."""

    def start(self, container: str) -> None:
        """Start it; a running one is left alone. Fails when a port is taken. Like `stop`, `pause`
        and `remove` it is done when `containers` says so. A network that was removed since the
        container was made, and made again, is no obstacle."""

    def stop(self, container: str, timeout: int) -> None:
        """TERM, and KILL after `timeout` seconds; a stopped one is left alone."""

    def pause(self, container: str) -> None:
        """Freeze every process of a running container; stopping or removing it still works."""

    def remove(self, container: str) -> None:
        """Kill and delete it with its anonymous volumes; a missing one is no error."""

    def last_lines(self, container: str, lines: int) -> list[str]:
        """The end of what a container's own process has printed."""

    def follow_log(self, container: str, lines: int) -> AbstractContextManager[Iterator[str]]:
        """So many of its last lines, and each further one until it ends. Raises Cancelled while it
        waits."""

    def events(
        self, wanted: Filter = EVERYTHING, since: float | None = None
    ) -> AbstractContextManager[Iterator[EngineEvent]]:
        """What happens to the containers that are wanted from now on, or from `since` (seconds
        since the epoch), without end: nothing after the block was entered is missed. Raises
        Cancelled while it waits."""

    def stats(self, container: str) -> Stats:
        """What it uses; all zero for one that does not run."""

    def ensure_volume(self, name: str, labels: Mapping[str, str]) -> None:
        """Make a volume of the engine's; one that is there is left alone. Raises Refused for one
        that does not carry the label of this repository: it is not treedock's to use."""

    def ensure_overlay(self, name: str, lower: str, upper: str, labels: Mapping[str, str]) -> None:
        """Make a volume that shows what the volume `lower` holds and keeps what is written to it
        in the volume `upper`, in whose folders `upper` and `work`; whoever writes has to own
        these. One that is there is left alone. Where the engine's host cannot do it, it is the
        start of a container with it that fails.

        `lower` must never change, and neither may go while this one is there.
        """

    def put(self, container: str, folder: str, tar: bytes) -> None:
        """Unpack a tar below `folder` of a container that need not run, into its volumes too;
        owners and modes are those in the tar."""

    def volumes(self, wanted: Filter = EVERYTHING) -> list[str]:
        """The names of all volumes of treedock's that are wanted."""

    def users(self, volume: str) -> list[str]:
        """The names of the running containers that have this volume, whoever made them."""

    def volume_sizes(self) -> dict[str, int]:
        """Bytes on the disk of every volume, by name. The engine counts: it may take seconds."""

    def layer_sizes(self) -> dict[str, int]:
        """Bytes that each of treedock's containers has written into its own layer, by id. The
        engine counts: it may take seconds."""

    def remove_volume(self, name: str) -> None:
        """Delete a volume and what is in it; a missing one is no error, one in use is."""

    def exec_detached(self, container: str, command: Exec) -> None:
        """Start a process inside, in a session of its own, and do not wait for it. Raises
        EngineFailed where it cannot start."""

    def exec(self, container: str, command: Exec) -> Finished:
        """Run a short command inside and wait for it. One that cannot start, for want of the
        program or folder, ends with 126 or 127 as in a shell; a stopped container is EngineFailed.
        """

    def exec_attached(self, container: str, command: Exec, streams: Streams) -> int:
        """Run a command with its streams joined to these files; returns its exit code. Of one
        that cannot start `stderr` is told why, and the code is 127. Raises EngineFailed where it
        is silent for, or takes, longer than its timeout. Whatever ends the wait early ends
        the command, too, and what it started: see `runner.adapters.engine.ending`."""

    def terminal(
        self, container: str, command: Exec, *, rows: int, columns: int
    ) -> AbstractContextManager[Terminal]:
        """Run a command at a terminal of its own; one that has not ended with the block is ended.
        One that cannot start prints why, and has exit code 126 or 127."""

    def image(self, name: str) -> str | None:
        """The id of the image of this name, or None."""

    def pull(self, name: str, patience: float) -> None:
        """Fetch an image from a registry that is never silent for `patience` seconds.

        Raises EngineFailed where there is none to be had.
        """

    def import_image(self, tarball: BinaryIO, name: str) -> None:
        """Make a one-layer image from the tar of a root file system."""

    def build(self, wanted: ImageBuild, say: Callable[[str], None]) -> None:
        """Build an image, passing each line of output to `say`: on treedock's network, with at most
        4 GiB of memory. Raises ImageBuildFailed with the last lines."""

    def images(self) -> list[tuple[str, str]]:
        """(name, id) of every image that treedock built or imported."""

    def remove_image(self, name: str) -> None:
        """Delete an image; a missing one is no error, one in use is left."""
