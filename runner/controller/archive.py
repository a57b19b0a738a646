"""What stays of a cleaned instance for limits.archive_days: its logs, and what was forced away.

<git common dir>/treedock/archive/<id>-<time>/ appears whole or not at all, and before anything of
the instance is removed; its commits are refs below refs/treedock-archive/<id>-<time>/.
"""

import contextlib
import heapq
import json
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from runner.adapters import disk, keeping, tarball
from runner.adapters.steps import step
from runner.controller.losses import Place, going_branch
from runner.controller.opening import Repository, open_project
from runner.controller.work import Work
from runner.domain.errors import Refused, RunnerError, unavailable

DAYS = 14.0  # where treedock.yaml cannot be read
LOG = 16 * 2**20  # bytes of one log that are kept, the newest
LOGS = 16 * LOG  # bytes of all together; code inside can make as many as it likes
FILES = 1000

_TIME = "%Y%m%d-%H%M%S"
_TIME_LENGTH = 15
_NAME = re.compile(r".+-(\d{8}-\d{6})")
_MANIFEST = "archive.json"
_TAR = "uncommitted.tar"


@dataclass(frozen=True)
class Archive:
    """`refs`: object id by full name. `deleted`: tracked files that were deleted without a
    commit; `left_out`: what could not go into the tar. `git`: the instance's own git directory,
    where not everything in it could be brought out; code inside wrote it. `restore`: the
    commands that bring it all back, in their order."""

    name: str
    folder: str
    until: str
    refs: dict[str, str]
    tar: str | None = None
    deleted: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    git: str | None = None
    restore: tuple[str, ...] = ()

    @property
    def prefix(self) -> str:
        """What the names of its refs begin with."""
        return f"{keeping.ARCHIVE}/{self.name}"

    @property
    def holds_work(self) -> bool:
        """Whether there is more in it than logs."""
        return bool(self.refs or self.tar or self.deleted or self.git)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Stake:
    """What goes with the instance. `dirty`: None where git cannot tell; `whole_git`: there is
    more inside than could be brought out; `begun`: files are gone because a clean was cut off."""

    dirty: Sequence[str] | None
    places: Sequence[Place]
    whole_git: bool = False
    begun: bool = False

    def __bool__(self) -> bool:
        return self.dirty is None or bool(self.dirty or self.places) or self.whole_git


def new_name(work: Work) -> str:
    """`<id>-<time>`; nothing has it yet."""
    at = datetime.now(UTC)
    while (_root(work.repository) / f"{work.id}-{at:{_TIME}}").exists():
        at += timedelta(seconds=1)
    return f"{work.id}-{at:{_TIME}}"


def begun(work: Work) -> Archive | None:
    """The archive of a clean that was cut off after it was complete."""
    record = work.record
    if not record.cleaning or record.archive is None:
        return None
    return _read(_root(work.repository) / record.archive)


def last_of(repository: Repository, instance: str) -> Archive | None:
    """The newest archive of an instance that is gone."""
    root = _root(repository)
    found = [path.name for path in root.iterdir()] if root.is_dir() else []
    own = [
        name for name in found if name[:-_TIME_LENGTH] == f"{instance}-" and _NAME.fullmatch(name)
    ]
    return _read(root / max(own)) if own else None


def _read(folder: Path) -> Archive | None:
    try:
        data = json.loads((folder / _MANIFEST).read_bytes())
    except FileNotFoundError:
        return None
    listed = {key: tuple(data[key]) for key in ("deleted", "left_out", "restore")}
    return Archive(**{**data, **listed})


def forget_unfinished(work: Work) -> None:
    """Remove the refs of an archive that was begun and never complete. Repository lock."""
    if work.record.archive:
        keeping.put(work.git, f"{keeping.ARCHIVE}/{work.record.archive}", {})


def has_begun(work: Work) -> bool:
    """Whether a clean that was cut off may have deleted files already."""
    record = work.record
    return record.cleaning and (record.archive is None or begun(work) is not None)


def unsaved(work: Work, archive: Archive, dirty: Iterable[str]) -> list[str]:
    """Those of these paths that the archive does not have as they are now."""
    worktree, tar = Path(work.record.worktree), archive.tar
    return [path for path in dirty if not (tar and tarball.holds(Path(tar), worktree, path))]


def write(work: Work, stake: Stake) -> Archive:
    """Make the archive, on disk for good when this returns. Raises Refused where that is
    impossible; nothing of it is left then."""
    root, name = _root(work.repository), work.record.archive or new_name(work)
    new = root / f".new-{work.id}"
    try:
        disk.remove_tree(new)
        new.mkdir(parents=True)
        archive = _fill(work, name, new, stake)
        text = json.dumps(archive.to_json(), indent=2) + "\n"
        disk.write_atomically(new / _MANIFEST, text.encode())
        _see_on_disk(new / "logs", new)
        new.rename(root / name)
        step("archive the instance")
        _see_on_disk(root)
    except (OSError, RunnerError) as error:
        why = unavailable(error) if isinstance(error, OSError) else error
        _give_up(work, new, root / name)
        raise Refused(
            f"{work.id} cannot be archived, so nothing was removed: {why.message}", hint=why.hint
        ) from error
    return archive


def keep_git(work: Work, archive: Archive) -> None:
    """Move the instance's own git directory into the archive, if it is to be kept. No container
    may have it any more."""
    if archive.git:
        with contextlib.suppress(FileNotFoundError):  # a clean that was cut off did it
            (work.records.folder(work.id) / "git").rename(archive.git)
            step("keep its git directory")


def expire(repository: Repository, new: Sequence[Archive]) -> None:
    """Remove the archives that are older than limits.archive_days, except those of just now."""
    oldest = f"{datetime.now(UTC) - timedelta(days=archive_days(repository)):{_TIME}}"
    root, git = _root(repository), repository.git
    work = Work(repository, "", lambda event: None)
    with work.repository_locked():
        needed = {record.archive for record in repository.records.all()}
        needed |= {archive.name for archive in new}
        refs = git.refs(keeping.ARCHIVE)
        named = {ref.split("/")[2] for ref in refs}
        named |= {path.name for path in root.iterdir()} if root.is_dir() else set()
        for name in sorted(named - needed):
            found = _NAME.fullmatch(name)
            if found and found[1] < oldest:
                prefix = f"{keeping.ARCHIVE}/{name}/"
                keeping.drop(git, {r: id_ for r, id_ in refs.items() if r.startswith(prefix)})
                disk.remove_tree(root / name)


def archive_days(repository: Repository) -> float:
    """limits.archive_days."""
    try:
        return open_project(repository).config.limits.archive_days
    except RunnerError:
        return DAYS


def _fill(work: Work, name: str, new: Path, stake: Stake) -> Archive:
    record, folder = work.record, _root(work.repository) / name
    _copy_logs(work, new)
    saved, deleted = _uncommitted(work, new, stake)
    left_out = tarball.write(new / _TAR, Path(record.worktree), saved) if saved else []
    prefix = f"{keeping.ARCHIVE}/{name}"
    wanted = {place.name: place.id for place in stake.places}
    if stake.whole_git:  # it borrows objects that nothing else may hold
        own = keeping.below(work.git, f"refs/treedock/{work.id}")
        wanted = {ref.name: ref.id for ref in own} | wanted
    with work.repository_locked():
        keeping.put(work.git, prefix, wanted)
    until = datetime.now(UTC) + timedelta(days=archive_days(work.repository))
    return Archive(
        name=name,
        folder=str(folder),
        until=f"{until:%Y-%m-%d}",
        refs={f"{prefix}/{ref}": id_ for ref, id_ in wanted.items()},
        tar=str(folder / _TAR) if saved else None,
        deleted=tuple(deleted),
        left_out=tuple(left_out),
        git=str(folder / "git") if stake.whole_git else None,
        restore=tuple(_ways_back(work, prefix, stake, folder / _TAR if saved else None)),
    )


def _uncommitted(work: Work, new: Path, stake: Stake) -> tuple[list[str], list[str]]:
    """(paths for the tar, deleted paths). The latter are a text file too."""
    worktree = Path(work.record.worktree)
    if stake.dirty is not None and not stake.dirty:
        return [], []
    listed = _all_files(work, new) if stake.dirty is None else stake.dirty
    found = {path.rstrip("/") for path in listed}
    there = sorted(path for path in found if os.path.lexists(worktree / path))
    gone = [] if stake.begun else sorted(found - set(there))
    if gone:
        text = "".join(f"{_line(path)}\n" for path in gone)
        disk.write_atomically(new / "deleted.txt", os.fsencode(text))
    free = disk.free_bytes(new)
    needed = tarball.size(worktree, there)
    if needed > free:
        raise Refused(
            f"its uncommitted files have {needed} bytes, and {free} are free on this disk.",
            hint=f"Delete what you do not need in {worktree}, or free some space.",
        )
    return there, gone


def _all_files(work: Work, new: Path) -> list[str]:
    """What may be uncommitted, where git cannot tell."""
    index, head = new / "index", work.git.branch(work.record.branch)
    found = keeping.all_files(work.git, Path(work.record.worktree), head, index)
    index.unlink()
    return found


def _copy_logs(work: Work, new: Path) -> None:
    """Bounded, and of regular files only: code inside can write all of the run folder."""
    folder = work.records.folder(work.id)
    for name in ("record.json", "events.jsonl"):
        _copy_end(folder / name, new / name, LOG)
    (new / "logs").mkdir()
    run = folder / "run"
    names = (entry.name for entry in os.scandir(run)) if run.is_dir() else iter(())
    logs = (name for name in names if name.endswith((".log", ".log.1")))
    left = LOGS
    for name in heapq.nsmallest(FILES, logs):
        left -= _copy_end(run / name, new / "logs" / name, min(LOG, left))


def _copy_end(source: Path, target: Path, bound: int) -> int:
    """Copy the last `bound` bytes of a file that a container could write; returns how many."""
    descriptor = disk.open_untrusted(source)
    if descriptor is None:
        return 0
    with os.fdopen(descriptor, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - bound))
        data = file.read(bound)
    disk.write_atomically(target, data)
    return len(data)


def _ways_back(work: Work, prefix: str, stake: Stake, tar: Path | None) -> list[str]:
    """The commands that bring it back, in their order."""
    record, commands = work.record, []
    for place in stake.places:
        own = place.name.removeprefix("inside/").removeprefix("heads/").replace("/", "-")
        name = record.branch if place.name == "head" else f"{record.id}-{own}"
        kind = "branch" if place.commit else "tag"
        commands.append(f"git {kind} {shlex.quote(name)} {shlex.quote(f'{prefix}/{place.name}')}")
    if tar:
        head = going_branch(work)
        anew = head and not any(place.name == "head" for place in stake.places)
        commands.append(f"treedock up {record.id} " + (f"--base {head}" if anew else "--attach"))
        where = shlex.quote(record.worktree)
        commands.append(f"tar -xf {shlex.quote(str(tar))} -C {where}")
    return commands


def _give_up(work: Work, *folders: Path) -> None:
    with contextlib.suppress(OSError, RunnerError):
        for folder in folders:
            disk.remove_tree(folder)
    with contextlib.suppress(OSError, RunnerError), work.repository_locked():
        forget_unfinished(work)


def _see_on_disk(*folders: Path) -> None:
    """What the folders list survives a crash of the machine."""
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _line(path: str) -> str:
    """A path on one line; one with control characters as JSON writes it."""
    return path if path.isprintable() else json.dumps(path)


def _root(repository: Repository) -> Path:
    return repository.records.root / "archive"
