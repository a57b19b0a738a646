"""Everything that follows from an instance's id: what its parts are called."""

import hashlib
from dataclasses import dataclass

_THROWAWAY = "gate."  # no instance's id has a dot


@dataclass(frozen=True)
class Names:
    """What the parts of one instance are called.

    `project` is the project's name when the instance was made, since its data lies in volumes that
    are named after it. `key` is the repository's: two clones may have the same project name.
    """

    project: str
    id: str
    key: str

    def branch(self, pattern: str) -> str:
        """Its branch, by the pattern of the configuration: 'feature/{id}'."""
        return pattern.replace("{id}", self.id)

    @property
    def container(self) -> str:
        """Its container, whose name those of its sidecars and volumes begin with."""
        return f"treedock-{self.project}-{self.id}-{self.key[:6]}"

    @property
    def host(self) -> str:
        """Its host name; an underscore is not allowed there."""
        return self.id.replace("_", "-")

    @property
    def outside(self) -> str:
        """The container of a gate that runs without the instance's network and data."""
        return f"{self.container}-outside"

    def beside(self, name: str) -> str:
        """The sidecar with this name and the volume with its data, or a helper container."""
        return f"{self.container}.{name}"

    def layer(self, path: str) -> str:
        """The volume at a path of its worktree, above a snapshot."""
        return self.beside(hashlib.sha256(path.encode()).hexdigest()[:8])

    def git_container(self, process: int) -> str:
        """The throwaway container in which the process with this id runs git for it."""
        return f"treedock-git-{self.id}-{self.key[:6]}-{process}"

    @property
    def refs(self) -> str:
        """The refs that keep something of it in the main repository lie below this one."""
        return f"refs/treedock/{self.id}"

    def ref(self, name: str) -> str:
        """One of them, such as 'head', 'base' and 'was/1'."""
        return f"{self.refs}/{name}"


def throwaway(name: str) -> str:
    """The id of the throwaway instance for this purpose."""
    return f"{_THROWAWAY}{name}"


def is_throwaway(instance: str) -> bool:
    """Whether this is the id of a throwaway instance."""
    return instance.startswith(_THROWAWAY)


def own_volume(layer: str) -> str:
    """The volume that keeps what is written to the layer."""
    return f"{layer}.own"


def snapshot_volumes(project: str, key: str, made: str) -> str:
    """What the names of the volumes of a snapshot begin with; `made` tells apart two attempts."""
    return f"treedock-{project}-snapshot-{key[:12]}-{made}."
