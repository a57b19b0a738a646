"""Writing the archive of an instance: whole or not at all, and before anything is removed."""

import contextlib
import errno
import heapq
import itertools
import json
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from runner.adapters.failpoints import step
from runner.adapters.files import disk, tarball
from runner.adapters.git import refs
from runner.controller.cleanup.archive import (
    MANIFEST,
    Archive,
    Stake,
    archive_days,
    archive_size,
    forget_unfinished,
    new_name,
    root_of,
)
from runner.controller.cleanup.kept_git import make_readable
from runner.controller.cleanup.unsaved import Place, going_branch, holder
from runner.controller.operation import Work
from runner.domain.errors import Refused, RunnerError, unavailable
from runner.domain.text import sentences, shell_word

LOG = 16 * 2**20  # bytes of one log that are kept, the newest
LOGS = 16 * LOG  # bytes of all together; code inside can make as many as it likes
FILES = 1000
TAR = "uncommitted.tar"


def write(work: Work, stake: Stake) -> Archive:
    """Make the archive, on disk for good when this returns. Raises Refused where that is
    impossible; nothing of it is left then."""
    root, name = root_of(work.repository), work.record.archive or new_name(work)
    new = root / f".new-{work.id}"
    try:
        disk.remove_tree(new)
        new.mkdir(parents=True)
        archive = _fill(work, name, new, stake)
        text = json.dumps(archive.to_json(), indent=2) + "\n"
        disk.write_atomically(new / MANIFEST, text.encode())
        _see_on_disk(new / "logs", new)
        new.rename(root / name)
        step("archive the instance")
        _see_on_disk(root)
    except (OSError, RunnerError) as error:
        why = unavailable(error) if isinstance(error, OSError) else error
        full = isinstance(error, OSError) and error.errno == errno.ENOSPC
        _give_up(work, new, root / name)
        raise Refused(
            sentences(f"{work.id} cannot be archived, so nothing was removed:", why.message),
            hint=_way_to_room(work) if full else why.hint,
        ) from error
    return archive


def _way_to_room(work: Work) -> str:
    """The way out of a full disk."""
    worktree = work.record.worktree
    # Without that option it writes its index, for which there is no room.
    shown = f"git --no-optional-locks -C {worktree} status --ignored"
    return (
        f"Delete what you do not need in {worktree} ({shown} lists it), or free some space; "
        "then run the same command again."
    )


def require_room(work: Work, ignored: Sequence[str]) -> None:
    """Raises Refused where these ignored files are more than limits.archive."""
    if not ignored:
        return
    needed, most = tarball.size(Path(work.record.worktree), ignored), archive_size(work.repository)
    if needed > most:
        raise Refused(
            f"The ignored files of {work.id} have {needed} bytes, and limits.archive is {most}.",
            hint="Raise it in treedock.yaml, delete what is not needed, or leave out "
            "--keep-ignored.",
        )


def _fill(work: Work, name: str, new: Path, stake: Stake) -> Archive:
    record, folder = work.record, root_of(work.repository) / name
    _copy_logs(work, new)
    saved, deleted = _uncommitted(work, new, stake)
    stake = replace(stake, places=[*stake.places, *_staged(work, new, stake)])
    left_out = tarball.write(new / TAR, Path(record.worktree), saved) if saved else []
    prefix = f"{refs.ARCHIVE}/{name}"
    wanted = {place.name: place.id for place in stake.places}
    if stake.whole_git:  # it borrows objects that nothing else may hold
        own = refs.below(work.git, f"refs/treedock/{work.id}")
        wanted = {ref.name: ref.id for ref in own} | wanted
    with work.repository_locked():
        refs.put(work.git, prefix, wanted)
    until = datetime.now(UTC) + timedelta(days=archive_days(work.repository))
    ways = make_readable(work, new, folder) if stake.whole_git else []
    return Archive(
        name=name,
        folder=str(folder),
        until=f"{until:%Y-%m-%d}",
        refs={f"{prefix}/{ref}": id_ for ref, id_ in wanted.items()},
        tar=str(folder / TAR) if saved else None,
        deleted=tuple(deleted),
        left_out=tuple(left_out),
        git=str(folder / "git") if stake.whole_git else None,
        restore=(*ways, *_ways_back(work, prefix, stake, folder / TAR if saved else None)),
    )


def _uncommitted(work: Work, new: Path, stake: Stake) -> tuple[list[str], list[str]]:
    """(paths for the tar, deleted paths). The latter are a text file too."""
    worktree = Path(work.record.worktree)
    if stake.dirty is not None and not (stake.dirty or stake.besides):
        return [], []
    listed = _all_files(work, new) if stake.dirty is None else stake.dirty
    found = {path.rstrip("/") for path in (*listed, *stake.besides)}
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
            hint=_way_to_room(work),
        )
    return there, gone


def _staged(work: Work, new: Path, stake: Stake) -> list[Place]:
    """What only the index of the worktree holds."""
    if not stake.dirty or stake.begun:
        return []
    index = new / "index"
    tree = refs.staged(work.git, Path(work.record.worktree), index)
    index.unlink(missing_ok=True)
    return [Place("staged", tree, None, counts=False)] if tree else []


def _all_files(work: Work, new: Path) -> list[str]:
    """What may be uncommitted, where git cannot tell."""
    index, head = new / "index", work.git.branch(work.record.branch)
    found = refs.all_files(work.git, Path(work.record.worktree), head, index)
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
    record, commands, taken = work.record, [], set[str]()
    for place in stake.places:
        kind = "branch" if place.commit else "tag"
        own = re.sub("^inside[-/](heads/)?", "", place.name).replace("/", "-")
        wanted = record.branch if place.name == "head" else f"{record.id}-{own}"
        name = _free(work, "refs/heads" if place.commit else "refs/tags", wanted, taken)
        commands.append(f"git {kind} {shell_word(name)} {shell_word(f'{prefix}/{place.name}')}")
    if tar:
        where = record.worktree
        again = _up_again(work, stake)
        if again is None:  # its branch belongs to another by now
            where = f"{tar.parent}/files"
        commands.append(again or f"mkdir {shell_word(where)}")
        commands.append(f"tar -xf {shell_word(str(tar))} -C {shell_word(where)}")
    return commands


def _up_again(work: Work, stake: Stake) -> str | None:
    """The command that makes a worktree with the commit that the files were changed from; None
    where the branch is checked out elsewhere."""
    up, branch = f"treedock up {work.record.id}", work.record.branch
    if any(place.name == "head" for place in stake.places):
        return f"{up} --attach"  # the command before it makes the branch
    going = going_branch(work)
    if work.git.branch(branch) and not going:
        return None if holder(work) else f"{up} --attach"
    return f"{up} --base {going or _commit_of(work)}"


def _commit_of(work: Work) -> str:
    """The commit that the worktree is on, whose branch may have another name by now."""
    found = (w.head for w in work.git.worktrees() if str(w.path) == work.record.worktree)
    return next(filter(None, found), work.record.base_commit)


def _free(work: Work, where: str, wanted: str, taken: set[str]) -> str:
    """`wanted`, or the first of its kind that git has no ref of, nor one below it."""
    going = {f"refs/heads/{work.record.branch}"} if going_branch(work) else set()
    names = itertools.chain([wanted], (f"{wanted}-{n}" for n in itertools.count(2)))
    free = (n for n in names if n not in taken and not work.git.refs(f"{where}/{n}").keys() - going)
    name = next(free)
    taken.add(name)
    return name


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
