"""Refs that keep what an instance had: refs/treedock/<id>/ while it lives, and
refs/treedock-archive/<id>-<time>/ for some days after it was cleaned."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.adapters.git import status
from runner.adapters.git.process import LOOK_TIMEOUT, failed, safe_flags, spawn
from runner.adapters.git.repository import Git
from runner.domain.errors import GitFailed


@dataclass(frozen=True)
class Ref:
    """`name` below the asked prefix; `commit` is what `id` means, None for a tree or a blob."""

    name: str
    id: str
    commit: str | None


@dataclass(frozen=True)
class Holders:
    """Who holds commits: every branch, here and of remotes, but `going`, and the refs below
    `archive`, if named."""

    going: Sequence[str] = ()
    archive: str | None = None

    @property
    def arguments(self) -> list[str]:
        """For rev-list, behind --not."""
        excluded = [f"--exclude={branch}" for branch in self.going]
        archived = [f"--glob={self.archive}"] if self.archive else []
        return [*excluded, "--branches", "--remotes", *archived]

    def ids(self, git: Git) -> set[str]:
        """What these refs are at now."""
        going = {f"refs/heads/{branch}" for branch in self.going}
        archived = [self.archive] if self.archive else []
        found = git.refs("refs/heads", "refs/remotes", *archived)
        return {id_ for name, id_ in found.items() if name not in going}


def below(git: Git, prefix: str, *others: str) -> list[Ref]:
    """The refs below `prefix`, by name; `others` too, by their full names."""
    found = git.refs(prefix, *others)
    branches = {id_ for name, id_ in found.items() if name.startswith("refs/heads/")}
    meant = git.commits_meant(set(found.values()) - branches) | {id_: id_ for id_ in branches}
    return [Ref(name.removeprefix(f"{prefix}/"), id_, meant[id_]) for name, id_ in found.items()]


def unheld(git: Git, commits: Iterable[str], holders: Holders) -> set[str]:
    """Those of `commits` that no one holds."""
    asked = set(commits)
    return asked & set(git.unheld(asked, holders.ids(git)))


def count_unheld(git: Git, commits: Iterable[str], holders: Holders) -> int:
    """How many commits are reachable from `commits` that no one holds."""
    return len(git.unheld(commits, holders.ids(git)))


def commits_at(
    git: Git, commit: str, holders: Holders, besides: Sequence[str]
) -> list[tuple[str, str]]:
    """(id, subject) of what is reachable from `commit`, but not from `besides`, and no one holds;
    the newest first."""
    shape = ["--no-commit-header", "--format=%H %s"]
    out = git.output("rev-list", *shape, commit, "--not", *besides, *holders.arguments)
    pairs = (line.partition(" ") for line in out.split("\n") if line)
    return [(id_, subject) for id_, _, subject in pairs]


def committed_at(git: Git, commit: str) -> int:
    """When a commit was made, in seconds since 1970."""
    return int(git.output("rev-list", "--no-commit-header", "--format=%ct", "-1", commit))


def put(git: Git, prefix: str, wanted: Mapping[str, str]) -> None:
    """Make the refs below `prefix` these, all or none. Repository lock."""
    present = {ref.name: ref.id for ref in below(git, prefix)}
    git.update_refs(
        {
            f"{prefix}/{name}": (wanted.get(name), present.get(name))
            for name in present.keys() | wanted.keys()
            if wanted.get(name) != present.get(name)
        }
    )


def drop(git: Git, refs: Mapping[str, str]) -> None:
    """Delete refs, all or none, where each is still at the id given here; a branch takes its
    settings along. Repository lock."""
    git.update_refs({name: (None, id_) for name, id_ in refs.items()})
    for name in refs:
        branch = name.removeprefix("refs/heads/")
        if branch != name:
            git.forget_branch(branch)


def all_files(git: Git, worktree: Path, head: str | None, index: Path) -> list[str]:
    """Paths of a worktree that the commit `head` has, or that are untracked and not ignored; a
    repository inside it is one path. `index` is a scratch file.

    The worktree's own .git file and index take no part, and no file is read: it works where these
    are broken, or a file is too large to be compared. Where the ignore rules keep git busy without
    end they take none either, and the ignored files are among the paths.
    """
    read = ["read-tree", head] if head else ["read-tree", "--empty"]
    _with_index(git, worktree, index, read)
    kinds = ["ls-files", "-z", "--cached", "--others"]
    try:
        out = _with_index(git, worktree, index, [*kinds, "--exclude-standard"])
    except GitFailed:
        out = _with_index(git, worktree, index, kinds)
    return [path for path in out.split("\0") if path]


def staged(git: Git, worktree: Path, index: Path) -> str | None:
    """The tree of what is staged in a linked worktree, where some of that is neither committed
    nor in its files any more; None too where it cannot be one, in the middle of a merge. `index`
    is a scratch file."""
    where = git.worktree_dir(worktree)
    found = status.entries(
        git, where, worktree, status.marks(git, where, worktree), timeout=LOOK_TIMEOUT
    )
    if all(one.untracked or one.unmerged or "." in (one.staged, one.unstaged) for one in found):
        return None
    shutil.copy2(where / "index", index)
    env = {"GIT_INDEX_FILE": str(index)}
    done = git.run("write-tree", git_dir=where, work_tree=worktree, env=env, check=False)
    return done.stdout.decode().strip() or None


def _with_index(git: Git, worktree: Path, index: Path, arguments: list[str]) -> str:
    where = [f"--git-dir={git.common_dir}", f"--work-tree={worktree}"]
    command = ["git", *safe_flags(), *where, *arguments]
    own = {"GIT_INDEX_FILE": str(index)}
    done = spawn(command, cwd=worktree, env=own, looks_at=worktree, cpu=git.look_cpu)
    if done.returncode:
        raise failed(done)
    return done.stdout.decode(errors="surrogateescape")
