"""`clean`: remove what treedock made for an instance and nothing else, and never lose work.

Look, refuse; stop, look again; claim; archive; remove. The record goes last, so that the next
`clean` completes one that was killed.
"""

import contextlib
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from runner.adapters.git import refs as keeping
from runner.adapters.store import locks
from runner.controller.cleanup import archive as archives
from runner.controller.cleanup import unsaved
from runner.controller.cleanup.archive import Archive, Stake
from runner.controller.cleanup.archive_writer import require_room, write
from runner.controller.cleanup.unsaved import going_branch
from runner.controller.data.database import snapshots_of
from runner.controller.instance.container import ensure_stopped
from runner.controller.instance.private_git import kept_ref
from runner.controller.instance.sidecars import remove_sidecars, require_nobody_else, volumes_of
from runner.controller.lifecycle.down import halt
from runner.controller.operation import Work
from runner.controller.project import Repository
from runner.domain.errors import GitFailed, Refused, RunnerError
from runner.domain.events import Emit, Warned
from runner.domain.instance.record import check_id
from runner.domain.text import listed, sentences


@dataclass(frozen=True)
class Cleaned:
    """What was removed, or with `dry_run` would be: sentences such as 'worktree /.../auth'.

    `archives` is what stays of it: one, and that of an earlier `clean` that was cut off; none
    where the disk is full and only logs would be in it. `would_keep` says for a dry run what
    would be in it beside the logs.
    """

    id: str
    removed: list[str]
    archives: list[Archive] = field(default_factory=list)
    would_keep: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    """Ignored files that went with the worktree and are in no archive; a folder that is a
    repository is one, with a '/'."""


@dataclass(frozen=True)
class Force:
    """What may be put aside, instead of being a reason to refuse; with `ignored` also what would
    be none."""

    dirty: bool = False
    unmerged: bool = False
    ignored: bool = False

    @property
    def everything(self) -> bool:
        """Whether nothing that a look could find is a reason to refuse."""
        return self.dirty and self.unmerged


def clean(
    repository: Repository,
    instance: str,
    emit: Emit,
    *,
    force: bool = False,
    force_dirty: bool = False,
    force_unmerged: bool = False,
    keep_ignored: bool = False,
    dry_run: bool = False,
    together: Collection[str] = (),
) -> Cleaned:
    """Remove container, worktree, branch and record of an instance. `force` is both kinds of it;
    `keep_ignored` puts ignored files into the archive too, up to limits.archive.

    All or nothing: raises UncommittedChanges, UnmergedCommits or Refused first, naming what would
    be lost; what is forced away stays in the archive. A dry run syncs, and touches nothing else.
    With everything forced the instance is stopped first, under another operation too. The
    branches of the instances that go `together` hold nothing for each other.
    """
    work = Work(repository, instance, emit, or_copied=True)
    work.apart = True
    work.together = together
    if _was_almost_done(work):
        return Cleaned(instance, _traces(work)) if dry_run else _finish(work)
    repository.record(instance, or_copied=True)
    allowed = Force(force or force_dirty, force or force_unmerged, keep_ignored)
    with contextlib.ExitStack() as held:
        if allowed.everything and not dry_run:
            _require_halted(work, held)
        else:
            held.enter_context(work.locked())
            stake = _look(work, allowed)
            if dry_run:
                going = _going_ignored(work, stake)
                kept = _sentences(stake)
                return Cleaned(instance, _parts(work), would_keep=kept, ignored=going)
        cleaned = _clear(work, allowed)
    _expire(repository, cleaned.archives, emit)
    return cleaned


def _require_halted(work: Work, held: contextlib.ExitStack) -> None:
    """Stop the instance and have `held` keep its lock. Raises why that is impossible."""
    problem = halt(work, held).problem
    if problem:
        raise problem


def _was_almost_done(work: Work) -> bool:
    """Whether a clean was cut off when only traces were left."""
    records, id_ = work.records, check_id(work.id)
    if id_ in records.ids() or locks.is_held(records.lock(id_)):
        return False
    return records.lock(id_).exists() or bool(records.trash_of(id_))


def _finish(work: Work) -> Cleaned:
    with work.locked():  # which removes the lock in the end
        removed = _traces(work)
        work.records.empty_trash(work.id)
    last = archives.last_of(work.repository, work.id)
    return Cleaned(work.id, removed, [last] if last else [])


def _traces(work: Work) -> list[str]:
    """What a clean that was cut off at its very end has left."""
    folders = [f"folder {path}" for path in work.records.trash_of(work.id)]
    return folders or [f"lock {work.records.lock(work.id)}"]


def retire(work: Work) -> list[str]:
    """Remove an instance whose work has landed; returns what was removed. The caller holds the
    instance's lock.

    Nothing is refused: what turns out not to be in base is put into the archive, and said.
    """
    work.apart = True
    cleaned = _clear(work, Force(dirty=True, unmerged=True))
    for archive in cleaned.archives:
        if archive.holds_work:
            work.say(f"what is not in base is kept in {archive.folder}")
        for command in archive.restore:
            work.say(f"get it back with: {command}")
    return cleaned.removed


def _clear(work: Work, force: Force) -> Cleaned:
    require_nobody_else(work)
    ensure_stopped(work)
    before, was = archives.begun(work), work.record
    stake = _claim(work, force, _look(work, force), before)  # it may have written meanwhile
    kept = [before] if before else []
    if stake or not before:
        try:
            with work.step("archiving"):
                kept.append(write(work, stake))
        except Refused as error:
            if stake:
                with contextlib.suppress(OSError):
                    work.save(was)
                raise
            logs = "Only logs would be in it, so it goes on."
            work.warn(sentences(error.message, error.hint, logs))
    removed, ignored = _parts(work), _going_ignored(work, stake)
    _remove(work, kept)
    return Cleaned(work.id, removed, kept, ignored=ignored)


def _look(work: Work, force: Force) -> Stake:
    """What is at stake. Raises Refused, and its kinds, for what is not forced."""
    before, begun = archives.begun(work), archives.has_begun(work)
    error = None if before and before.git else unsaved.bring_out(work)
    if not force.unmerged:
        unsaved.require_synced(work, error)
    dirty = _uncommitted(work, force, before, begun=begun)
    if not force.dirty:
        unsaved.require_committed(work, dirty or [])
    inner, copies = unsaved.inner_repositories(work), unsaved.edited_copies(work)
    kept = _ignored(work, inner) if force.ignored else []
    if before:
        inner, copies, kept = (archives.unsaved(work, before, p) for p in (inner, copies, kept))
    if not force.dirty:
        unsaved.require_no_repositories(work, inner)
    require_room(work, kept)
    places = _places(work, force, before)
    return Stake(dirty, places, error is not None, begun, copies, inner, kept)


def _ignored(work: Work, inner: Sequence[str]) -> list[str]:
    """Ignored files outside these repositories, which are kept as they are."""
    try:
        found = unsaved.ignored(work)
    except (Refused, GitFailed):  # as for what is uncommitted
        return []
    whole = tuple(f"{path}/" for path in inner)
    return [path for path in found if not path.startswith(whole)]


def _going_ignored(work: Work, stake: Stake) -> list[str]:
    """Ignored files that no archive gets; where git could not tell what is uncommitted, none is
    named."""
    if stake.dirty is None:
        return []
    kept = set(stake.ignored)
    return [path for path in _ignored(work, stake.inner) if path not in kept]


def _uncommitted(
    work: Work, force: Force, before: Archive | None, *, begun: bool
) -> list[str] | None:
    try:
        dirty = unsaved.uncommitted(work, begun=begun)
    except (Refused, GitFailed):  # a .git file that is not genuine, a broken index
        if force.dirty:
            return None
        raise
    return archives.unsaved(work, before, dirty) if before else dirty


def _places(work: Work, force: Force, before: Archive | None) -> list[unsaved.Place]:
    found = unsaved.places(work, archive=before.prefix if before else None)
    if not force.unmerged:
        unsaved.require_merged(work, found, archive=before.prefix if before else None)
    return found


def _claim(work: Work, force: Force, stake: Stake, before: Archive | None) -> Stake:
    """From here on its branch holds nothing for anybody: of two instances that hold the same
    commits, and are cleaned together, the second finds them to be nowhere else."""
    with work.repository_locked():
        stake = replace(stake, places=_places(work, force, before))
        if stake or not before:
            if not before:
                archives.forget_unfinished(work)
            with contextlib.suppress(OSError):  # on a full disk cleaning is the way out
                work.change(cleaning=True, archive=archives.new_name(work))
    return stake


def _parts(work: Work) -> list[str]:
    record = work.record
    parts = []
    container = work.container()
    if container:
        parts.append(f"container {container.name}")
    parts += [f"container {sidecar.name}" for sidecar in work.sidecars().values()]
    parts += [f"volume {name}" for name in volumes_of(work)]
    named = [snapshot.name for snapshot in snapshots_of(work, work.id)]
    if named:
        parts.append(f"the snapshots of its database: {', '.join(named)}")
    if work.git.owns(Path(record.worktree)):
        parts.append(f"worktree {record.worktree}")
    if going_branch(work):
        parts.append(f"branch {record.branch}")
    return [*parts, f"record {work.records.folder(work.id)}"]


def _sentences(stake: Stake) -> list[str]:
    """What an archive would hold, for people."""
    said = []
    if stake.places:
        said.append(f"commits that no other branch holds, of {len(stake.places)} refs")
    if stake.dirty is None or stake.dirty:
        said.append(f"uncommitted changes in {len(stake.dirty or ()) or 'some'} files")
    if stake.copies:
        said.append(f"edits of its own in {listed(stake.copies)}")
    if stake.inner:
        said.append(f"repositories of its own: {listed(stake.inner)}")
    if stake.ignored:
        said.append(f"{len(stake.ignored)} ignored files")
    if stake.whole_git:
        said.append("its own git directory")
    return said


def _remove(work: Work, kept: list[Archive]) -> None:
    """In this order, so that the record is there until everything else is gone."""
    record = work.record
    with work.step("removing the container"):
        container = work.container()
        if container:
            work.engine.remove(container.id)
        remove_sidecars(work)
    for archive in kept:
        archives.keep_git(work, archive)
    with work.step("removing the worktree"), work.repository_locked():
        refs = work.git.refs(kept_ref(work, "")[:-1])
        branch, holder = going_branch(work), unsaved.holder(work)
        if branch:
            refs[f"refs/heads/{record.branch}"] = branch
        work.git.remove_worktree(Path(record.worktree))
        for folder in {record.worktree, str(work.repository.here_of(record))}:
            if os.path.lexists(folder):
                work.warn(f"the folder {folder} stays: it is no worktree of this repository")
        if holder and record.created_branch:
            work.warn(f"the branch {record.branch} stays: it is checked out in {holder}")
        keeping.drop(work.git, refs)
    work.records.remove(work.id)


def _expire(repository: Repository, new: list[Archive], emit: Emit) -> None:
    """What is too old goes; that this fails is nothing that keeps anybody from cleaning."""
    try:
        archives.expire(repository, new)
    except (RunnerError, OSError) as error:
        emit(Warned("", sentences("old archives could not be removed:", str(error))))
