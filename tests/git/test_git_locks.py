"""Locks of git's own that were left behind: told from those of a git at work."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.controller.onboarding.git_locks import git_locks
from tests.real_git import commit, git
from tests.shop import Shop

pytestmark = pytest.mark.deep


def left(path: Path, age: float = 120) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("half an index")
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_a_lock_that_a_killed_git_left_is_moved_aside(shop: Shop) -> None:
    git(shop.repo, "worktree", "add", "--quiet", "-b", "b", str(shop.repo.parent / "mine"))
    places = ["index.lock", "worktrees/mine/index.lock", "packed-refs.lock", "refs/heads/b.lock"]
    locks = [left(shop.repo / ".git" / name) for name in places]
    told = git_locks(shop.repository, fix=False)
    assert told.status == "problem"
    assert all(str(path) in told.message for path in locks)
    assert all(path.exists() for path in locks)

    assert git_locks(shop.repository, fix=True).fixed
    assert not any(path.exists() for path in locks)
    aside = list((shop.repo / ".git/treedock/aside").iterdir())
    assert [path.read_text() for path in aside] == ["half an index"] * 4
    commit(shop.repo, {"a": "1"})
    assert git_locks(shop.repository, fix=False).status == "ok"


def test_a_young_lock_is_left_alone(shop: Shop) -> None:
    lock = left(shop.repo / ".git" / "index.lock", age=1)
    assert git_locks(shop.repository, fix=True).status == "ok"
    assert lock.exists()


def test_the_lock_of_a_commit_in_an_editor_is_left_alone(
    shop: Shop, eventually: Callable[..., object], tmp_path: Path
) -> None:
    (shop.repo / "README.md").write_text("changed")
    (tmp_path / "editor").write_text(f"#!/bin/sh\ntouch {tmp_path}/open\nexec sleep 60\n")
    (tmp_path / "editor").chmod(0o755)
    environment = {**os.environ, "GIT_EDITOR": str(tmp_path / "editor")}
    command = ["git", "commit", "--quiet", "--all"]
    with subprocess.Popen(
        command, cwd=shop.repo, env=environment, start_new_session=True
    ) as committing:
        try:
            eventually((tmp_path / "open").exists, 30)
            lock = shop.repo / ".git" / "index.lock"
            os.utime(lock, (time.time() - 120,) * 2)
            assert git_locks(shop.repository, fix=True).status == "ok"
            assert lock.exists()
        finally:
            os.killpg(committing.pid, signal.SIGKILL)
    assert git_locks(shop.repository, fix=True).fixed
    assert not lock.exists()
