"""The index of the user's own checkout, locked while a branch that is checked out there moves.

git takes `index.lock` for one command only. Landing holds it from the look at HEAD to the end, so
that no other git switches or commits in between; git itself works on a copy meanwhile. The lock
is a symlink that says whose it is: one that git made is never removed here.
"""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from runner.adapters import cancellation
from runner.adapters.failpoints import step
from runner.adapters.git.access import head_in
from runner.adapters.git.repository import Git
from runner.domain.errors import GitFailed, Refused
from runner.domain.text import with_words

PATIENCE = 2.0  # seconds; an editor that looks at the status holds the lock for some milliseconds
GLANCE = 0.02  # seconds between two looks
_OWN = "treedock, process "


class HeldIndex:
    """A checkout whose index is locked for us. Made by `held_index`."""

    def __init__(self, git: Git, checkout: Path, git_dir: Path, copy: Path) -> None:
        self._git = git
        self._checkout = checkout
        self._git_dir = git_dir
        self._env = {"GIT_INDEX_FILE": str(copy)}

    def is_on(self, branch: str) -> bool:
        """Whether the branch is checked out there now."""
        return head_in(self._git_dir)[0] == branch

    def fast_forward(self, branch: str, commit: str) -> None:
        """Move the branch that is checked out there forward, with its files. Raises Refused
        with git's sentence where git says no."""
        arguments = ["--ff-only", "--no-autostash", "--no-overwrite-ignore", "--no-stat", "-q"]
        before = ["-c", f"branch.{branch}.mergeOptions="]
        self._move("merge", *arguments, commit, before=before, to=commit)

    def move_back(self, branch: str, expected: str, commit: str) -> None:
        """Move the branch that is checked out there from `expected` to an older commit, with its
        files; what is staged beside these stays staged. Raises Refused with git's sentence where
        git says no."""
        # Not `reset --keep`: it unstages everything, and overwrites ignored files.
        self._move("read-tree", "-m", "-u", expected, commit, to=commit)
        self._move(
            "update-ref",
            "-m",
            "treedock: undo",
            f"refs/heads/{branch}",
            commit,
            expected,
            to=commit,
        )

    def restore(self, commit: str, path: str) -> None:
        """Write one file as it is in a commit, index and all."""
        arguments = ["restore", f"--source={commit}", "--staged", "--worktree"]
        self.run(*arguments, "--", f":(top,literal){path}")

    def follow(self, old: str, new: str) -> None:
        """Bring the index from one commit to another, touching no file; where something is
        staged that differs from both, it stays as it is."""
        self.run("read-tree", "-i", "-m", old, new, check=False)

    def _move(self, *arguments: str, to: str, before: list[str] | None = None) -> None:
        done = self.run(*arguments, before=before, check=False)
        if not done.returncode:
            return
        said = done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"
        sentence = with_words(f"git could not bring {self._checkout} to {to[:10]}", said)
        if done.returncode < 0:  # it was killed, wherever it was
            raise GitFailed(sentence, hint="Run the same command again.")
        raise Refused(sentence, hint="Fix what git names, then run the same command again.")

    def run(
        self, *arguments: str, before: list[str] | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        """Run git on the copy."""
        return self._git.run(
            *arguments, before=before, check=check,
            git_dir=self._git_dir, work_tree=self._checkout, env=self._env,
        )  # fmt: skip


@contextlib.contextmanager
def held_index(git: Git, checkout: Path) -> Iterator[HeldIndex]:
    """Lock the index of a checkout for the block; what git made of it counts when the block ends
    well. Repository lock. Raises Refused where another git is at work there.
    """
    git_dir = git.git_dir(checkout)
    git.require_safe_drivers(git_dir)
    index, copy = git_dir / "index", git_dir / "treedock-index"
    lock = git_dir / "index.lock"
    _acquire(checkout, lock)
    try:
        _discard(copy)
        if index.exists():
            shutil.copy2(index, copy)  # with its time: entries of that moment are looked at again
        yield HeldIndex(git, checkout, git_dir, copy)
        if copy.exists():
            copy.replace(index)
            step("replace the index")
    finally:
        _discard(copy)
        lock.unlink(missing_ok=True)


def require_unlocked(git: Git, checkout: Path) -> None:
    """Raises Refused where another git is at work in the checkout."""
    lock = git.git_dir(checkout) / "index.lock"
    deadline = time.monotonic() + PATIENCE
    while os.path.lexists(lock) and not _is_own(lock):
        _require_time(checkout, lock, deadline)


def _acquire(checkout: Path, lock: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            lock.symlink_to(f"{_OWN}{os.getpid()}")
        except FileExistsError:
            if _is_own(lock):  # we hold the repository lock, so the one that made it is dead
                lock.unlink(missing_ok=True)
            else:
                _require_time(checkout, lock, deadline)
        else:
            step("lock the index")
            return


def _is_own(lock: Path) -> bool:
    with contextlib.suppress(OSError):
        return os.fsdecode(lock.readlink()).startswith(_OWN)
    return False


def _require_time(checkout: Path, lock: Path, deadline: float) -> None:
    if time.monotonic() > deadline:
        raise Refused(
            f"git is at work in {checkout}: it holds {lock}.",
            hint="Let it end (is an editor open with a commit message?), then run the same command "
            f"again. If no git runs there, it was killed: rm {lock}",
        )
    cancellation.sleep(GLANCE)


def _discard(copy: Path) -> None:
    for path in (copy, copy.with_name(f"{copy.name}.lock")):
        path.unlink(missing_ok=True)
