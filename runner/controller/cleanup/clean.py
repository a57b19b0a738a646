"""`clean`: remove what treedock made for an instance and nothing else, and never lose work.

Look, refuse; stop, look again; claim; archive; remove. The record goes last, so that the next
`clean` completes one that was killed.
"""

import contextlib
import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from runner.adapters.git import refs as keeping
from runner.adapters.store import locks
from runner.controller.cleanup import archive as archives
from runner.controller.cleanup import unsaved
from runner.controller.cleanup.archive import AtRisk
from runner.controller.cleanup.archive_writer import require_room, write
from runner.controller.data.database import snapshots_of
from runner.controller.instance.container import ensure_stopped
from runner.controller.instance.sidecars import remove_sidecars, require_sole_user, volumes_of
from runner.controller.lifecycle.down import halt
from runner.controller.operation import Operation
from runner.controller.project import Repository
from runner.controller.world import observe
from runner.domain.errors import GitFailed, Refused, RunnerError
from runner.domain.events import Emit, Warned
from runner.domain.frozen import dataclass
from runner.domain.instance.archive import Archive
from runner.domain.instance.record import check_id
from runner.domain.requests.cleanup import NAMED, Cleaned
from runner.domain.text import listed, sentences


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
    operation = Operation(repository, instance, emit, or_copied=True)
    operation.apart = True
    operation.together = together
    if _was_almost_done(operation):
        return _cleaned(operation, _traces(operation)) if dry_run else _finish(operation)
    repository.record(instance, or_copied=True)
    allowed = Force(force or force_dirty, force or force_unmerged, keep_ignored)
    with contextlib.ExitStack() as held:
        if allowed.everything and not dry_run:
            _require_halted(operation, held)
        else:
            held.enter_context(operation.locked())
            at_risk = _look(operation, allowed)
            if dry_run:
                going = _going_ignored(operation, at_risk)
                kept = _sentences(at_risk)
                return _cleaned(operation, _parts(operation), going, would_keep=kept)
        cleaned = _clear(operation, allowed)
    _expire(repository, cleaned.archives, emit)
    return cleaned


def _cleaned(
    operation: Operation,
    removed: Sequence[str],
    ignored: Sequence[str] = (),
    *,
    archives: Sequence[Archive] = (),
    would_keep: Sequence[str] = (),
) -> Cleaned:
    return Cleaned(
        operation.id, [*removed], [*archives], [*would_keep], [*ignored[:NAMED]], len(ignored)
    )


def _require_halted(operation: Operation, held: contextlib.ExitStack) -> None:
    """Stop the instance and have `held` keep its lock. Raises why that is impossible."""
    problem = halt(operation, held).problem
    if problem:
        raise problem


def _was_almost_done(operation: Operation) -> bool:
    """Whether a clean was cut off when only traces were left."""
    records, id_ = operation.records, check_id(operation.id)
    if id_ in records.ids() or locks.is_held(records.lock(id_)):
        return False
    return records.lock(id_).exists() or bool(records.trash_of(id_))


def _finish(operation: Operation) -> Cleaned:
    with operation.locked():  # which removes the lock in the end
        removed = _traces(operation)
        operation.records.empty_trash(operation.id)
    last = archives.last_of(operation.repository, operation.id)
    return _cleaned(operation, removed, archives=(last,) if last else ())


def _traces(operation: Operation) -> list[str]:
    """What a clean that was cut off at its very end has left."""
    folders = [f"folder {path}" for path in operation.records.trash_of(operation.id)]
    return folders or [f"lock {operation.records.lock(operation.id)}"]


def retire(operation: Operation) -> list[str]:
    """Remove an instance whose work has landed; returns what was removed. The caller holds the
    instance's lock.

    Nothing is refused: what turns out not to be in base is put into the archive, and said.
    """
    operation.apart = True
    cleaned = _clear(operation, Force(dirty=True, unmerged=True))
    for archive in cleaned.archives:
        if archive.holds_work:
            operation.say(f"what is not in base is kept in {archive.folder}")
        for command in archive.restore:
            operation.say(f"get it back with: {command}")
    return cleaned.removed


def _clear(operation: Operation, force: Force) -> Cleaned:
    require_sole_user(operation)
    ensure_stopped(operation)
    before, was = archives.begun(operation), operation.record
    at_risk = _claim(
        operation, force, _look(operation, force), before
    )  # it may have written meanwhile
    kept = [before] if before else []
    if at_risk or not before:
        try:
            with operation.step("archiving"):
                kept.append(write(operation, at_risk))
        except Refused as error:
            if at_risk:
                with contextlib.suppress(OSError):
                    operation.save(was)
                raise
            logs = "Only logs would be in it, so it goes on."
            operation.warn(sentences(error.message, error.hint, logs))
    removed, ignored = _parts(operation), _going_ignored(operation, at_risk)
    _remove(operation, kept)
    return _cleaned(operation, removed, ignored, archives=kept)


def _look(operation: Operation, force: Force) -> AtRisk:
    """What is at stake. Raises Refused, and its kinds, for what is not forced."""
    before, begun = archives.begun(operation), archives.has_begun(operation)
    error = None if before and before.git else unsaved.bring_out(operation)
    if not force.unmerged:
        unsaved.require_synced(operation, error)
    dirty = _uncommitted(operation, force, before, begun=begun)
    if not force.dirty:
        way_out = (
            f"Commit them in {operation.record.worktree}, or have them put aside: "
            f"treedock clean {operation.id} --force-dirty"
        )
        unsaved.require_committed(operation, dirty or [], way_out)
    inner, copies = unsaved.inner_repositories(operation), unsaved.edited_copies(operation)
    kept = _ignored(operation, inner) if force.ignored else []
    if before:
        inner, copies, kept = (
            archives.unsaved(operation, before, p) for p in (inner, copies, kept)
        )
    if not force.dirty:
        unsaved.require_no_repositories(operation, inner)
    require_room(operation, kept)
    places = _places(operation, force, before)
    return AtRisk(dirty, places, error is not None, begun, copies, inner, kept)


def _ignored(operation: Operation, inner: Sequence[str]) -> list[str]:
    """Ignored files outside these repositories, which are kept as they are."""
    try:
        found = unsaved.ignored(operation)
    except (Refused, GitFailed):  # as for what is uncommitted
        return []
    whole = tuple(f"{path}/" for path in inner)
    return [path for path in found if not path.startswith(whole)]


def _going_ignored(operation: Operation, at_risk: AtRisk) -> list[str]:
    """Ignored files that no archive gets; where git could not tell what is uncommitted, none is
    named."""
    if at_risk.dirty is None:
        return []
    kept = set(at_risk.ignored)
    return [path for path in _ignored(operation, at_risk.inner) if path not in kept]


def _uncommitted(
    operation: Operation, force: Force, before: Archive | None, *, begun: bool
) -> list[str] | None:
    try:
        dirty = unsaved.uncommitted(operation, begun=begun)
    except (Refused, GitFailed):  # a .git file that is not genuine, a broken index
        if force.dirty:
            return None
        raise
    return archives.unsaved(operation, before, dirty) if before else dirty


def _places(operation: Operation, force: Force, before: Archive | None) -> list[unsaved.Place]:
    archive = before.prefix if before else None
    world = observe(operation.repository, ask_engine=False)
    found = unsaved.places(operation, world, archive=archive)
    if not force.unmerged:
        unsaved.require_merged(operation, world, found, archive=archive)
    return found


def _claim(operation: Operation, force: Force, at_risk: AtRisk, before: Archive | None) -> AtRisk:
    """From here on its branch holds nothing for anybody: of two instances that hold the same
    commits, and are cleaned together, the second finds them to be nowhere else."""
    with operation.repository.locked():
        at_risk = replace(at_risk, places=_places(operation, force, before))
        if at_risk or not before:
            if not before:
                archives.forget_unfinished(operation)
            with contextlib.suppress(OSError):  # on a full disk cleaning is the way out
                operation.change(cleaning=True, archive=archives.new_name(operation))
    return at_risk


def _parts(operation: Operation) -> list[str]:
    record, world = operation.record, observe(operation.repository)
    if world.silent:
        raise world.silent
    parts = [f"container {one.name}" for one in world.of(operation.id)]
    parts += [f"volume {name}" for name in volumes_of(operation)]
    named = [snapshot.name for snapshot in snapshots_of(operation, operation.id)]
    if named:
        parts.append(f"the snapshots of its database: {', '.join(named)}")
    if operation.git.owns(Path(record.worktree)):
        parts.append(f"worktree {record.worktree}")
    if world.doomed_branch(operation.id):
        parts.append(f"branch {record.git.branch}")
    return [*parts, f"record {operation.records.folder(operation.id)}"]


def _sentences(at_risk: AtRisk) -> list[str]:
    """What an archive would hold, for people."""
    said = []
    if at_risk.places:
        said.append(f"commits that no other branch holds, of {len(at_risk.places)} refs")
    if at_risk.dirty is None or at_risk.dirty:
        said.append(f"uncommitted changes in {len(at_risk.dirty or ()) or 'some'} files")
    if at_risk.copies:
        said.append(f"edits of its own in {listed(at_risk.copies)}")
    if at_risk.inner:
        said.append(f"repositories of its own: {listed(at_risk.inner)}")
    if at_risk.ignored:
        said.append(f"{len(at_risk.ignored)} ignored files")
    if at_risk.whole_git:
        said.append("its own git directory")
    return said


def _remove(operation: Operation, kept: list[Archive]) -> None:
    """In this order, so that the record is there until everything else is gone."""
    record = operation.record
    with operation.step("removing the container"):
        container = operation.container()
        if container:
            operation.engine.remove(container.id)
        remove_sidecars(operation)
    for archive in kept:
        archives.keep_git(operation, archive)
    with operation.step("removing the worktree"), operation.repository.locked():
        branch = f"refs/heads/{record.git.branch}"
        world = observe(operation.repository, ask_engine=False)
        refs = operation.git.refs(branch, operation.names.refs)
        if not world.doomed_branch(operation.id):
            refs.pop(branch, None)
        operation.git.remove_worktree(Path(record.worktree))
        for folder in {record.worktree, str(operation.repository.here_of(record))}:
            if os.path.lexists(folder):
                operation.warn(f"the folder {folder} stays: it is no worktree of this repository")
        if record.git.created_branch and (holder := world.holder(operation.id)):
            operation.warn(f"the branch {record.git.branch} stays: it is checked out in {holder}")
        keeping.drop(operation.git, refs)
    operation.records.remove(operation.id)


def _expire(repository: Repository, new: list[Archive], emit: Emit) -> None:
    """What is too old goes; that this fails is nothing that keeps anybody from cleaning."""
    try:
        archives.expire(repository, new)
    except (RunnerError, OSError) as error:
        emit(Warned(sentences("old archives could not be removed:", str(error))))
