"""Files of a worktree that keep git busy without end: nothing waits for it, nothing is lost."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runner.adapters.git.repository import Git
from runner.adapters.store import locks
from runner.controller.cleanup.clean import clean
from runner.domain.errors import GitFailed
from tests.real_git import commit, git
from tests.running import CHECKOUT
from tests.shop import Shop
from tests.waiting import eventually

pytestmark = pytest.mark.deep

# git tries each pattern on each name, and many stars at every place of it: minutes altogether.
PATTERN = "*".join("a" * 30) + "b\n"
NAMES = [f"{'a' * 200}{number}" for number in range(60)]


def busy(worktree: Path) -> None:
    (worktree / ".gitignore").write_text(PATTERN * 60)
    for name in NAMES:
        (worktree / name).write_text("work\n")


def test_clean_ends_and_keeps_the_files_where_ignore_rules_keep_git_busy(shop: Shop) -> None:
    record = shop.up("auth")
    busy(Path(record.worktree))
    repository = shop.repository
    repository.git.look_cpu = 1
    with pytest.raises(GitFailed, match="did not end") as refused:
        clean(repository, "auth", shop.emit)
    assert ".gitignore" in refused.value.hint
    cleaned = clean(repository, "auth", shop.emit, force=True)
    assert not Path(record.worktree).exists()
    (kept,) = cleaned.archives
    assert kept.tar
    names = subprocess.check_output(["tar", "-tf", kept.tar], text=True).split()
    assert set(NAMES) <= set(names)


def test_a_look_goes_on_without_the_locks_of_a_treedock_that_was_killed(
    repo: Path, tmp_path: Path
) -> None:
    commit(repo, {"a.txt": "a\n"})
    worktree, lock = repo / "trees/auth", tmp_path / "lock"
    git(repo, "worktree", "add", "--quiet", "-b", "feature/auth", str(worktree))
    busy(worktree)
    script = (
        "import sys; from pathlib import Path; from runner.adapters.store import locks; "
        "from runner.adapters.git.repository import Git; "
        "repo, tree, lock = map(Path, sys.argv[1:])\n"
        "with locks.hold(lock): git = Git(repo / '.git'); git.look_cpu = 3; git.dirty(tree)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, repo, worktree, lock],
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
    ) as process:
        eventually(lambda: _looks(worktree))
        process.send_signal(signal.SIGKILL)
    assert not locks.is_held(lock)
    eventually(lambda: not _looks(worktree), seconds=60)


def _looks(worktree: Path) -> bool:
    """Whether a git status of the worktree runs."""
    lines = subprocess.check_output(["ps", "-ww", "-eo", "args"], text=True).splitlines()
    return any(f"--work-tree={worktree} status" in line for line in lines)


def test_a_look_that_git_does_not_end_is_told_by_its_worktree(repo: Path) -> None:
    busy(repo)
    there = Git(repo / ".git")
    there.look_cpu = 1
    with pytest.raises(GitFailed, match=str(repo)):
        there.uncommitted(repo)
