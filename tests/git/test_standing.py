"""How instances stand to base, as `list` and `status` show it."""

import pytest

from runner.controller.instance.worktree import InstanceRequest
from runner.controller.observe.listing import status
from tests.inside import Inside
from tests.real_git import commit, git
from tests.shop import Shop

pytestmark = pytest.mark.deep


def seen(shop: Shop) -> tuple[bool | None, bool | None]:
    (view,) = shop.list()
    return view.conflict, view.integrated


def test_a_fresh_instance_neither_conflicts_nor_is_integrated(shop: Shop) -> None:
    shop.up("auth")
    assert seen(shop) == (False, False)
    commit(shop.repo, {"more.txt": "x\n"})
    assert seen(shop) == (False, False)


def test_a_conflict_with_base_shows(shop: Shop) -> None:
    shop.up("auth")
    commit(shop.tree("auth"), {"README.md": "one\n"})
    assert seen(shop) == (False, False)
    commit(shop.repo, {"README.md": "two\n"})
    assert seen(shop) == (True, False)


def test_a_merged_branch_is_integrated(shop: Shop) -> None:
    shop.up("auth")
    commit(shop.tree("auth"), {"auth.txt": "x\n"})
    git(shop.repo, "merge", "--quiet", "--no-ff", "-m", "merged", "feature/auth")
    assert seen(shop) == (False, True)


def test_a_squash_merge_is_integrated(shop: Shop) -> None:
    shop.up("auth")
    commit(shop.tree("auth"), {"auth.txt": "x\n"})
    commit(shop.tree("auth"), {"auth.txt": "y\n"})
    git(shop.repo, "merge", "--quiet", "--squash", "feature/auth")
    git(shop.repo, "commit", "--quiet", "-m", "squashed")
    assert seen(shop) == (False, True)


def test_a_squash_merge_that_base_has_built_on_is_told_by_status(shop: Shop) -> None:
    shop.up("auth")
    commit(shop.tree("auth"), {"auth.txt": "x\n"})
    git(shop.repo, "merge", "--quiet", "--squash", "feature/auth")
    git(shop.repo, "commit", "--quiet", "-m", "squashed")
    commit(shop.repo, {"auth.txt": "built on\n"})
    (view,) = status(shop.project, [], shop.emit)
    assert view.integrated


def test_a_conflict_of_a_branch_that_was_there_before_shows(shop: Shop) -> None:
    git(shop.repo, "switch", "--quiet", "-c", "feature/auth")
    commit(shop.repo, {"README.md": "one\n"})
    git(shop.repo, "switch", "--quiet", "main")
    commit(shop.repo, {"README.md": "two\n"})
    shop.up(InstanceRequest("auth", attach=True))
    assert seen(shop) == (True, False)


def test_status_tells_which_side_has_moved_since_the_last_sync(auth: Inside) -> None:
    def unsynced() -> str | None:
        (seen,) = status(auth.shop.project, ["auth"], auth.shop.emit)
        return seen.unsynced

    assert unsynced() is None
    auth.commit({"inside.txt": "x\n"})
    assert unsynced() == "inside"
    commit(auth.tree, {"host.txt": "x\n"})
    assert unsynced() == "both"
    auth("git reset -q --hard HEAD~1")
    assert unsynced() == "host"
    auth.sync()
    assert unsynced() is None


def test_status_tells_what_is_in_progress_inside(auth: Inside) -> None:
    auth.commit({"README.md": "one\n"})
    auth.commit({"README.md": "two\n"})
    assert auth.run("git rebase --onto HEAD~2 HEAD~1").code != 0
    (seen,) = status(auth.shop.project, ["auth"], auth.shop.emit)
    assert seen.in_progress == "rebase"


def test_who_starts_from_another_instance_gets_what_was_committed_in_it(auth: Inside) -> None:
    auth.commit({"inside.txt": "x\n"})
    auth.shop.up(InstanceRequest("pay", base="feature/auth"))
    assert (auth.shop.tree("pay") / "inside.txt").exists()
