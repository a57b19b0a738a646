"""Moving base to a candidate, where base is checked out and where it is not."""

import os
from pathlib import Path

from runner.adapters.git import Git, Worktree
from runner.domain.errors import BaseMoved, Refused
from runner.domain.text import listed


def checkout_of(git: Git, branch: str) -> Worktree | None:
    """The worktree in which a branch is checked out."""
    return next((w for w in git.worktrees() if w.branch == branch), None)


def in_the_way(git: Git, checkout: Path, old: str, new: str) -> list[str]:
    """Files of a checkout that landing would overwrite although they are changed, staged,
    untracked or ignored there."""
    changed = git.changed_between(old, new)
    touched = set(git.uncommitted(checkout)) & changed.keys()
    added = [path for path, what in changed.items() if what == "A"]
    there = [path for path in added if os.path.lexists(checkout / path)]
    return sorted({*touched, *there})


def require_free(git: Git, branch: str, old: str, new: str) -> None:
    """Raises Refused, naming the files, where landing would touch somebody's changes, and where
    somebody has begun something with the branch that they have not ended."""
    if branch in git.rebased():
        raise Refused(
            f"{branch} is being rebased.", hint="End that first: git rebase --continue (or --abort)"
        )
    holder = checkout_of(git, branch)
    begun = git.in_progress(holder.path) if holder else None
    if holder and begun:
        raise Refused(
            f"A {begun} is in progress in {holder.path}.",
            hint=f"End it first: git -C {holder.path} {begun} --continue (or --abort)",
        )
    files = in_the_way(git, holder.path, old, new) if holder else []
    if holder and files:
        raise Refused(
            f"Landing would overwrite changes in {holder.path}: {listed(files)}.",
            hint="Commit or stash them there (git stash -u), then run the same command again.",
        )


def land(git: Git, branch: str, expected: str, commit: str) -> None:
    """Move `branch` from `expected` to its descendant `commit`, files and all. Repository lock.

    Raises BaseMoved where it is elsewhere by now, Refused where git cannot update the files;
    nothing is changed then.
    """
    if git.branch(branch) != expected:
        raise BaseMoved(f"{branch} has moved meanwhile.", hint="Run the same command again.")
    holder = checkout_of(git, branch)
    if holder is None:
        git.update_refs({f"refs/heads/{branch}": (commit, expected)})
        return
    require_free(git, branch, expected, commit)
    git.fast_forward(holder.path, branch, commit)
    if git.branch(branch) != commit:
        raise BaseMoved(
            f"{branch} moved while {commit[:10]} landed on it.",
            hint=f"Look at it: git log {branch}",
        )


def put_back(git: Git, branch: str, expected: str, commit: str) -> None:
    """Move `branch` from `expected` back to its ancestor `commit`, files and all. Repository
    lock. Raises Refused where changes are in the way; nothing is changed then."""
    if git.branch(branch) != expected:
        raise BaseMoved(f"{branch} has moved meanwhile.", hint="Run the same command again.")
    holder = checkout_of(git, branch)
    if holder is None:
        git.update_refs({f"refs/heads/{branch}": (commit, expected)})
    else:
        git.reset_keeping(holder.path, commit)
