"""Which repository this is: repository.json below <git common dir>/treedock says where its git
directory was when it was used last, and the key under which the engine knows what it has."""

import hashlib
import os
from pathlib import Path

from runner.adapters.store import stored
from runner.domain.frozen import dataclass
from runner.domain.typed import Document

FILE = "repository.json"


@dataclass(frozen=True)
class Identity(Document):
    """`common_dir` is the real path of the git directory that it is about: in a copy, and in a
    repository that was moved, that is another one. `key` is the label of its containers and
    volumes; it stays when the repository is moved, because the engine renames no volume."""

    common_dir: str
    key: str


def key_of(common_dir: Path, salt: str = "") -> str:
    """The key of the repository that is first at this place; with a `salt` one of its own."""
    text = os.fsencode(common_dir) + (f"\0{salt}".encode() if salt else b"")
    return hashlib.sha256(text).hexdigest()[:12]


def read(root: Path) -> Identity | None:
    """What `root` says, or None where it says nothing yet. Raises Damaged and OtherVersion."""
    return stored.read(root / FILE, Identity)


def write(root: Path, identity: Identity) -> None:
    stored.write(root / FILE, identity)
