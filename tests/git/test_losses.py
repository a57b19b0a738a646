"""What git status does not show is not lost either."""

from pathlib import Path

import pytest

from runner.controller.landing.conflicts import conflicts
from runner.controller.landing.merge import merge
from runner.controller.landing.review import review
from runner.domain.errors import Refused, UncommittedChanges, UnmergedCommits
from runner.domain.requests.cleanup import Cleaned
from runner.domain.requests.landing import Merge
from tests.git.test_archive import archive_of, restore
from tests.real_git import commit, git, make_repository, write
from tests.shop import Shop

pytestmark = pytest.mark.deep

FLAGS = ["--skip-worktree", "--assume-unchanged"]


@pytest.fixture
def tree(shop: Shop) -> Path:
    """The worktree of the instance `auth`, with `cfg.txt` and the ignored folder `scratch`."""
    commit(shop.repo, {"cfg.txt": "a\n", "app/main.py": "m\n", ".gitignore": "scratch/\n*.tmp\n"})
    shop.up("auth")
    return shop.tree("auth")


def run_the_hint(error: Refused) -> None:
    """Type the command of its first line."""
    command = error.hint.splitlines()[0].partition(": ")[2].split()
    git(Path("/"), *command[1:])


def inner(folder: Path, *, bare: bool = False) -> Path:
    """A repository with one commit that is nowhere else."""
    made = make_repository(folder)
    commit(made, {"idea": "x"}, "an idea")
    if bare:
        git(folder, "clone", "--quiet", "--bare", ".", "bare.git")
        git(folder / "bare.git", "remote", "remove", "origin")
    return made


@pytest.mark.parametrize("flag", FLAGS)
def test_an_edit_under_an_index_flag_is_named_shown_again_and_archived(
    shop: Shop, tree: Path, flag: str
) -> None:
    git(tree, "update-index", flag, "cfg.txt", "app/main.py")
    write(tree, {"cfg.txt": "b\n"})
    assert git(tree, "status", "--short") == ""
    with pytest.raises(UncommittedChanges, match=r"changes: cfg\.txt\.") as caught:
        shop.clean("auth")
    seen_by_review = review(shop.repository, "auth", shop.emit).uncommitted
    assert seen_by_review
    assert [one.path for one in seen_by_review.files] == ["cfg.txt"]
    assert seen_by_review.diff
    assert "+b\n" in seen_by_review.diff.text
    (seen,) = conflicts(shop.project, ["auth"], shop.emit)[0].compared
    assert seen.dirty_included
    archive = archive_of(shop.clean("auth", force_dirty=True))
    restore(shop, archive.restore)
    assert (tree / "cfg.txt").read_text() == "b\n"
    assert git(tree, "status", "--short") == " M cfg.txt\n"
    git(tree, "update-index", flag, "cfg.txt")
    run_the_hint(caught.value)
    assert git(tree, "status", "--short") == " M cfg.txt\n"


def test_a_merge_refuses_what_an_index_flag_hides(shop: Shop, tree: Path) -> None:
    commit(tree, {"new": "x"})
    git(tree, "update-index", "--skip-worktree", "cfg.txt")
    write(tree, {"cfg.txt": "b\n"})
    (outcome,) = merge(shop.project, ["auth"], Merge(no_gate=True), shop.emit)[0].outcomes
    assert (outcome.state, "cfg.txt" in outcome.message) == ("refused", True)
    assert "update-index --no-skip-worktree cfg.txt" in outcome.hint


def test_a_deleted_file_that_is_assumed_unchanged_counts(shop: Shop, tree: Path) -> None:
    git(tree, "update-index", "--assume-unchanged", "cfg.txt")
    (tree / "cfg.txt").unlink()
    with pytest.raises(UncommittedChanges, match=r"cfg\.txt"):
        shop.clean("auth")


def test_what_a_sparse_checkout_leaves_out_is_no_change(shop: Shop, tree: Path) -> None:
    git(tree, "sparse-checkout", "set", "app")
    git(tree, "update-index", "--skip-worktree", "app/main.py")  # as it is
    shop.clean("auth")


def test_settings_that_keep_git_from_looking_hide_nothing(shop: Shop, tree: Path) -> None:
    for key, value in {
        "status.showUntrackedFiles": "no",
        "core.ignoreCase": "true",
        "core.ignoreStat": "true",
        "core.checkStat": "minimal",
        "core.trustctime": "false",
        "core.untrackedCache": "true",
        "core.fsmonitor": "true",
        "sparse.expectFilesOutsideOfPatterns": "true",
    }.items():
        git(shop.repo, "config", key, value)
    write(tree, {"CFG.txt": "other", "src/new": "x"})
    with pytest.raises(UncommittedChanges) as caught:
        shop.clean("auth")
    assert all(name in caught.value.message for name in ("CFG.txt", "src/new"))


def test_repositories_in_ignored_folders_and_around_tracked_files_are_named_and_kept(
    shop: Shop, tree: Path
) -> None:
    inner(tree / "scratch/n", bare=True)
    git(tree / "app", "init", "--quiet")
    git(tree / "app", "commit", "--quiet", "--allow-empty", "--message", "hidden")
    (tree / "scratch/n/bare.git").rename(tree / "scratch/bare.git")
    with pytest.raises(
        UncommittedChanges, match=r": app, scratch/bare\.git, scratch/n\."
    ) as caught:
        shop.clean("auth")
    assert "--force-dirty" in caught.value.hint
    cleaned = shop.clean("auth", force_dirty=True)
    assert cleaned.ignored == []
    restore(shop, archive_of(cleaned).restore)
    for folder in ("app", "scratch/bare.git", "scratch/n"):
        assert git(tree / folder, "rev-list", "--count", "HEAD") == "1\n"


def test_a_clone_in_which_nothing_was_committed_is_ignored_like_its_folder(
    shop: Shop, tree: Path, tmp_path: Path
) -> None:
    inner(tmp_path / "library")
    (tree / "scratch").mkdir()
    git(tree / "scratch", "clone", "--quiet", str(tmp_path / "library"), "lib")
    git(tree / "scratch", "init", "--quiet", "empty")
    assert shop.clean("auth", dry_run=True).ignored == ["scratch/empty/", "scratch/lib/"]
    git(tree / "scratch/lib", "stash", "list")
    write(tree / "scratch/lib", {"idea": "y"})
    git(tree / "scratch/lib", "stash")
    with pytest.raises(UncommittedChanges, match="scratch/lib"):
        shop.clean("auth")


def test_ignored_files_are_counted_named_and_kept_if_asked_for(shop: Shop, tree: Path) -> None:
    write(tree, {"a.tmp": "1", "scratch/b": "22", "scratch/c": "333"})
    ignored = ["a.tmp", "scratch/b", "scratch/c"]
    assert sorted(shop.clean("auth", dry_run=True).ignored) == ignored
    shop.configure(limits={"disk_free": 0, "archive": 5})
    with pytest.raises(Refused, match=r"have 6 bytes, and limits\.archive is 5"):
        shop.clean("auth", keep_ignored=True)
    shop.configure(limits={"disk_free": 0})
    assert shop.clean("auth", keep_ignored=True, dry_run=True).would_keep == ["3 ignored files"]
    cleaned = shop.clean("auth", keep_ignored=True)
    assert cleaned.ignored == []
    restore(shop, archive_of(cleaned).restore)
    assert [(tree / name).read_text() for name in ignored] == ["1", "22", "333"]
    git(shop.repo, "restore", ".")
    assert sorted(shop.clean("auth").ignored) == ignored


def test_what_a_merge_removes_with_a_repository_in_it_is_kept(shop: Shop, tree: Path) -> None:
    commit(tree, {"new": "x"})
    inner(tree / "scratch/n")
    (outcome,) = merge(shop.project, ["auth"], Merge(no_gate=True), shop.emit)[0].outcomes
    assert outcome.state == "landed"
    assert not tree.exists()
    (told,) = [text for text in shop.remarks if text.startswith("what is not in base is kept in")]
    kept = Path(told.rpartition(" ")[2]) / "uncommitted.tar"
    git(shop.repo.parent, "init", "--quiet", "unpacked")
    assert b"scratch/n/idea" in kept.read_bytes()


def test_cleaned_is_told(shop: Shop, tree: Path) -> None:
    from runner.cli.lifecycle import _cleaned

    told = Cleaned("auth", [], ignored=["a", "b", "c"], ignored_count=3)
    assert list(_cleaned(told, dry_run=False)) == ["removes 3 ignored files: a, b, c"]
    assert list(_cleaned(told, dry_run=True)) == ["would remove 3 ignored files: a, b, c"]


def test_a_worktree_that_was_added_below_an_ignored_folder_is_named_and_kept(
    shop: Shop, tree: Path
) -> None:
    git(shop.repo, "worktree", "add", "--quiet", "--detach", str(tree / "scratch/w"))
    write(tree / "scratch/w", {"draft": "x"})
    with pytest.raises(UncommittedChanges, match=r"work that is nowhere else: scratch/w\."):
        shop.clean("auth")
    made = commit(tree / "scratch/w", {"idea": "x"}, "an idea")
    with pytest.raises(UnmergedCommits, match=r"an idea \(a detached HEAD\)"):
        shop.clean("auth", force_dirty=True)
    cleaned = shop.clean("auth", force=True)
    assert cleaned.ignored == []
    git(shop.repo, "worktree", "prune")
    restore(shop, archive_of(cleaned).restore)
    assert git(shop.repo, "rev-parse", "auth-detached-0").strip() == made
    assert (tree / "scratch/w/draft").read_text() == "x"


def test_what_is_staged_and_neither_committed_nor_in_the_files_is_kept(
    shop: Shop, tree: Path
) -> None:
    write(tree, {"cfg.txt": "staged\n", "gone": "staged too\n"})
    git(tree, "add", "cfg.txt", "gone")
    write(tree, {"cfg.txt": "later\n"})
    (tree / "gone").unlink()
    restore(shop, archive_of(shop.clean("auth", force_dirty=True)).restore)
    assert (tree / "cfg.txt").read_text() == "later\n"
    assert git(shop.repo, "show", "auth-staged:cfg.txt") == "staged\n"
    assert git(shop.repo, "show", "auth-staged:gone") == "staged too\n"
