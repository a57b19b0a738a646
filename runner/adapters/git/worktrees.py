"""Linked worktrees: made, found again, removed."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from runner.adapters.failpoints import step
from runner.adapters.files import disk
from runner.adapters.git.checkout import KEYS, Checkout
from runner.domain.errors import Refused


class Worktrees(Checkout):
    """The worktrees of a repository."""

    def add_worktree(self, path: Path, branch: str, commit: str | None) -> None:
        """Register a worktree at `path` without its files, on a new branch at `commit`, or on
        the existing branch where `commit` is None. Needs the repository lock: of 20 at once
        6 to 11 failed without one.
        """
        new = ["--no-track", "-b", branch] if commit else []
        # Twice --force: take over the entry of a worktree whose folder someone deleted, or that
        # git itself had no time to finish (it locks such an entry).
        again = ["--force", "--force"] if self.worktree_entries(path) else []
        self.run(
            *("worktree", "add", "--quiet", "--no-checkout", *again, *new),
            *("--", str(path), commit or branch),
        )
        self._link_keys(path)

    def _link_keys(self, worktree: Path) -> None:
        """git-crypt (0.7) looks for its keys in the git directory of each worktree alone."""
        if (self.common_dir / KEYS).is_dir():
            link = self.worktree_dir(worktree) / KEYS
            if not os.path.lexists(link):
                link.symlink_to(f"../../{KEYS}")

    def add_detached_worktree(self, path: Path, commit: str) -> None:
        """Register a worktree at `path` without its files, on no branch. Repository lock."""
        arguments = ["--quiet", "--detach", "--no-checkout", "--force", "--force"]
        self.run("worktree", "add", *arguments, "--", str(path), commit)
        self._link_keys(path)

    def is_checked_out(self, worktree: Path) -> bool:
        """Whether the checkout was finished: git writes the index after the last file."""
        return (self.worktree_dir(worktree) / "index").exists()

    def remove_worktree(self, path: Path) -> bool:
        """Delete a worktree's files and its entry; each may be gone already. A folder that is no
        worktree of this repository stays. Returns whether the folder is gone. Repository lock."""
        gone = self._delete_files(path)
        for entry in self.worktree_entries(path):
            _remove_entry(entry)
            step("remove the entry of a worktree")
        return gone

    def owns(self, worktree: Path) -> bool:
        """Whether a folder is a worktree of this repository: its .git file names an entry here,
        and that leads back to it."""
        try:
            self.worktree_dir(worktree)
        except Refused:
            return False
        return not worktree.is_symlink()

    def repair_worktrees(self, paths: Sequence[Path]) -> None:
        """Have worktrees that were moved, or whose repository was, and their entries name each
        other again. Repository lock."""
        self.run("worktree", "repair", "--", *map(str, paths))

    def _delete_files(self, path: Path) -> bool:
        """Whether nothing is left of a worktree. What it is known by goes last, so that one that
        was cut off can be gone on with."""
        if self.owns(path):
            disk.remove_tree(path, last=".git")
        elif path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
            path.rmdir()
        return not os.path.lexists(path)


def _remove_entry(entry: Path) -> None:
    """Delete git's own folder for a worktree; what it is found by goes last."""
    for path in list(entry.iterdir()):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != "gitdir":
            path.unlink()
    shutil.rmtree(entry)
