"""Repositories that lie inside a worktree, where git status of the worktree passes them over:
below an ignored folder, or as a .git beside tracked files.

Code inside wrote them, so no git is run there: their files are read one by one.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from runner.adapters.files import untrusted
from runner.adapters.git.private import OwnGit
from runner.adapters.git.repository import Git
from runner.domain.errors import Refused
from runner.domain.instance.container import GIT

_MERCURIAL = ".hg"


def repositories(git: Git, worktree: Path) -> list[str]:
    """The folders below a worktree, by path, of repositories with commits that no remote gave
    them: branches, a stash, a detached HEAD. A clone in which nothing was committed is none."""
    own = worktree / ".git"
    found = set[str]()
    for entry in untrusted.entries(worktree):
        path = entry.path
        if path.name == "HEAD" and _is_git_dir(worktree, path.parent):
            folder = path.parent
            if _has_own_commits(OwnGit(folder, git, below=worktree)):
                found.add(str(folder.parent if folder.name == ".git" else folder))
        elif path.name == _MERCURIAL or (
            path.name == ".git" and path != own and _borrows(worktree, path)
        ):
            found.add(str(path.parent))
    return sorted(os.path.relpath(folder, worktree) for folder in _outermost(found))


def _is_git_dir(worktree: Path, folder: Path) -> bool:
    place = folder.relative_to(worktree)
    kinds = {untrusted.kind(worktree, str(place / name)) for name in ("objects", "refs")}
    return kinds == {"folder"}


def _borrows(worktree: Path, file: Path) -> bool:
    """Whether it is the .git file of a worktree that was added inside: of that only the branch
    comes out."""
    text = os.fsdecode(untrusted.read(file, 4096, below=worktree) or b"")
    return text.startswith(f"gitdir: {GIT}/")


def _has_own_commits(there: OwnGit) -> bool:
    if untrusted.look(there.folder / "reftable", there.below):
        return True  # refs that are no files cannot be read here
    try:
        claims = there.look()
    except Refused:
        return bool(untrusted.holds_anything(there.folder / "objects", there.below))
    given = {id_ for ref, id_ in claims.refs.items() if ref.startswith("refs/remotes/")}
    tags = {id_ for ref, id_ in claims.refs.items() if ref.startswith("refs/tags/")}
    own = {id_ for ref, id_ in claims.refs.items() if ref.startswith("refs/heads/")}
    at = claims.detached
    return bool(claims.stash or own - given or (at and at not in given | tags))


def _outermost(folders: set[str]) -> Iterator[str]:
    last = None
    for folder in sorted(folders, key=lambda one: Path(one).parts):
        if last is None or not Path(folder).is_relative_to(last):
            yield folder
            last = folder
