"""The sections of treedock.yaml. The text under a field is its documentation, which
`treedock config schema` prints."""

import re
from dataclasses import field
from typing import Annotated, Any, ClassVar, Literal

from runner.domain.config.values import (
    Bounds,
    Command,
    FilePath,
    Line,
    Name,
    Path,
    Pattern,
    Size,
    Variable,
)
from runner.domain.frozen import dataclass


def key_of(field: str) -> str:
    """The key in YAML of a field, which may be no word that Python allows there."""
    return "in" if field == "folder" else field.removesuffix("_")


class Section:
    """What pydantic has to know of each: see https://docs.pydantic.dev/latest/api/config/."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "extra": "forbid",
        "alias_generator": key_of,
        "hide_input_in_errors": True,
    }


@dataclass(frozen=True)
class Build(Section):
    context: Path = "."
    """Folder whose committed files are the build context."""
    dockerfile: Path = "Dockerfile"
    """The Dockerfile, relative to the context."""
    args: dict[str, str] = field(default_factory=dict)
    """Build arguments."""


@dataclass(frozen=True)
class Image(Section):
    name: str | None = None
    """An image of a registry or of this engine, e.g. `python:3.12`."""
    build: Build | None = None
    """Build the image from a Dockerfile of the project."""

    def __post_init__(self) -> None:
        if (self.name is None) == (self.build is None):
            raise ValueError("needs either `name` or `build`")


@dataclass(frozen=True)
class Env(Section):
    copy_: list[FilePath] = field(default_factory=lambda: [".env", ".env.local"])
    """Ignored files copied from the main checkout into a new instance, of a folder those in it.
    Missing ones are skipped. Of a link the content is taken. Files that match a pattern in
    `.worktreeinclude` are copied too."""
    rewrite: list[FilePath] = field(default_factory=list)
    """Files that are copied as well, in which the main checkout's absolute path becomes the
    instance's worktree. That path leads there inside, too."""
    set_: dict[Variable, Line] = field(default_factory=dict)
    """Variables for the app. `${BACKEND_PORT}` and the like are filled in."""

    @property
    def copied(self) -> list[str]:
        """Everything that is copied, each path once."""
        return list(dict.fromkeys([*self.copy_, *self.rewrite]))

    def is_rewritten(self, name: str) -> bool:
        """Whether a copied file is one of `rewrite`, or lies in a folder of it."""
        return any(name == one or name.startswith(f"{one}/") for one in self.rewrite)


@dataclass(frozen=True)
class Step(Section):
    run: Command
    """Shell command, run inside the instance."""
    folder: Path = "."
    """Folder to run it in."""
    produces: list[FilePath] | None = None
    """Folders that it makes, relative to `in`. What a clean run on base made is kept, and new
    instances start with it instead of running the step. Known for a plain call of uv, pip,
    poetry, npm, pnpm, bun or yarn with a lock file that copies nothing else of the checkout;
    `[]` keeps nothing."""
    key: list[FilePath] = field(default_factory=list)
    """Files that decide what it makes, e.g. a lock file, relative to `in`. Files that the run line
    names always do."""
    visible: bool = False
    """Put a copy of what it makes into the worktree of a new instance, where editors on the host
    see it, instead of mounting it."""

    def __post_init__(self) -> None:
        if bool(self.produces) != bool(self.key):
            raise ValueError("`produces` and `key` need each other")


@dataclass(frozen=True)
class Ready(Section):
    http: Annotated[str, Bounds(pattern=r"^/[!-~]*$")] | None = None
    """Path that has to answer in plain HTTP with a status below 500. A service that answers with an
    error for 5 seconds counts as failed, unless it is 502, 503 or 504. Without a path a TCP
    connection is enough."""
    timeout: Annotated[float, Bounds(gt=0, le=3600)] = 60
    """Seconds until a service that is not ready counts as failed."""


@dataclass(frozen=True)
class Service(Section):
    run: Command
    """Shell command that serves the port. It has to listen on 0.0.0.0, not on 127.0.0.1."""
    folder: Path = "."
    """Folder to run it in."""
    port: Name | None = None
    """The name under `ports` that it serves; without one there is nothing to wait for."""
    ready: Ready = Ready()
    """When the service counts as ready."""
    restart: Literal["no", "on-failure"] = "no"
    """`on-failure` starts it again after a non-zero exit, 5 times at most."""


@dataclass(frozen=True)
class Database(Section):
    engine: Literal["sqlite", "postgres", "command"] = "sqlite"
    """`sqlite` for a database file, `postgres` for one in a sidecar; `command` when only the reset
    command knows."""
    path: FilePath | None = None
    """The database file of `sqlite`. It never shows in `git status`."""
    sidecar: Name | None = None
    """The sidecar that holds the database; by default the one named like the engine."""
    name: Line | None = None
    """The database's name there; by default the sidecar's POSTGRES_DB."""
    reset: Command | None = None
    """Shell command that makes the database again. It runs once for a new instance."""
    folder: Path = "."
    """Folder to run the reset command in."""
    inputs: list[Pattern] = field(default_factory=list)
    """Files that make the data, as git's globs (`migrations/**`): while none of them changes, a
    reset comes from the golden state. Files that the reset names always count. By default those of
    Alembic, Django and Prisma; all files where none of them is used."""

    @property
    def beside(self) -> str:
        """The name of the sidecar that holds the database."""
        return self.sidecar or self.engine


@dataclass(frozen=True)
class SidecarReady(Section):
    tcp: Annotated[int, Bounds(ge=1, le=65535)] | None = None
    """Port that has to listen. treedock's own images know theirs."""
    timeout: Annotated[float, Bounds(gt=0, le=3600)] = 60
    """Seconds until a sidecar that is not ready counts as failed."""


@dataclass(frozen=True)
class Sidecar(Section):
    """A container beside the instance's, in its network namespace: the app finds it on localhost,
    as Compose's words describe it."""

    image: Annotated[str, Bounds(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$")]
    """`postgres` and `redis` are treedock's own images; a name with a tag, a digest or a slash
    (`postgres:16`, `axllent/mailpit`) is a registry's."""
    env: dict[Variable, Line] = field(default_factory=dict)
    """Environment of the sidecar, e.g. POSTGRES_PASSWORD."""
    command: Command | list[str] | None = None
    """Arguments instead of the image's own; one text is split as a shell would."""
    volume: Annotated[str, Bounds(pattern=r"^/[^:]+$")] | None = None
    """Folder of the sidecar whose content stays while the instance lives. treedock's own images
    know theirs."""
    ready: SidecarReady = SidecarReady()
    """When the sidecar counts as ready."""
    publish: Name | None = None
    """The name under `ports` at which the host reaches it, e.g. for a database client. Without
    one nothing outside of the instance does."""

    def __post_init__(self) -> None:
        if _is_bare(self.image) and self.image not in OWN_SIDECARS:
            known = " and ".join(OWN_SIDECARS)
            raise ValueError(
                f"image: {self.image!r} is not one of treedock's own ({known}); "
                f"a registry's has a tag: {self.image}:latest"
            )
        if self.publish and self.port is None:
            raise ValueError("publish needs ready: {tcp: PORT}, the port that is published")

    @property
    def is_own(self) -> bool:
        """Whether it runs an image of treedock's own."""
        return self.image in OWN_SIDECARS

    @property
    def port(self) -> int | None:
        """The port it listens on, as far as that is known."""
        own = OWN_SIDECARS.get(self.image)
        return self.ready.tcp or (own[0] if own else None)

    @property
    def data(self) -> str | None:
        """The folder that is kept in a volume."""
        own = OWN_SIDECARS.get(self.image)
        return self.volume or (own[1] if own else None)


OWN_SIDECARS = {
    "postgres": (5432, "/var/lib/postgresql/data"),
    "redis": (6379, "/data"),
}
"""Images of treedock's own: (port, folder of the data)."""


def _is_bare(image: str) -> bool:
    """A name without a tag, a digest or a registry."""
    return not re.search(r"[/:@]", image)


@dataclass(frozen=True)
class Limits(Section):
    instances: Annotated[int, Bounds(ge=1, le=500)] = 15
    """How many instances the repository may have."""
    memory: Annotated[Size, Bounds(ge=16 * 2**20)] = 2 * 2**30
    """Memory of one instance; no swap on top."""
    cpus: Annotated[float, Bounds(gt=0, le=1024, allow_inf_nan=False)] = 2
    """Processor cores of one instance."""
    pids: Annotated[int, Bounds(ge=16, le=100_000)] = 512
    """Processes and threads of one instance."""
    bundle: Annotated[Size, Bounds(gt=0)] = 2**30
    """Size of what one sync may bring out of an instance, packed and unpacked."""
    cache: Annotated[Size, Bounds(ge=0)] = 20 * 2**30
    """Size of all snapshots together; the least recently used go first, never one in use."""
    disk_free: Annotated[Size, Bounds(ge=0)] = 2 * 2**30
    """Free disk space below which nothing new is started."""
    stale_days: Annotated[float, Bounds(gt=0)] = 14
    """Days after which an instance counts as stale."""
    archive_days: Annotated[float, Bounds(gt=0, le=36500)] = 14
    """Days for which the logs of a cleaned instance stay, and what was forced away with it."""
    archive: Annotated[Size, Bounds(ge=0)] = 2**30
    """Size of the ignored files that `clean --keep-ignored` may keep of one instance."""


@dataclass(frozen=True)
class Git(Section):
    hooks: Literal["none", "copy"] = "none"
    """`copy` puts the executable hooks pre-commit, prepare-commit-msg and commit-msg of the main
    repository's .git/hooks into each instance. What they call has to be in the image."""


@dataclass(frozen=True)
class Network(Section):
    ca: Literal["auto", "host", "none"] = "auto"
    """Certificate authorities inside: `host` copies the host's bundle into builds and instances,
    `auto` does so where the host sets SSL_CERT_FILE or the like, `none` leaves images alone."""


@dataclass(frozen=True)
class HostMount(Section):
    source: str
    """Absolute path on the host."""
    target: str
    """Absolute path in the container."""
    read_only: bool = True


@dataclass(frozen=True)
class Sandbox(Section):
    """What weakens the sandbox. Read from the user's own configuration only."""

    mounts: list[HostMount] = field(default_factory=list)
    """Extra host folders or files."""
    capabilities: list[str] = field(default_factory=list)
    """Linux capabilities given back, e.g. SYS_PTRACE."""
    publish: str = "127.0.0.1"
    """Host address that ports are published on."""


@dataclass(frozen=True)
class Gate(Section):
    """A command that has to pass before a branch may land."""

    run: Command
    """Shell command, run inside a throwaway instance of the candidate."""
    folder: Path = "."
    """Folder to run it in."""
    services: bool = False
    """Whether it needs the project's services to run."""
    timeout: Annotated[float, Bounds(gt=0)] = 1800
    """Seconds until it counts as red."""
    outside: bool = False
    """Judge from outside: it runs before everything else, in a fresh container in which nothing
    of the candidate has run, with the tree read-only and without what set-up installs."""

    def __post_init__(self) -> None:
        if self.outside and self.services:
            raise ValueError("`outside` and `services` exclude each other")


@dataclass(frozen=True)
class Merge(Section):
    retries: Annotated[int, Bounds(ge=0)] = 3
    """How often to build and test again when base moves meanwhile."""
    width: Annotated[int, Bounds(ge=1)] = 4
    """How many candidates are tested at once."""
