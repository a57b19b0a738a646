"""The instances' folders below <git common dir>/treedock: records, events, run state."""

import contextlib
import os
from datetime import UTC, datetime
from pathlib import Path

from runner.adapters.failpoints import step
from runner.adapters.files import disk
from runner.adapters.store import locks, stored
from runner.adapters.store.folder import Folder
from runner.domain.errors import Damaged, OtherVersion
from runner.domain.events import Notice
from runner.domain.instance.record import Record


class Records:
    """Reads and writes what is kept about the instances of one repository."""

    def __init__(self, common_dir: Path, kind: str = "instances") -> None:
        self.root = common_dir / "treedock"
        self._kind = kind

    def folder(self, instance: str) -> Path:
        """The instance's own folder; nothing in it is mounted except run/ and home/."""
        return self.root / self._kind / instance

    def lock(self, instance: str) -> Path:
        return self.root / "locks" / f"instance-{instance}.lock"

    def tell_stopped(self, instance: str) -> None:
        """Tell the operation that holds the instance's lock that this process stops the instance.

        By a symlink, which needs no block of a disk that may be full; where it cannot be made
        the operation ends with the error of its own command.
        """
        self.forget_stop(instance)
        with contextlib.suppress(OSError):
            self._stop(instance).symlink_to(f"process {os.getpid()}")

    def stopped_by(self, instance: str) -> str | None:
        """'process 4711': which process stopped the instance under the holder of its lock."""
        try:
            return str(self._stop(instance).readlink())
        except OSError:
            return None

    def forget_stop(self, instance: str) -> None:
        """Remove that note; the caller holds the lock, or is about to write another one."""
        with contextlib.suppress(OSError):
            self._stop(instance).unlink()

    def _stop(self, instance: str) -> Path:
        return self.lock(instance).with_suffix(".stop")

    def busy(self) -> list[str]:
        """The ids whose lock some process holds now."""
        found = sorted((self.root / "locks").glob("instance-*.lock"))
        ids = {path: path.name.removeprefix("instance-").removesuffix(".lock") for path in found}
        return [id_ for path, id_ in ids.items() if locks.is_held(path)]

    @property
    def repository_lock(self) -> Path:
        """For what changes refs, the worktree list or who has which slot."""
        return self.root / "locks" / "repository.lock"

    def ids(self) -> list[str]:
        """The ids that have a folder, sorted; not all of them need a record."""
        folder = self.root / self._kind
        return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []

    def all(self) -> list[Record]:
        """Every readable record, by id; a damaged one is the matter of who names it. Raises
        OtherVersion: nothing is decided without what a newer treedock has."""
        found = (self.readable(instance) for instance in self.ids())
        return [record for record in found if record]

    def path(self, instance: str) -> Path:
        return Folder(self.folder(instance)).record

    def read(self, instance: str) -> Record | None:
        """The record, or None where there is none. Raises Damaged and OtherVersion."""
        path = self.path(instance)
        record = stored.read(path, Record)
        wrong = record and record.id != instance and f"it is that of {record.id!r}"
        if wrong := wrong or (record and record.doubt()):
            raise stored.damaged(path, wrong)
        return record

    def write(self, record: Record) -> None:
        stored.write(self.path(record.id), record)

    def remove(self, instance: str) -> None:
        """Forget the instance, at once: its folder is moved aside before it is deleted."""
        aside = self.trash / f"{instance}-{os.getpid()}"
        aside.parent.mkdir(parents=True, exist_ok=True)
        disk.remove_tree(aside)
        with contextlib.suppress(FileNotFoundError):
            self.folder(instance).rename(aside)
            step("forget the instance")
        for left in self.trash.iterdir():  # of a clean that was killed, too
            disk.remove_tree(left)

    def trash_of(self, instance: str) -> list[Path]:
        """What a clean that was killed has left of a forgotten instance."""
        return [path for of, path in self.trashed() if of == instance]

    def trashed(self) -> list[tuple[str, Path]]:
        """(instance, folder) of everything in the trash, as `remove` names it."""
        found = sorted(self.trash.glob("*-*"))
        parts = [(path.name.rpartition("-"), path) for path in found]
        return [(instance, path) for (instance, _, pid), path in parts if pid.isdecimal()]

    def empty_trash(self, instance: str) -> None:
        for left in self.trash_of(instance):
            disk.remove_tree(left)

    @property
    def trash(self) -> Path:
        """Where forgotten instances' folders are until they are deleted."""
        return self.root / "trash"

    def journal(self, instance: str, notice: Notice) -> None:
        """Append what happened to the instance's events.jsonl; where that is impossible it is left
        out."""
        disk.append_json(Folder(self.folder(instance)).events, notice.to_json())

    def of_worktree(self, worktree: Path) -> Record | None:
        """The instance that lives in this worktree, if any. Raises OtherVersion where none is
        known that does, and it may be one of a newer treedock."""
        other: OtherVersion | None = None
        for instance in self.ids():
            try:
                record = self.readable(instance)
            except OtherVersion as error:
                other = error
            else:
                if record and Path(record.worktree) == worktree:
                    return record
        if other:
            raise other
        return None

    def readable(self, instance: str) -> Record | None:
        """The record, or None where there is none, or a damaged one. Raises OtherVersion."""
        try:
            return self.read(instance)
        except Damaged:
            return None


def now() -> str:
    """The time as records carry it: '2026-01-31T09:30:00Z'."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
