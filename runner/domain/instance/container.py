"""The container an instance wants, as one plain value, and its fingerprint.

The engine adapter turns a ContainerSpec into a container; nothing else decides about isolation.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, field

from runner.domain.frozen import dataclass
from runner.domain.instance.record import ContainerStatus

WORKSPACE = "/workspace"
HOME = "/home/treedock"
RUN = "/run/treedock/run"
GIT = "/run/treedock/git"
OBJECTS = "/run/treedock/objects"
RULES = "/run/treedock/rules"  # the person's own attributes and ignore rules
LAYERS = "/run/treedock/layers"  # in a sidecar: what its data lies above
CA_BUNDLE = "/etc/treedock/ca.pem"

LABEL = "treedock"
LABEL_PROJECT = "treedock.project"
LABEL_REPOSITORY = "treedock.repository"
LABEL_INSTANCE = "treedock.instance"
LABEL_SLOT = "treedock.slot"
LABEL_PORTS = "treedock.ports"
LABEL_SPEC = "treedock.spec"
LABEL_HELPS = "treedock.helps"
LABEL_BESIDE = "treedock.beside"  # of a sidecar: the instance that it belongs to
LABEL_SIDECAR = "treedock.sidecar"  # and its name there
LABEL_CACHE = "treedock.cache"  # of a volume that instances share: what kind it is
LABEL_SNAPSHOT = "treedock.snapshot"  # of a volume: the key of the snapshot that it is part of
LABEL_LOWER = "treedock.lower"  # of an instance's volume: the key of the snapshot below it

NETWORK = "treedock"

# Every tool that installs something and keeps a certificate list of its own.
CA_VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    "npm_config_cafile",
    "GIT_SSL_CAINFO",
    "CURL_CA_BUNDLE",
)

# Pid 1's only child. On TERM it passes TERM on to everything in the container and waits, 0.8 s at
# most, until no one but pid 1 and itself is there; `down` has to be quick and clean at once.
IDLE = """
leave() {
  kill -TERM -1 2>/dev/null
  wait
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
    set -- /proc/[0-9]*
    [ $# -le 2 ] && break
    sleep 0.05
  done
  exit 0
}
trap leave TERM
while :; do sleep 2147483 & wait $!; done
"""


def project_repository(project: str) -> str:
    """What the images that are built from a project's Dockerfile are called, before their tag. No
    project's name makes one of treedock's own of it (`treedock/fullstack`, `treedock/base`)."""
    return f"treedock/project-{project}"


@dataclass(frozen=True)
class Mount:
    """A bind mount. The source must exist: a missing one is an error, never an empty folder.

    A container has what lay at `source` when it was started. `inode` is that of the source, where
    another one put in its place (a restored backup) has to reach it: it wants another container.
    """

    source: str
    target: str
    read_only: bool = False
    inode: int = 0


@dataclass(frozen=True)
class VolumeMount:
    """A volume of the engine's, by its name; it has to be there."""

    name: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Limits:
    """memory in bytes, cpus as a number of cores, pids as a count."""

    memory: int
    cpus: float
    pids: int


@dataclass(frozen=True)
class ContainerSpec:
    """One wanted container. `ports` are published on `publish`, same number in and outside."""

    name: str
    image: str
    user: str
    hostname: str
    ports: tuple[int, ...]
    mounts: tuple[Mount, ...]
    limits: Limits
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Environment too, but the values of `.env`: left out of the fingerprint."""
    labels: Mapping[str, str] = field(default_factory=dict)
    publish: str = "127.0.0.1"
    capabilities: tuple[str, ...] = ()
    network: str = NETWORK
    forwards: Mapping[int, int] = field(default_factory=dict)
    """Ports inside that are published under another number: inside -> on the host."""
    volumes: tuple[VolumeMount, ...] = ()
    inside: str | None = None
    """A container whose network namespace it joins: it has no ports and no host name then."""
    command: tuple[str, ...] | None = None
    """What runs, with the image's own entrypoint; empty for the image's own command. None for
    the idle process that instances have."""

    @property
    def log(self) -> tuple[str, dict[str, str]]:
        """The engine's log driver and its options. Code in an instance can write to the output of
        the idle process, which nothing needs; what a sidecar prints is kept up to a limit."""
        if self.command is None:
            return "none", {}
        return "json-file", {"max-size": "10m", "max-file": "2"}

    @property
    def fingerprint(self) -> str:
        """Changes exactly when the wanted container does; the label `treedock.spec`."""
        wanted = asdict(self)
        del wanted["secrets"], wanted["labels"]
        wanted["secret_names"] = sorted(self.secrets)
        wanted["idle"] = IDLE
        wanted["log"] = self.log
        text = json.dumps(wanted, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Container:
    """A container of treedock's, read from its labels. `image` is the name it was made from, or
    an id ('sha256:...') where that name means another image by now. `sources` are the paths of
    this host that it was made to mount; they may have been moved since."""

    id: str
    name: str
    status: ContainerStatus
    labels: Mapping[str, str]
    image: str = ""
    sources: tuple[str, ...] = ()

    @property
    def instance(self) -> str:
        return self.labels.get(LABEL_INSTANCE, "")

    @property
    def beside(self) -> str:
        """The instance whose sidecar this is; empty where it is none."""
        return self.labels.get(LABEL_BESIDE, "")

    @property
    def owner(self) -> str:
        """The instance that it is, or is a sidecar of."""
        return self.instance or self.beside

    @property
    def is_up(self) -> bool:
        """Whether it has processes, be they frozen: it can be stopped."""
        return self.status in ("running", "paused")

    @property
    def holder(self) -> str:
        """'shop/auth': how other projects see who holds a slot."""
        return f"{self.labels.get(LABEL_PROJECT, '?')}/{self.instance}"

    @property
    def ports(self) -> dict[str, int]:
        """The published ports by name, from the label 'backend=9105,frontend=9205'."""
        pairs = (pair.partition("=") for pair in self.labels.get(LABEL_PORTS, "").split(","))
        return {name: int(port) for name, _, port in pairs if port.isdecimal()}
