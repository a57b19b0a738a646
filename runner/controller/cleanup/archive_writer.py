"""Writing the archive of an instance: whole or not at all, and before anything is removed."""

import contextlib
import errno
import itertools
import json
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from runner.adapters.failpoints import step
from runner.adapters.files import disk, tarball, untrusted
from runner.adapters.git import refs
from runner.adapters.store import stored
from runner.adapters.store.run_folder import RunFolder
from runner.controller.cleanup.archive import (
    MANIFEST,
    AtRisk,
    forget_unfinished,
    new_name,
    root_of,
)
from runner.controller.cleanup.kept_git import make_readable
from runner.controller.cleanup.unsaved import Place
from runner.controller.operation import Operation
from runner.controller.world import observe
from runner.domain.errors import Refused, RunnerError, unavailable
from runner.domain.instance.archive import ARCHIVE, Archive
from runner.domain.text import sentences, shell_word

LOGS = 16 * untrusted.LOG  # bytes of all logs together
TAR = "uncommitted.tar"


def write(operation: Operation, at_risk: AtRisk) -> Archive:
    """Make the archive, on disk for good when this returns. Raises Refused where that is
    impossible; nothing of it is left then."""
    root, name = root_of(operation.repository), operation.record.archive or new_name(operation)
    new = root / f".new-{operation.id}"
    try:
        disk.remove_tree(new)
        new.mkdir(parents=True)
        archive = _fill(operation, name, new, at_risk)
        stored.write(new / MANIFEST, archive)
        _see_on_disk(new / "logs", new)
        new.rename(root / name)
        step("archive the instance")
        _see_on_disk(root)
    except (OSError, RunnerError) as error:
        why = unavailable(error) if isinstance(error, OSError) else error
        full = isinstance(error, OSError) and error.errno == errno.ENOSPC
        _give_up(operation, new, root / name)
        raise Refused(
            sentences(f"{operation.id} cannot be archived, so nothing was removed:", why.message),
            hint=_way_to_room(operation) if full else why.hint,
        ) from error
    return archive


def _way_to_room(operation: Operation) -> str:
    """The way out of a full disk."""
    worktree = operation.record.worktree
    # Without that option it writes its index, for which there is no room.
    shown = f"git --no-optional-locks -C {worktree} status --ignored"
    return (
        f"Delete what you do not need in {worktree} ({shown} lists it), or free some space; "
        "then run the same command again."
    )


def require_room(operation: Operation, ignored: Sequence[str]) -> None:
    """Raises Refused where these ignored files are more than limits.archive."""
    if not ignored:
        return
    needed, most = (
        tarball.size(Path(operation.record.worktree), ignored),
        operation.limits.archive,
    )
    if needed > most:
        raise Refused(
            f"The ignored files of {operation.id} have {needed} bytes, and limits.archive is "
            f"{most}.",
            hint="Raise it in treedock.yaml, delete what is not needed, or leave out "
            "--keep-ignored.",
        )


def _fill(operation: Operation, name: str, new: Path, at_risk: AtRisk) -> Archive:
    record, folder = operation.record, root_of(operation.repository) / name
    _copy_logs(operation, new)
    saved, deleted = _uncommitted(operation, new, at_risk)
    at_risk = replace(at_risk, places=[*at_risk.places, *_staged(operation, new, at_risk)])
    omitted = tarball.write(new / TAR, Path(record.worktree), saved) if saved else []
    prefix = f"{ARCHIVE}/{name}"
    wanted = {place.name: place.id for place in at_risk.places}
    if at_risk.whole_git:  # it borrows objects that nothing else may hold
        own = refs.below(operation.git, operation.names.refs)
        wanted = {ref.name: ref.id for ref in own} | wanted
    with operation.repository.locked():
        refs.put(operation.git, prefix, wanted)
    until = datetime.now(UTC) + timedelta(days=operation.limits.archive_days)
    ways = make_readable(operation, new, folder) if at_risk.whole_git else []
    return Archive(
        name=name,
        folder=str(folder),
        until=f"{until:%Y-%m-%d}",
        refs={f"{prefix}/{ref}": id_ for ref, id_ in wanted.items()},
        tar=str(folder / TAR) if saved else None,
        deleted=tuple(deleted),
        omitted=tuple(omitted),
        git=str(folder / "git") if at_risk.whole_git else None,
        restore=(*ways, *_ways_back(operation, prefix, at_risk, folder / TAR if saved else None)),
    )


def _uncommitted(operation: Operation, new: Path, at_risk: AtRisk) -> tuple[list[str], list[str]]:
    """(paths for the tar, deleted paths). The latter are a text file too."""
    worktree = Path(operation.record.worktree)
    if at_risk.dirty is not None and not (at_risk.dirty or at_risk.besides):
        return [], []
    listed = _all_files(operation, new) if at_risk.dirty is None else at_risk.dirty
    found = {path.rstrip("/") for path in (*listed, *at_risk.besides)}
    there = sorted(path for path in found if os.path.lexists(worktree / path))
    gone = [] if at_risk.begun else sorted(found - set(there))
    if gone:
        text = "".join(f"{_line(path)}\n" for path in gone)
        disk.write_atomically(new / "deleted.txt", os.fsencode(text))
    free = disk.free_bytes(new)
    needed = tarball.size(worktree, there)
    if needed > free:
        raise Refused(
            f"its uncommitted files have {needed} bytes, and {free} are free on this disk.",
            hint=_way_to_room(operation),
        )
    return there, gone


def _staged(operation: Operation, new: Path, at_risk: AtRisk) -> list[Place]:
    """What only the index of the worktree holds."""
    if not at_risk.dirty or at_risk.begun:
        return []
    index = new / "index"
    tree = refs.staged(operation.git, Path(operation.record.worktree), index)
    index.unlink(missing_ok=True)
    return [Place("staged", tree, None, counts=False)] if tree else []


def _all_files(operation: Operation, new: Path) -> list[str]:
    """What may be uncommitted, where git cannot tell."""
    index, head = new / "index", operation.git.branch(operation.record.git.branch)
    found = refs.all_files(operation.git, Path(operation.record.worktree), head, index)
    index.unlink()
    return found


def _copy_logs(operation: Operation, new: Path) -> None:
    """Bounded, and of regular files only: code inside can write all of the run folder."""
    folder = operation.folder
    for path in (folder.record, folder.events):
        _copy_end(path, new / path.name, untrusted.LOG)
    (new / "logs").mkdir()
    left = LOGS
    for source in RunFolder(folder.run).log_files(operation.record.services):
        left -= _copy_end(source, new / "logs" / source.name, min(untrusted.LOG, left))


def _copy_end(source: Path, target: Path, bound: int) -> int:
    """Copy the last `bound` bytes of a file that a container could write; returns how many."""
    data = untrusted.end(source, bound)
    if data is None:
        return 0
    disk.write_atomically(target, data)
    return len(data)


def _ways_back(operation: Operation, prefix: str, at_risk: AtRisk, tar: Path | None) -> list[str]:
    """The commands that bring it back, in their order."""
    record, commands, taken = operation.record, [], set[str]()
    for place in at_risk.places:
        kind = "branch" if place.commit else "tag"
        own = re.sub("^inside[-/](heads/)?", "", place.name).replace("/", "-")
        wanted = record.git.branch if place.name == "head" else f"{record.id}-{own}"
        name = _free(operation, "refs/heads" if place.commit else "refs/tags", wanted, taken)
        commands.append(f"git {kind} {shell_word(name)} {shell_word(f'{prefix}/{place.name}')}")
    if tar:
        where = record.worktree
        again = _up_again(operation, at_risk)
        if again is None:  # its branch belongs to another by now
            where = f"{tar.parent}/files"
        commands.append(again or f"mkdir {shell_word(where)}")
        commands.append(f"tar -xf {shell_word(str(tar))} -C {shell_word(where)}")
    return commands


def _up_again(operation: Operation, at_risk: AtRisk) -> str | None:
    """The command that makes a worktree with the commit that the files were changed from; None
    where the branch is checked out elsewhere."""
    up, branch = f"treedock up {operation.record.id}", operation.record.git.branch
    if any(place.name == "head" for place in at_risk.places):
        return f"{up} --attach"  # the command before it makes the branch
    world = observe(operation.repository, ask_engine=False)
    going = world.doomed_branch(operation.id)
    if operation.git.branch(branch) and not going:
        return None if world.holder(operation.id) else f"{up} --attach"
    return f"{up} --base {going or _commit_of(operation)}"


def _commit_of(operation: Operation) -> str:
    """The commit that the worktree is on, whose branch may have another name by now."""
    git, record = operation.git, operation.record
    own = next((w for w in git.worktrees() if str(w.path) == record.worktree), None)
    commit = own and (own.detached or (own.branch and git.branch(own.branch)))
    return commit or record.git.base_commit


def _free(operation: Operation, where: str, wanted: str, taken: set[str]) -> str:
    """`wanted`, or the first of its kind that git has no ref of, nor one below it."""
    doomed = observe(operation.repository, ask_engine=False).doomed_branch(operation.id)
    going = {f"refs/heads/{operation.record.git.branch}"} if doomed else set()
    names = itertools.chain([wanted], (f"{wanted}-{n}" for n in itertools.count(2)))
    free = (
        n for n in names if n not in taken and not operation.git.refs(f"{where}/{n}").keys() - going
    )
    name = next(free)
    taken.add(name)
    return name


def _give_up(operation: Operation, *folders: Path) -> None:
    with contextlib.suppress(OSError, RunnerError):
        for folder in folders:
            disk.remove_tree(folder)
    with contextlib.suppress(OSError, RunnerError), operation.repository.locked():
        forget_unfinished(operation)


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
