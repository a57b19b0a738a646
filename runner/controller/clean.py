"""`clean`: remove what treedock made for an instance and nothing else, and never lose work."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from runner.controller.containers import ensure_stopped
from runner.controller.opening import Repository
from runner.controller.work import Work
from runner.domain.errors import UncommittedChanges, UnmergedCommits
from runner.domain.events import Emit

NAMED = 10  # paths or commits that an error names before it counts the rest


@dataclass(frozen=True)
class Cleaned:
    """What was removed, or with `dry_run` would be: sentences such as 'worktree /.../auth'."""

    id: str
    removed: list[str]


def clean(
    repository: Repository,
    instance: str,
    emit: Emit,
    *,
    force: bool = False,
    dry_run: bool = False,
) -> Cleaned:
    """Remove container, worktree, branch and record of an instance.

    All or nothing: raises UncommittedChanges or UnmergedCommits first, naming what would be lost.
    A `clean` that was killed is completed by the next one.
    """
    repository.record(instance)
    work = Work(repository, instance, emit)
    with work.locked():
        if not force:
            _require_nothing_lost(work)
        if dry_run:
            return Cleaned(instance, _parts(work))
        if not force and ensure_stopped(work):
            _require_nothing_lost(work)  # it may have written something meanwhile
        removed = _parts(work)
        with contextlib.suppress(OSError):  # on a full disk cleaning is the way out
            work.change(cleaning=True)
        _remove(work)
        return Cleaned(instance, removed)


def _require_nothing_lost(work: Work) -> None:
    _require_committed(work)
    _require_commits_elsewhere(work)


def _require_committed(work: Work) -> None:
    worktree = Path(work.record.worktree)
    if not worktree.is_dir() or not work.record.checked_out:
        return
    dirty = work.git.dirty(worktree)
    if work.record.cleaning:  # one that was cut off has deleted files; what is there may be new
        dirty = [path for path in dirty if os.path.lexists(worktree / path)]
    if dirty:
        raise UncommittedChanges(
            f"{work.id} has uncommitted changes: {_named(dirty)}.",
            hint=f"Commit them in {worktree}, or lose them with: treedock clean {work.id} --force",
        )


def _require_commits_elsewhere(work: Work) -> None:
    record, git = work.record, work.git
    for commit in _heads(work):
        lost = git.commits_only_at(commit, besides=record.branch)
        if lost and not any(git.is_integrated(commit, base) for base in _bases(work)):
            short = [f"{commit[:10]} {git.subject(commit)}" for commit in lost[:NAMED]]
            count = "a commit" if len(lost) == 1 else f"{len(lost)} commits"
            raise UnmergedCommits(
                f"{work.id} has {count} that no other branch holds: {_named(short, len(lost))}.",
                hint=f"Merge or push {record.branch}, or lose them with: "
                f"treedock clean {work.id} --force",
            )


def _heads(work: Work) -> list[str]:
    """What clean would make unreachable: the branch it deletes, and HEAD where that is detached.
    A branch that was there before, or another one checked out in the worktree, stays."""
    record, heads = work.record, []
    branch = work.git.branch(record.branch)
    if record.created_branch and branch:
        heads.append(branch)
    for worktree in work.git.worktrees():
        if str(worktree.path) == record.worktree and worktree.branch is None and worktree.head:
            heads.append(worktree.head)
    return heads


def _bases(work: Work) -> list[str]:
    """Base here and base at the origin, as far as they exist: a squash merge may be in either."""
    name = work.record.base
    found = (work.git.commit(f"{where}/{name}") for where in ("refs/heads", "refs/remotes/origin"))
    return [commit for commit in found if commit]


def _parts(work: Work) -> list[str]:
    record = work.record
    parts = []
    container = work.container()
    if container:
        parts.append(f"container {container.name}")
    if Path(record.worktree).exists():
        parts.append(f"worktree {record.worktree}")
    if record.created_branch and work.git.branch(record.branch) and not _holder(work):
        parts.append(f"branch {record.branch}")
    return [*parts, f"record {work.records.folder(work.id)}"]


def _remove(work: Work) -> None:
    """In this order, so that the record is there until everything else is gone."""
    record = work.record
    with work.step("removing the container"):
        container = work.container()
        if container:
            work.engine.remove(container.id)
    with work.step("removing the worktree"), work.repository_locked():
        work.git.remove_worktree(Path(record.worktree))
        branch = work.git.branch(record.branch)
        if record.created_branch and branch:
            _delete_branch(work, branch)
    work.records.remove(work.id)


def _delete_branch(work: Work, commit: str) -> None:
    record = work.record
    holder = _holder(work)
    if holder:
        work.warn(f"the branch {record.branch} stays: it is checked out in {holder}")
    else:
        work.git.delete_branch(record.branch, commit)


def _holder(work: Work) -> Path | None:
    """Another worktree in which the instance's branch is checked out."""
    record = work.record
    found = (w.path for w in work.git.worktrees() if w.branch == record.branch)
    return next((path for path in found if str(path) != record.worktree), None)


def _named(names: list[str], count: int | None = None) -> str:
    rest = (count or len(names)) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def retire(work: Work) -> list[str]:
    """Remove an instance whose work has landed, without the checks. Returns what was removed."""
    removed = _parts(work)
    work.change(cleaning=True)
    _remove(work)
    kept = work.git.refs(f"refs/treedock/{work.id}")
    with work.repository_locked():
        work.git.update_refs({name: (None, commit) for name, commit in kept.items()})
    return removed
