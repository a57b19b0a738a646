"""Which snapshots there are: one record each below <git common dir>/treedock/snapshots/. Volumes
that none of them names are worth nothing."""

import os
from pathlib import Path

from runner.adapters.files import disk
from runner.adapters.store import stored
from runner.domain.errors import Damaged
from runner.domain.frozen import dataclass
from runner.domain.typed import Document


@dataclass(frozen=True)
class Snapshot(Document):
    """What one set-up step or reset has made, whole. `volumes` has the volume of each folder, by
    its path in the checkout, or as '~/.npm'; that of a database by ''. `kin` is the same for those
    that differ in key files only; `step` reads as 'npm ci in app/client'. One that is `unfit`, for
    this reason, has no volumes: it is kept so that no one tries again."""

    key: str
    kin: str
    step: str
    volumes: dict[str, str]
    created_at: str
    unfit: str = ""


class Snapshots:
    """The records. That of a snapshot is written last and removed first; when it was last used is
    the file's time."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "snapshots"
        self._locks = root / "locks"

    def lock(self, key: str) -> Path:
        """For who makes, takes or removes the snapshot."""
        return self._locks / f"snapshot-{key}.lock"

    def read(self, key: str) -> Snapshot | None:
        """The snapshot, or None where there is none, or a damaged one, which is made again.
        Raises OtherVersion."""
        try:
            return stored.read(self.path(key), Snapshot)
        except (OSError, Damaged):
            return None

    def require_readable(self, key: str) -> None:
        """Raises Damaged and OtherVersion."""
        stored.read(self.path(key), Snapshot)

    def recorded(self) -> list[str]:
        """The keys of all records, readable or not."""
        return [path.stem for path in self._folder.glob("*.json")]

    def all(self) -> list[Snapshot]:
        """Every readable snapshot, the most recently used first. Raises OtherVersion."""
        found = [self.read(key) for key in self.recorded()]
        return sorted(filter(None, found), key=lambda one: self.used_at(one.key), reverse=True)

    def write(self, snapshot: Snapshot) -> None:
        stored.write(self.path(snapshot.key), snapshot)

    def touch(self, key: str) -> None:
        """It is used now."""
        os.utime(self.path(key))

    def used_at(self, key: str) -> float:
        """When it was last used, in seconds since 1970."""
        try:
            return self.path(key).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def file(self, key: str) -> Path:
        """Where a snapshot is that is one file: the golden state of a database."""
        return self._folder / f"{key}.database"

    def file_size(self, key: str) -> int:
        """Bytes of that file; 0 where there is none."""
        try:
            return self.file(key).stat().st_size
        except FileNotFoundError:
            return 0

    def keys_of_files(self) -> list[str]:
        """The keys of all such files, of whole snapshots or not."""
        return [path.stem for path in self._folder.glob("*.database")]

    def remove(self, key: str) -> None:
        self.path(key).unlink(missing_ok=True)
        self.file(key).unlink(missing_ok=True)
        self.lock(key).unlink(missing_ok=True)

    def overlays(self, engine: str) -> bool | None:
        """Whether this engine mounts volumes above others; None where no one has tried."""
        try:
            said, _, name = (self._folder / "engine").read_text().partition(" ")
        except FileNotFoundError:
            return None
        return said == "overlay" if name == engine else None

    def keep_overlays(self, engine: str, *, operations: bool) -> None:
        text = f"{'overlay' if operations else 'copy'} {engine}"
        disk.write_atomically(self._folder / "engine", text.encode())

    def forget_overlays(self) -> None:
        """Whoever asks next tries."""
        (self._folder / "engine").unlink(missing_ok=True)

    def path(self, key: str) -> Path:
        return self._folder / f"{key}.json"
