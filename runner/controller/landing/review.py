"""`review`: what an instance's branch brings, what lies uncommitted beside it, and which of its
files people or tools run on this machine later."""

from pathlib import Path

from runner.adapters.git import diffs
from runner.adapters.git.repository import Git
from runner.controller.operation import Operation
from runner.controller.project import Repository
from runner.controller.sync.sync import Looked, sync
from runner.domain.errors import GitFailed, NotFound, Unavailable
from runner.domain.events import Emit
from runner.domain.landing import flagged
from runner.domain.landing.changes import Change
from runner.domain.landing.review import Flag, Review, Uncommitted
from runner.domain.text import printable, sentences


def review(repository: Repository, instance: str, emit: Emit, *, patches: bool = True) -> Review:
    """Look at an instance's branch, after bringing its commits out. Changes nothing else.

    `patches`: with the texts of the diffs. Raises NotFound without instance, branch or base, and
    what `sync` refuses; an engine that does not answer is a warning.
    """
    repository.record(instance)
    operation = Operation(repository, instance, emit)
    head, synced = _newest_head(operation)
    base = base_commit(operation)
    git, record = repository.git, operation.record
    fork = git.fork_point(base, head)
    if fork is None:
        operation.warn(
            f"{record.git.branch} and {record.git.base} share no history; all of it is shown"
        )
    start = fork or diffs.empty_tree(git)
    ahead, behind = git.ahead_behind(head, base)
    files = diffs.changes(git, start, head)
    uncommitted = _uncommitted(operation, patches=patches)
    return Review(
        id=record.id,
        branch=record.git.branch,
        base=record.git.base,
        base_commit=base,
        head=head,
        fork=fork,
        synced=synced,
        ahead=ahead,
        behind=behind,
        commits=diffs.commits(git, base, head),
        files=files,
        flagged=[*flags(git, files), *_uncommitted_flags(operation, uncommitted)],
        diff=diffs.patch(git, start, head) if patches else None,
        uncommitted=uncommitted,
    )


def base_commit(operation: Operation) -> str:
    """Today's commit of the record's base. Raises NotFound where that branch is gone."""
    found = operation.git.newest(operation.record.git.base)[0]
    if found is None:
        raise NotFound(
            f"{operation.id} started from {operation.record.git.base}, and there is no such branch "
            "any more.",
            hint=f"Make it again: git branch {operation.record.git.base} "
            f"{operation.record.git.base_commit[:10]}",
        )
    return found


def warn_of_flagged(operation: Operation, base: str, commit: str) -> None:
    """Name what it changes of files that people, tools or a host's CI run later."""
    start = operation.git.fork_point(base, commit) or diffs.empty_tree(operation.git)
    for flag in flags(operation.git, diffs.changes(operation.git, start, commit)):
        operation.warn(f"it changes {printable(flag.path)}: {flag.reason}")


def flags(git: Git, files: list[Change]) -> list[Flag]:
    """Which of these changes people or tools run on this machine later. Merge previews show them
    as well."""
    asked = [
        change
        for change in files
        if flagged.reads_text(change.path, change.mode)
        or (change.was and flagged.reads_text(change.was, change.mode))
    ]
    # A submodule's id is a commit of another repository.
    blobs = [blob for c in asked if c.mode != flagged.SUBMODULE for blob in (c.old, c.new) if blob]
    texts = diffs.texts(git, blobs)
    found = []
    for change in files:
        old = texts.get(change.old) if change.old else ""
        new = texts.get(change.new) if change.new else ""
        reason = flagged.reason_of(change.path, mode=change.mode, old=old, new=new)
        if reason is None and change.was:  # it takes something away from there
            reason = flagged.reason_of(change.was, old=old, new="")
        if reason:
            found.append(Flag(change.path, reason, committed=True))
    return found


def _newest_head(operation: Operation) -> tuple[str, bool]:
    """(the branch's commit, whether the instance could be asked for it)."""
    try:
        with operation.locked():
            synced = sync(operation)
    except Unavailable as error:
        known = operation.git.branch(operation.record.git.branch)
        if known is None:
            raise
        missing = "what was committed inside since the last sync is not here:"
        operation.warn(sentences(missing, error.message))
        return known, False
    _say_what_lies_elsewhere(operation, synced)
    return synced.head, True


def _say_what_lies_elsewhere(operation: Operation, synced: Looked) -> None:
    inside = synced.inside
    if inside is None:
        return
    if inside.branch != operation.record.git.branch:
        where = inside.branch or f"no branch, at {(inside.detached or '?')[:10]}"
        operation.warn(f"inside, HEAD is on {where}; what is committed there is not in this review")
    if inside.busy:
        operation.warn(f"inside, a {inside.busy} is in progress")
    if inside.stash:
        count = "a stash" if len(inside.stash) == 1 else f"{len(inside.stash)} stashes"
        operation.say(f"inside there is {count} besides")


def _uncommitted(operation: Operation, *, patches: bool) -> Uncommitted | None:
    worktree = Path(operation.record.worktree)
    if not worktree.is_dir() or not operation.record.checked_out:
        return None
    try:
        found = diffs.uncommitted_files(operation.git, worktree)
    except GitFailed as error:  # the commits can be looked at all the same
        operation.warn(sentences("what is uncommitted cannot be seen:", error.message))
        return None
    try:
        diff = diffs.uncommitted_patch(operation.git, worktree, found) if patches else None
    except GitFailed as error:  # code inside may change files while git reads them
        operation.warn(sentences("the diff of what is uncommitted cannot be shown:", error.message))
        diff = None
    return Uncommitted(found, diff)


def _uncommitted_flags(operation: Operation, uncommitted: Uncommitted | None) -> list[Flag]:
    if uncommitted is None:
        return []
    worktree = Path(operation.record.worktree)
    asked = [one for one in uncommitted.files if flagged.reads_text(one.path, one.mode)]
    before = diffs.texts(operation.git, [one.old for one in asked if one.old])
    found = []
    for one in uncommitted.files:
        old = before.get(one.old) if one.old else ""
        new = diffs.uncommitted_text(worktree, one) if one in asked else ""
        reason = flagged.reason_of(one.path, mode=one.mode, old=old, new=new)
        if reason:
            found.append(Flag(one.path, reason, committed=False))
    return found
