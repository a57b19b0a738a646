"""What stays of a cleaned instance for limits.archive_days: its logs, and what was forced away.

<git common dir>/treedock/archive/<id>-<time>/ appears whole or not at all, and before anything of
the instance is removed; its commits are refs below refs/treedock-archive/<id>-<time>/.
"""

import contextlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from runner.adapters.failpoints import step
from runner.adapters.files import disk, tarball, untrusted
from runner.adapters.git import refs as keeping
from runner.adapters.store import stored
from runner.controller.cleanup.unsaved import Place
from runner.controller.operation import Operation
from runner.controller.project import Repository, limits_of
from runner.domain.errors import Damaged, OtherVersion
from runner.domain.frozen import dataclass
from runner.domain.instance.archive import ARCHIVE, Archive

MANIFEST = "archive.json"
SEEN = "archives-seen-as-old.json"

_TIME = "%Y%m%d-%H%M%S"
_TIME_LENGTH = 15
_NAME = re.compile(r".+-(\d{8}-\d{6})")


@dataclass(frozen=True)
class AtRisk:
    """What goes with the instance. `dirty`: None where git cannot tell; `whole_git`: there is
    more inside than could be brought out; `begun`: files are gone because a clean was cut off."""

    dirty: Sequence[str] | None
    places: Sequence[Place]
    whole_git: bool = False
    begun: bool = False
    copies: Sequence[str] = ()
    """Ignored files with edits of its own, see losses.edited_copies."""
    inner: Sequence[str] = ()
    """Repositories in its worktree, see losses.inner_repositories."""
    ignored: Sequence[str] = ()
    """Ignored files that are to be kept."""

    @property
    def besides(self) -> set[str]:
        """What the archive gets of the worktree beside what is uncommitted."""
        return {*self.copies, *self.inner, *self.ignored}

    def __bool__(self) -> bool:
        at_risk = self.dirty or self.places or self.besides
        return self.dirty is None or bool(at_risk) or self.whole_git


def new_name(operation: Operation) -> str:
    """`<id>-<time>`; nothing has it yet."""
    at = datetime.now(UTC)
    while (root_of(operation.repository) / f"{operation.id}-{at:{_TIME}}").exists():
        at += timedelta(seconds=1)
    return f"{operation.id}-{at:{_TIME}}"


def begun(operation: Operation) -> Archive | None:
    """The archive of a clean that was cut off after it was complete."""
    record = operation.record
    if not record.cleaning or record.archive is None:
        return None
    return read(root_of(operation.repository) / record.archive)


def last_of(repository: Repository, instance: str) -> Archive | None:
    """The newest archive of an instance that is gone."""
    own = [one for one in folders(repository) if one.name[:-_TIME_LENGTH] == f"{instance}-"]
    return read(own[-1]) if own else None


def read(folder: Path) -> Archive | None:
    """The archive in a folder, or None where that is none (yet). Raises Damaged."""
    found = stored.read(folder / MANIFEST, Archive)
    if found is None:
        return None
    # Not where it was when it was written: the repository may have been copied or moved since.
    tar, git = (one and str(folder / Path(one).name) for one in (found.tar, found.git))
    return replace(found, folder=str(folder), tar=tar, git=git)


def folders(repository: Repository) -> list[Path]:
    """Those of all archives."""
    root = root_of(repository)
    found = sorted(root.iterdir()) if root.is_dir() else []
    return [folder for folder in found if _NAME.fullmatch(folder.name)]


def forget_unfinished(operation: Operation) -> None:
    """Remove the refs of an archive that was begun and never complete. Repository lock."""
    if operation.record.archive:
        keeping.put(operation.git, f"{ARCHIVE}/{operation.record.archive}", {})


def has_begun(operation: Operation) -> bool:
    """Whether a clean that was cut off may have deleted files already."""
    record = operation.record
    return record.cleaning and (record.archive is None or begun(operation) is not None)


def unsaved(operation: Operation, archive: Archive, dirty: Iterable[str]) -> list[str]:
    """Those of these paths that the archive does not have as they are now."""
    paths, worktree = list(dirty), Path(operation.record.worktree)
    has = tarball.held(Path(archive.tar), worktree, paths) if archive.tar and paths else set()
    return [path for path in paths if path not in has]


def keep_git(operation: Operation, archive: Archive) -> None:
    """Move the instance's own git directory into the archive, if it is to be kept. No container
    may have it any more."""
    if archive.git:
        with contextlib.suppress(FileNotFoundError):  # a clean that was cut off did it
            operation.folder.git.rename(archive.git)
            if untrusted.kind(Path(archive.git), "objects/info") == "folder":
                # It names places inside, or wherever code inside wished.
                disk.write_below(Path(archive.git), "objects/info/alternates", b"")
            step("keep its git directory")


def expire(repository: Repository, new: Sequence[Archive]) -> None:
    """Remove the archives that are older than limits.archive_days, except those of just now.

    A clock that was set back, or is ahead now, must not cost one: its name and its file both have
    to be old, and it has to have been seen as old for as long before.
    """
    now = datetime.now(UTC)
    oldest = now - timedelta(days=limits_of(repository).archive_days)
    root, git = root_of(repository), repository.git
    with repository.locked():
        needed = {record.archive for record in repository.records.all()}
        needed |= {archive.name for archive in new}
        refs = git.refs(ARCHIVE)
        named = {ref.split("/")[2] for ref in refs}
        named |= {path.name for path in root.iterdir()} if root.is_dir() else set()
        seen = _seen_as_old(root.parent / SEEN)
        old = [name for name in sorted(named - needed) if _looks_old(root / name, oldest)]
        since = {name: min(seen.get(name, now.timestamp()), now.timestamp()) for name in old}
        for name in old:
            if since[name] <= oldest.timestamp():
                prefix = f"{ARCHIVE}/{name}/"
                keeping.drop(git, {r: id_ for r, id_ in refs.items() if r.startswith(prefix)})
                disk.remove_tree(root / name)
                del since[name]
        if since != seen:
            disk.write_atomically(root.parent / SEEN, json.dumps(since).encode())


def _looks_old(archive: Path, oldest: datetime) -> bool:
    """Whether its name and, where there is one, its folder are older than that. One of another
    version of treedock never looks old."""
    found = _NAME.fullmatch(archive.name)
    if not found or found[1] >= f"{oldest:{_TIME}}":
        return False
    if not archive.exists():
        return True
    return archive.stat().st_mtime < oldest.timestamp() and not _is_of_another(archive)


def _is_of_another(archive: Path) -> bool:
    try:
        read(archive)
    except OtherVersion:
        return True
    except Damaged:
        pass
    return False


def _seen_as_old(marks: Path) -> dict[str, float]:
    """Since when archives were seen as old, in seconds since 1970, by name."""
    try:
        data = json.loads(marks.read_bytes())
        return {str(name): float(at) for name, at in data.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def root_of(repository: Repository) -> Path:
    return repository.records.root / "archive"
