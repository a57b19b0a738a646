"""`update`: today's base into an instance, merged or rebased inside its container."""

import contextlib
from collections.abc import Iterator
from typing import Literal

from runner.adapters.files.captured import Bounded
from runner.controller.instance.private_git import own_git
from runner.controller.instance.worktree import FETCH_TIMEOUT
from runner.controller.operation import Operation
from runner.controller.sync.git_inside import SAID, run_git
from runner.controller.sync.sync import sync
from runner.domain.errors import GitFailed, MergeConflict, NotFound, Refused
from runner.domain.git.updated import Updated
from runner.domain.text import listed, sentences

How = Literal["merge", "rebase"]

Go = Literal["continue", "abort"]

# $1 is base's name, $2 today's base. Codes of its own, that git does not use: 61 and 62.
_BEGIN = """
command -v git >/dev/null || exit 127
git diff-index --quiet --ignore-submodules HEAD -- || { git update-index -q --refresh
  git diff-index --quiet --ignore-submodules HEAD -- || exit 61; }
test "$(git symbolic-ref -q HEAD)" = "refs/heads/$3" || exit 62
git update-ref "refs/remotes/origin/$1" "$2" || exit 1
"""

_START: dict[How, str] = {
    "merge": _BEGIN + 'git merge --no-edit "refs/remotes/origin/$1"',
    "rebase": _BEGIN + 'git rebase "refs/remotes/origin/$1"',
}


def update(operation: Operation, how: How) -> Updated:
    """Bring today's base in. Raises MergeConflict, naming the files: it stays in progress inside
    until `go_on`. Raises Refused where uncommitted changes or another operation are in the way."""
    with operation.locked():
        before = sync(operation, now=True)
        _require_idle(operation)
        base = _todays_base(operation)
        record = operation.record
        script = ["sh", "-c", _START[how], "treedock", record.git.base, base, record.git.branch]
        with operation.step(f"{how} of {record.git.base} inside"), _base_kept(operation, base):
            code = run_git(operation, script, check=False)
        _require_done(operation, code, how)
        after = sync(operation)
        release_parent_branch(operation, base)
        return Updated(operation.id, record.git.base, base, after.head, after.head != before.head)


def go_on(operation: Operation, go: Go) -> Updated:
    """Continue or abort what `update` left in progress. Raises Refused where nothing is."""
    with operation.locked():
        before = operation.git.branch(operation.record.git.branch)
        busy = own_git(operation).look().busy
        if busy not in ("merge", "rebase"):
            ended = sync(operation)  # someone may have committed inside, as git tells them to
            if go == "abort" or ended.head == before:
                hint = "Nothing has to be done."
                raise Refused(f"{operation.id}: no update is in progress.", hint=hint)
            base = operation.git.ref(operation.names.ref("base")) or ""
            release_parent_branch(operation, base)
            return Updated(operation.id, operation.record.git.base, base, ended.head, changed=True)
        if go == "abort":
            _require_not_moved_here(operation, busy)
        code = run_git(operation, ["git", busy, f"--{go}"], check=False)
        _require_done(operation, code, "merge" if busy == "merge" else "rebase")
        after = sync(operation)
        base = operation.git.ref(operation.names.ref("base")) or ""
        if go == "continue":
            release_parent_branch(operation, base)
        return Updated(
            operation.id, operation.record.git.base, base, after.head, after.head != before
        )


def _require_not_moved_here(operation: Operation, busy: str) -> None:
    """git inside would put the files back to before what was committed on the host."""
    synced = operation.git.ref(operation.names.ref("head"))
    head = operation.git.branch(operation.record.git.branch)
    if synced and head != synced:
        raise Refused(
            f"{operation.id}: {str(head)[:10]} was committed on this side while a {busy} is in "
            "progress "
            "inside; giving that up would take the files of the commit back.",
            hint="Take the commit back first, its files stay: git -C "
            f"{operation.record.worktree} reset "
            f"{synced[:10]}; or end the {busy} inside: treedock shell {operation.id}",
        )


def _require_idle(operation: Operation) -> None:
    own = own_git(operation)
    if not own.folder.exists():
        raise Refused(
            f"{operation.id} has no git directory of its own yet.",
            hint=f"treedock up {operation.id} makes it.",
        )
    busy = own.look().busy
    if busy:
        raise Refused(
            f"{operation.id}: a {busy} is in progress inside.",
            hint=f"Go on with: treedock update {operation.id} --continue (or --abort)",
        )


def _todays_base(operation: Operation) -> str:
    name = operation.record.git.base
    if operation.git.remote_of(name) and operation.git.heads(name)[1]:
        try:
            operation.git.fetch(name, FETCH_TIMEOUT)
        except GitFailed as error:
            operation.warn(sentences("going on with what is here:", error.message))
    base = operation.git.newest(name)[0]
    if base is None:
        raise NotFound(f"{operation.id}: its base {name} is gone.", hint="Look with: git branch")
    if operation.git.has_gitlinks(base):
        raise Refused(
            f"{operation.id}: {name} has submodules now, and instances cannot have them yet.",
            hint="Put their files into the repository itself (git subtree).",
        )
    return base


@contextlib.contextmanager
def _base_kept(operation: Operation, base: str) -> Iterator[None]:
    """Pin base here before the ref inside leans on it, and let the one from before go only when
    that does so no more."""
    now, next_ = operation.names.ref("base"), operation.names.ref("base-next")
    with operation.repository.locked():
        operation.git.update_refs({next_: (base, operation.git.refs(next_).get(next_))})
    yield
    leans_on = (
        own_git(operation).look().refs.get(f"refs/remotes/origin/{operation.record.git.base}")
    )
    with operation.repository.locked():
        kept = operation.git.refs(now, next_)
        moved = {now: (base, kept.get(now))} if leans_on == base else {}
        operation.git.update_refs({**moved, next_: (None, kept.get(next_))})


def release_parent_branch(operation: Operation, base: str) -> None:
    """The landed branch that it started from is not needed any more, once base is in."""
    branch = operation.record.leans_on
    if branch is None:
        return
    operation.change(leans_on=None)
    with operation.repository.locked():
        head = operation.git.branch(branch)
        wanted = any(
            branch in (r.leans_on, r.git.branch, r.git.base) for r in operation.records.all()
        )
        if head and not wanted and operation.git.is_ancestor(head, base):
            operation.git.delete_branch(branch, head)


def _require_done(operation: Operation, code: int, how: How) -> None:
    busy = own_git(operation).look().busy
    if busy:
        files = _conflicting(operation)
        why = f"at conflicts in: {listed(files)}" if files else "before its end"
        raise MergeConflict(
            f"{operation.id}: the {how} stopped {why}.",
            hint=f"Resolve them inside (treedock shell {operation.id}: edit, git add), then: "
            f"treedock update {operation.id} --continue (or --abort)",
        )
    if code == 61:
        raise Refused(
            f"{operation.id} has uncommitted changes.",
            hint=f"Commit or stash them inside first: treedock shell {operation.id}",
        )
    if code == 62:
        raise Refused(
            f"{operation.id}: another branch than {operation.record.git.branch} is checked "
            "out inside.",
            hint=f"treedock exec {operation.id} -- git switch {operation.record.git.branch}",
        )
    if code:
        raise Refused(
            f"{operation.id}: git {how} inside failed with exit code {code}.",
            hint=f"Look with: treedock exec {operation.id} -- git status",
        )


def _conflicting(operation: Operation) -> list[str]:
    listed = Bounded(SAID)
    names = ["git", "diff", "--name-only", "--diff-filter=U", "-z"]
    run_git(operation, names, stdout=listed, check=False)
    return [name for name in listed.data().decode(errors="replace").split("\0") if name]
