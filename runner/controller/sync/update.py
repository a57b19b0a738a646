"""`update`: today's base into an instance, merged or rebased inside its container."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from runner.controller.instance.private_git import kept_ref, own_git
from runner.controller.instance.worktree import FETCH_TIMEOUT
from runner.controller.operation import Work
from runner.controller.sync.git_inside import Capped, run_git
from runner.controller.sync.sync import sync
from runner.domain.errors import GitFailed, MergeConflict, NotFound, Refused
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


@dataclass(frozen=True)
class Updated:
    """`head`: the branch's commit now; `changed`: whether it is another one than before."""

    id: str
    base: str
    base_commit: str
    head: str
    changed: bool


def update(work: Work, how: How) -> Updated:
    """Bring today's base in. Raises MergeConflict, naming the files: it stays in progress inside
    until `go_on`. Raises Refused where uncommitted changes or another operation are in the way."""
    with work.locked():
        before = sync(work, now=True)
        _require_idle(work)
        base = _todays_base(work)
        record = work.record
        script = ["sh", "-c", _START[how], "treedock", record.base, base, record.branch]
        with work.step(f"{how} of {record.base} inside"), _base_kept(work, base):
            code = run_git(work, script, check=False)
        _require_done(work, code, how)
        after = sync(work)
        let_go(work, base)
        return Updated(work.id, record.base, base, after.head, after.head != before.head)


def go_on(work: Work, go: Go) -> Updated:
    """Continue or abort what `update` left in progress. Raises Refused where nothing is."""
    with work.locked():
        before = work.git.branch(work.record.branch)
        busy = own_git(work).look().busy
        if busy not in ("merge", "rebase"):
            ended = sync(work)  # somebody may have committed inside, as git tells them to
            if go == "abort" or ended.head == before:
                hint = "Nothing has to be done."
                raise Refused(f"{work.id}: no update is in progress.", hint=hint)
            base = work.git.commit(kept_ref(work, "base")) or ""
            let_go(work, base)
            return Updated(work.id, work.record.base, base, ended.head, changed=True)
        if go == "abort":
            _require_not_moved_here(work, busy)
        code = run_git(work, ["git", busy, f"--{go}"], check=False)
        _require_done(work, code, "merge" if busy == "merge" else "rebase")
        after = sync(work)
        base = work.git.commit(kept_ref(work, "base")) or ""
        if go == "continue":
            let_go(work, base)
        return Updated(work.id, work.record.base, base, after.head, after.head != before)


def _require_not_moved_here(work: Work, busy: str) -> None:
    """git inside would put the files back to before what was committed on the host."""
    synced = work.git.commit(kept_ref(work, "head"))
    head = work.git.branch(work.record.branch)
    if synced and head != synced:
        raise Refused(
            f"{work.id}: {str(head)[:10]} was committed on this side while a {busy} is in progress "
            "inside; giving that up would take the files of the commit back.",
            hint=f"Take the commit back first, its files stay: git -C {work.record.worktree} reset "
            f"{synced[:10]}; or end the {busy} inside: treedock shell {work.id}",
        )


def _require_idle(work: Work) -> None:
    own = own_git(work)
    if not own.folder.exists():
        raise Refused(
            f"{work.id} has no git directory of its own yet.",
            hint=f"treedock up {work.id} makes it.",
        )
    busy = own.look().busy
    if busy:
        raise Refused(
            f"{work.id}: a {busy} is in progress inside.",
            hint=f"Go on with: treedock update {work.id} --continue (or --abort)",
        )


def _todays_base(work: Work) -> str:
    name = work.record.base
    if work.git.remote_of(name) and work.git.heads(name)[1]:
        try:
            work.git.fetch(name, FETCH_TIMEOUT)
        except GitFailed as error:
            work.warn(sentences("going on with what is here:", error.message))
    base = work.git.newest(name)[0]
    if base is None:
        raise NotFound(f"{work.id}: its base {name} is gone.", hint="Look with: git branch")
    if work.git.has_gitlinks(base):
        raise Refused(
            f"{work.id}: {name} has submodules now, and instances cannot have them yet.",
            hint="Put their files into the repository itself (git subtree).",
        )
    return base


@contextlib.contextmanager
def _base_kept(work: Work, base: str) -> Iterator[None]:
    """Pin base here before the ref inside leans on it, and let the one of before go only when
    that does so no more."""
    now, next_ = kept_ref(work, "base"), kept_ref(work, "base-next")
    with work.repository_locked():
        work.git.update_refs({next_: (base, work.git.refs(next_).get(next_))})
    yield
    leans_on = own_git(work).look().refs.get(f"refs/remotes/origin/{work.record.base}")
    with work.repository_locked():
        kept = work.git.refs(now, next_)
        moved = {now: (base, kept.get(now))} if leans_on == base else {}
        work.git.update_refs({**moved, next_: (None, kept.get(next_))})


def let_go(work: Work, base: str) -> None:
    """The landed branch that it started from is not needed any more, once base is in."""
    branch = work.record.leans_on
    if branch is None:
        return
    work.change(leans_on=None)
    with work.repository_locked():
        head = work.git.branch(branch)
        wanted = any(branch in (r.leans_on, r.branch, r.base) for r in work.records.all())
        if head and not wanted and work.git.is_ancestor(head, base):
            work.git.delete_branch(branch, head)


def _require_done(work: Work, code: int, how: How) -> None:
    busy = own_git(work).look().busy
    if busy:
        files = _conflicting(work)
        why = f"at conflicts in: {listed(files)}" if files else "before its end"
        raise MergeConflict(
            f"{work.id}: the {how} stopped {why}.",
            hint=f"Resolve them inside (treedock shell {work.id}: edit, git add), then: "
            f"treedock update {work.id} --continue (or --abort)",
        )
    if code == 61:
        raise Refused(
            f"{work.id} has uncommitted changes.",
            hint=f"Commit or stash them inside first: treedock shell {work.id}",
        )
    if code == 62:
        raise Refused(
            f"{work.id}: another branch than {work.record.branch} is checked out inside.",
            hint=f"treedock exec {work.id} -- git switch {work.record.branch}",
        )
    if code:
        raise Refused(
            f"{work.id}: git {how} inside failed with exit code {code}.",
            hint=f"Look with: treedock exec {work.id} -- git status",
        )


def _conflicting(work: Work) -> list[str]:
    listed = Capped()
    names = ["git", "diff", "--name-only", "--diff-filter=U", "-z"]
    run_git(work, names, stdout=listed, check=False)
    return [name for name in listed.getvalue().decode(errors="replace").split("\0") if name]
