"""The git adapter, on real repositories."""

import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from runner.adapters.git.process import version
from runner.adapters.git.repository import Git, locate
from runner.adapters.store import locks
from runner.domain.errors import GitFailed, NotFound, Refused
from tests.real_git import commit, git, make_repository, write

pytestmark = pytest.mark.deep


@pytest.fixture
def own(repo: Path) -> Git:
    """The adapter for `repo`."""
    return Git(repo / ".git")


@pytest.fixture
def tree(repo: Path, own: Git) -> Path:
    """A finished worktree on feature/auth."""
    path = repo / "trees" / "auth"
    add(own, path, "feature/auth")
    return path


def add(own: Git, path: Path, branch: str) -> None:
    own.add_worktree(path, branch, own.branch("main"))
    own.check_out(path)


def head(repo: Path, name: str = "HEAD") -> str:
    return git(repo, "rev-parse", name).strip()


# --- asking ---------------------------------------------------------------------------------


def test_git_tells_its_version() -> None:
    assert version() >= (2, 39)


def test_worktrees_are_listed_with_branch_and_head(repo: Path, own: Git, tree: Path) -> None:
    git(repo, "worktree", "add", "--quiet", "--detach", str(repo / "trees" / "odd name"))
    found = {w.path: (w.branch, w.detached, w.bare) for w in own.worktrees()}
    assert found == {
        repo: ("main", None, False),
        tree: ("feature/auth", None, False),
        repo / "trees" / "odd name": (None, head(repo), False),
    }


def test_a_name_is_a_commit_or_none(repo: Path, own: Git) -> None:
    git(repo, "tag", "-a", "v1", "-m", "one")
    assert own.commit("v1") == own.commit("main") == own.branch("main") == head(repo)
    assert own.commit("absent") is None
    assert own.commit("--all") is None
    assert own.branch("v1") is None
    assert own.branches() == (["main"], None)


def test_an_origin_is_known_with_its_default_branch(repo: Path, own: Git, origin: Path) -> None:
    assert own.remote_of("main") == "origin"
    assert own.branches() == (["main"], None)
    git(repo, "remote", "set-head", "origin", "--auto")
    assert own.branches() == (["main"], "main")


def test_without_an_origin_there_is_none(own: Git) -> None:
    assert own.remote_of("main") is None


def test_ahead_and_behind_count_commits(repo: Path, own: Git, tree: Path) -> None:
    commit(tree, {"a": "1"})
    commit(tree, {"a": "2"})
    commit(repo, {"b": "1"})
    assert own.ahead_behind("feature/auth", "main") == (2, 1)
    assert own.ahead_behind("main", "main") == (0, 0)


ODD = [
    "with space",
    "with\nnewline",
    "? not untracked",
    "1 .M N... 1",
    "-rf",
    "ünï",
    'qu"ote',
    "back\\s",
]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_dirty_under_their_own_name(tree: Path, own: Git, name: str) -> None:
    (tree / name).write_text("new")
    assert own.dirty(tree) == [name]
    git(tree, "add", "--", f"./{name}")
    assert own.dirty(tree) == [name]
    git(tree, "commit", "--quiet", "--message", "odd")
    assert own.dirty(tree) == []
    (tree / name).write_text("changed")
    assert own.dirty(tree) == [name]


def test_every_kind_of_change_is_dirty(repo: Path, own: Git, tree: Path) -> None:
    names = ("deleted", "renamed", "modified", "staged")
    commit(tree, dict.fromkeys(names, "a long enough text\n"))
    assert own.dirty(tree) == []
    (tree / "deleted").unlink()
    git(tree, "mv", "renamed", "elsewhere")
    write(tree, {"modified": "m", "staged": "s", "deep/new/file": "n"})
    git(tree, "add", "staged")
    assert sorted(own.dirty(tree)) == [
        *("deep/new/file", "deleted", "elsewhere", "modified", "renamed", "staged"),
    ]


def test_an_unfinished_merge_is_dirty(repo: Path, own: Git, tree: Path) -> None:
    commit(repo, {"README.md": "ours\n"})
    commit(tree, {"README.md": "theirs\n"})
    with pytest.raises(AssertionError, match="merge"):
        git(tree, "merge", "main")
    assert own.dirty(tree) == ["README.md"]


def test_ignored_files_are_not_dirty(repo: Path, own: Git, tree: Path) -> None:
    commit(tree, {".gitignore": "*.log\n"})
    write(tree, {"a.log": "x", "new.txt": "x"})
    assert own.dirty(tree) == ["new.txt"]


# --- integrated -----------------------------------------------------------------------------


def test_a_merged_branch_is_integrated(repo: Path, own: Git, tree: Path) -> None:
    commit(tree, {"a": "1"})
    git(repo, "merge", "--quiet", "--no-ff", "--no-edit", "feature/auth")
    assert own.is_integrated("feature/auth", "main")


def test_a_squash_merged_branch_is_integrated(repo: Path, own: Git, tree: Path) -> None:
    squash_merge(repo, tree)
    assert own.is_integrated("feature/auth", "main")


def test_it_stays_integrated_when_base_edits_the_same_lines_later(
    repo: Path, own: Git, tree: Path
) -> None:
    squash_merge(repo, tree)
    commit(repo, {"a": "edited later\n", "b": "too\n"})
    assert own.is_integrated("feature/auth", "main")


def test_it_is_integrated_when_base_moved_before_the_squash(
    repo: Path, own: Git, tree: Path
) -> None:
    commit(repo, {"unrelated": "x\n"})
    squash_merge(repo, tree)
    assert own.is_integrated("feature/auth", "main")


def test_a_branch_with_one_more_commit_after_the_squash_is_not_integrated(
    repo: Path, own: Git, tree: Path
) -> None:
    squash_merge(repo, tree)
    commit(tree, {"a": "more\n"})
    assert not own.is_integrated("feature/auth", "main")


def test_a_branch_of_its_own_is_not_integrated(repo: Path, own: Git, tree: Path) -> None:
    commit(tree, {"a": "1"})
    commit(repo, {"b": "1"})
    assert not own.is_integrated("feature/auth", "main")


def test_a_conflicting_branch_is_not_integrated(repo: Path, own: Git, tree: Path) -> None:
    commit(tree, {"a": "1"})
    commit(repo, {"a": "2"})
    assert not own.is_integrated("feature/auth", "main")


def test_a_branch_without_common_history_is_not_integrated(repo: Path, own: Git) -> None:
    git(repo, "switch", "--quiet", "--orphan", "alone")
    commit(repo, {"z": "1"})
    assert not own.is_integrated("alone", "main")


def squash_merge(repo: Path, tree: Path) -> None:
    """Two commits of the worktree land on main as one."""
    commit(tree, {"a": "1\n"})
    commit(tree, {"a": "1\n2\n", "b": "b\n"})
    git(repo, "merge", "--quiet", "--squash", "feature/auth")
    git(repo, "commit", "--quiet", "--message", "squashed")


# --- files ----------------------------------------------------------------------------------


def test_tracked_and_ignored_are_told_for_literal_names(repo: Path, own: Git, tree: Path) -> None:
    commit(tree, {".gitignore": ".env\n*.local\n", "a*": "x", "ab": "x"})
    assert own.tracked(tree, ["a*", ".env"]) == {"a*"}
    commit(repo, {".gitignore": ".env\n*.local\n", "ab": "x"})
    write(repo, {".env": "", "x.local": "", "y": ""})
    assert own.ignored(repo, [".env", "x.local", "y", "ab"]) == {".env", "x.local"}
    assert own.ignored(repo, []) == set()


def test_patterns_pick_ignored_files_only(repo: Path, own: Git, tmp_path: Path) -> None:
    commit(repo, {".gitignore": "*.key\nsecrets/\n"})
    write(repo, {"a.key": "", "secrets/b.txt": "", "plain.txt": "", "deep/c.key": ""})
    patterns = tmp_path / "include"
    patterns.write_text("*.key\nsecrets/*\n*.txt\n")
    found = own.ignored_matching(repo, patterns)
    assert sorted(found) == ["a.key", "deep/c.key", "secrets/b.txt"]


def test_the_exclude_block_grows_once_and_keeps_what_others_wrote(repo: Path, own: Git) -> None:
    path = repo / ".git" / "info" / "exclude"
    path.write_text("mine")
    own.exclude(["/trees/", "/.env"])
    once = path.read_text()
    own.exclude(["/.env"])
    own.exclude(["/trees/", "/.env"])
    assert path.read_text() == once
    assert once.startswith("mine\n")
    own.exclude(["/.ports.env"])
    assert path.read_text().count("treedock >>>") == 1
    write(repo, {"trees/x": "", ".env": "", ".ports.env": "", "mine": ""})
    assert git(repo, "status", "--porcelain") == ""


def test_a_repository_without_an_exclude_file_gets_one(repo: Path, own: Git) -> None:
    (repo / ".git" / "info" / "exclude").unlink()
    (repo / ".git" / "info").rmdir()
    own.exclude(["/trees/"])
    write(repo, {"trees/x": ""})
    assert git(repo, "status", "--porcelain") == ""


# --- worktrees ------------------------------------------------------------------------------


def test_a_worktree_is_registered_first_and_filled_then(repo: Path, own: Git) -> None:
    path = repo / "trees" / "auth"
    own.add_worktree(path, "feature/auth", own.branch("main"))
    assert list(path.iterdir()) == [path / ".git"]
    assert not own.is_checked_out(path)
    own.check_out(path)
    assert own.is_checked_out(path)
    assert (path / "README.md").read_text() == "# shop\n"
    assert own.dirty(path) == []
    assert git(path, "config", "--get-regexp", "branch.feature/auth.*|core.bare") != ""


def test_a_checkout_that_was_killed_half_way_is_done_again(repo: Path, own: Git) -> None:
    path = repo / "trees" / "auth"
    own.add_worktree(path, "feature/auth", own.branch("main"))
    (own.worktree_dir(path) / "index.lock").write_text("half")
    (path / "README.md").write_text("ha")
    assert not own.is_checked_out(path)
    own.check_out(path)
    assert own.dirty(path) == []


def test_a_deleted_folder_is_made_again_with_its_branch(repo: Path, own: Git, tree: Path) -> None:
    kept = commit(tree, {"a": "1"})
    tree.rename(repo / "moved away")
    own.add_worktree(tree, "feature/auth", None)
    own.check_out(tree)
    assert head(tree) == kept
    assert [w.path for w in own.worktrees()] == [repo, tree]


def test_a_branch_that_exists_is_not_taken_for_a_new_one(repo: Path, own: Git) -> None:
    git(repo, "branch", "feature/auth")
    with pytest.raises(GitFailed, match="already exists"):
        own.add_worktree(repo / "trees" / "auth", "feature/auth", own.branch("main"))


def test_a_worktree_goes_with_its_entry_whatever_is_left_of_it(
    repo: Path, own: Git, tree: Path
) -> None:
    write(tree, {"untracked": "x"})
    own.remove_worktree(tree)
    own.remove_worktree(tree)
    assert not tree.exists()
    assert [w.path for w in own.worktrees()] == [repo]


def test_a_branch_that_moved_meanwhile_is_not_deleted(repo: Path, own: Git) -> None:
    old = head(repo)
    git(repo, "branch", "topic")
    commit(repo, {"a": "1"})
    git(repo, "branch", "--force", "topic", "main")
    with pytest.raises(GitFailed):
        own.delete_branch("topic", old)
    own.delete_branch("topic", head(repo))
    assert own.branches() == (["main"], None)


def test_twenty_worktrees_at_once_all_succeed(repo: Path, own: Git, tmp_path: Path) -> None:
    lock = tmp_path / "repository.lock"

    def one(number: int) -> list[str]:
        path = repo / "trees" / f"i{number}"
        with locks.hold(lock):
            own.add_worktree(path, f"feature/i{number}", own.branch("main"))
        own.check_out(path)
        return own.dirty(path)

    own.exclude(["/trees/"])
    with ThreadPoolExecutor(max_workers=20) as pool:
        assert list(pool.map(one, range(20))) == [[]] * 20
    assert len(own.worktrees()) == 21


# --- fetching -------------------------------------------------------------------------------


def test_a_fetch_moves_the_remote_branch_only(
    repo: Path, own: Git, origin: Path, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "--quiet", str(origin), "other")
    pushed = commit(tmp_path / "other", {"a": "1"})
    git(tmp_path / "other", "push", "--quiet", "origin", "main")
    own.fetch("main", 10)
    assert own.commit("origin/main") == pushed
    assert own.branch("main") != pushed


@pytest.mark.parametrize("url", ["/absent/repository.git", "file:///absent.git"])
def test_an_origin_that_is_not_there_fails_the_fetch(repo: Path, own: Git, url: str) -> None:
    git(repo, "remote", "add", "origin", url)
    with pytest.raises(GitFailed, match="git fetch failed"):
        own.fetch("main", 10)


def test_an_origin_that_never_answers_is_given_up_in_time(repo: Path, own: Git) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        git(repo, "remote", "add", "origin", f"git://127.0.0.1:{silent.getsockname()[1]}/x")
        begun = time.monotonic()
        with pytest.raises(GitFailed, match=r"within 0\.5 seconds"):
            own.fetch("main", 0.5)
        assert time.monotonic() - begun < 5


# --- strangers ------------------------------------------------------------------------------


def test_no_hook_of_the_repository_runs(repo: Path, own: Git, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    hooks = ["post-checkout", "reference-transaction", "post-index-change", "pre-auto-gc"]
    for name in hooks:
        hook = repo / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho {name} >>{canary}\n")
        hook.chmod(0o755)
    add(own, repo / "trees" / "auth", "feature/auth")
    own.dirty(repo / "trees" / "auth")
    own.remove_worktree(repo / "trees" / "auth")
    own.delete_branch("feature/auth", head(repo))
    assert not canary.exists()
    git(repo, "switch", "--quiet", "--create", "x")
    assert "post-checkout" in canary.read_text(), "the hooks would have run"


def test_no_hook_of_a_branch_runs_through_a_relative_hooks_path(
    repo: Path, own: Git, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    commit(repo, {".husky/post-checkout": f"#!/bin/sh\ntouch {canary}\n"})
    (repo / ".husky" / "post-checkout").chmod(0o755)
    commit(repo, {".husky/x": ""})
    git(repo, "add", ".husky")
    git(repo, "commit", "--quiet", "--message", "mode")
    git(repo, "config", "core.hooksPath", ".husky")
    add(own, repo / "trees" / "auth", "feature/auth")
    assert not canary.exists()


def test_no_file_system_monitor_runs(repo: Path, own: Git, tree: Path, tmp_path: Path) -> None:
    monitor = tmp_path / "monitor"
    monitor.write_text(f"#!/bin/sh\ntouch {tmp_path}/canary\n")
    monitor.chmod(0o755)
    git(repo, "config", "core.fsmonitor", str(monitor))
    own.dirty(tree)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("planted", ["gitdir: /etc\n", "gitdir: ../../.git\n", "", "nonsense"])
def test_a_planted_git_file_is_refused_by_every_question(
    own: Git, tree: Path, planted: str
) -> None:
    (tree / ".git").write_text(planted)
    with pytest.raises(Refused, match=r"auth/\.git is not the file"):
        own.worktree_dir(tree)


def test_a_git_file_that_names_a_sibling_or_the_main_checkout_is_refused(
    repo: Path, own: Git, tree: Path
) -> None:
    add(own, repo / "trees" / "pay", "feature/pay")
    for name in (f"{repo}/.git/worktrees/pay", f"{repo}/.git", f"{repo}/.git/worktrees/.."):
        (tree / ".git").write_text(f"gitdir: {name}\n")
        for question in (own.dirty, own.check_out, own.is_checked_out):
            with pytest.raises(Refused):
                question(tree)
        with pytest.raises(Refused):
            own.tracked(tree, ["README.md"])


def test_git_is_not_run_with_a_git_directory_that_was_planted(
    own: Git, tree: Path, tmp_path: Path
) -> None:
    evil = make_repository(tmp_path / "evil")
    (evil / "hook").write_text(f"#!/bin/sh\ntouch {tmp_path}/canary\n")
    (evil / "hook").chmod(0o755)
    git(evil, "config", "core.fsmonitor", str(evil / "hook"))
    for plant in (Path.symlink_to, lambda path, at: path.write_text(f"gitdir: {at}\n")):
        (tree / ".git").unlink()
        plant(tree / ".git", evil / ".git")
        for question in (own.dirty, own.is_checked_out, own.check_out):
            with pytest.raises(Refused):
                question(tree)
    assert not (tmp_path / "canary").exists()


def test_a_git_folder_in_the_place_of_the_git_file_is_not_used(
    own: Git, tree: Path, tmp_path: Path
) -> None:
    (tree / ".git").unlink()
    git(tree, "init", "--quiet")
    git(tree, "config", "core.fsmonitor", f"touch {tmp_path}/canary; false")
    with pytest.raises(Refused):
        own.dirty(tree)
    assert not (tmp_path / "canary").exists()


def test_submodules_are_not_entered(repo: Path, own: Git, tree: Path, tmp_path: Path) -> None:
    planted = make_repository(tree / "sub")
    commit(planted, {"f": "x"})
    git(tree, "-c", "advice.addEmbeddedRepo=false", "add", "sub")
    git(tree, "commit", "--quiet", "--message", "a gitlink")
    (tmp_path / "clean").write_text(f"#!/bin/sh\ntouch {tmp_path}/canary\ncat\n")
    (tmp_path / "clean").chmod(0o755)
    git(planted, "config", "core.fsmonitor", str(tmp_path / "clean"))
    (planted / "f").write_text("changed")
    assert own.dirty(tree) == ["sub"]  # it may hold work; what it is, nobody asks
    assert not (tmp_path / "canary").exists()


@contextmanager
def environment(**values: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def test_a_git_dir_in_the_environment_is_ignored(repo: Path, own: Git, tmp_path: Path) -> None:
    other = make_repository(tmp_path / "other")
    commit(other, {"x": "1"})
    foreign = {
        "GIT_DIR": f"{other}/.git",
        "GIT_WORK_TREE": str(other),
        "GIT_INDEX_FILE": f"{other}/.git/index",
        "GIT_OBJECT_DIRECTORY": f"{other}/.git/objects",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.bare",
        "GIT_CONFIG_VALUE_0": "true",
    }
    with environment(**foreign):
        assert own.branch("main") != head_of(other)
        add(own, repo / "trees" / "auth", "feature/auth")
        write(repo / "trees" / "auth", {"new": "x"})
        assert own.dirty(repo / "trees" / "auth") == ["new"]
        place = locate(repo)
    assert place is not None
    assert place.checkout == repo
    assert (repo / "trees" / "auth" / "README.md").exists()
    assert git(other, "worktree", "list").count("\n") == 1


def head_of(folder: Path) -> str:
    return (folder / ".git" / "refs" / "heads" / "main").read_text().strip()


# --- archive, create ------------------------------------------------------------------------


def test_an_archive_holds_what_is_committed(repo: Path, own: Git, tmp_path: Path) -> None:
    import tarfile

    made = commit(repo, {"images/web/Dockerfile": "FROM scratch\n"})
    write(repo, {"images/web/untracked": "x"})
    with (tmp_path / "a.tar").open("wb") as file:
        own.archive(made, "images/web", file)
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.getnames() == ["Dockerfile"]
    with (tmp_path / "b.tar").open("wb") as file, pytest.raises(NotFound, match="no folder absent"):
        own.archive(made, "absent", file)
