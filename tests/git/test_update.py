"""`update`: today's base into an instance, merged or rebased inside it."""

from dataclasses import replace

import pytest

from runner.controller.landing.merge import merge
from runner.domain.errors import BothMoved, MergeConflict, NotFound, Refused
from runner.domain.requests.landing import Merge
from tests.inside import Inside
from tests.real_git import commit, git
from tests.shop import Shop

pytestmark = pytest.mark.deep


@pytest.fixture
def behind(auth: Inside) -> Inside:
    """An instance with a commit of its own, and base with another one."""
    auth.commit({"login.txt": "x\n"}, "login")
    commit(auth.shop.repo, {"base.txt": "x\n"}, "base")
    return auth


@pytest.fixture
def conflicting(auth: Inside) -> Inside:
    """An instance and a base that changed the same line."""
    auth.commit({"README.md": "inside\n"}, "inside")
    commit(auth.shop.repo, {"README.md": "base\n"}, "base")
    return auth


def subjects(auth: Inside) -> list[str]:
    """What the branch holds beyond the two first commits, the newest first."""
    return git(auth.shop.repo, "log", "--format=%s", f"{auth.head}", "^main~1").splitlines()


def main(auth: Inside) -> str:
    return git(auth.shop.repo, "rev-parse", "main").strip()


def test_base_is_merged_into_the_instance(behind: Inside) -> None:
    updated = behind.update()
    assert updated.changed
    assert (updated.base, updated.base_commit) == ("main", main(behind))
    assert updated.head == behind.head == behind("git rev-parse HEAD")
    assert len(git(behind.shop.repo, "rev-list", "--parents", "-1", behind.head).split()) == 3
    assert (behind.tree / "base.txt").exists()
    assert behind("git status --porcelain") == git(behind.tree, "status", "--porcelain") == ""


def test_the_instance_is_rebased_onto_base(behind: Inside) -> None:
    old = behind("git rev-parse HEAD")
    updated = behind.update("rebase")
    assert updated.changed
    assert subjects(behind) == ["login", "base"]
    assert behind.kept("was/") == {"was/1": old}
    assert git(behind.tree, "status", "--porcelain") == ""


def test_without_anything_new_in_base_nothing_changes(auth: Inside) -> None:
    made = auth.commit({"login.txt": "x\n"})
    auth.sync()
    updated = auth.update()
    assert (updated.changed, updated.head) == (False, made)


def test_inside_origin_and_base_is_todays_base_and_kept_here(behind: Inside) -> None:
    behind.update()
    assert behind("git rev-parse origin/main") == main(behind)
    assert behind.kept("base") == {"base": main(behind)}


@pytest.mark.parametrize("how", ["merge", "rebase"])
def test_a_conflict_names_the_files_and_stays_in_progress_inside(
    conflicting: Inside, how: str
) -> None:
    with pytest.raises(MergeConflict) as caught:
        conflicting.update("rebase" if how == "rebase" else "merge")
    assert f"the {how} stopped at conflicts in: README.md" in caught.value.message
    assert "treedock update auth --continue (or --abort)" in caught.value.hint
    assert "<<<<<<<" in (conflicting.tree / "README.md").read_text()
    with pytest.raises(Refused, match=f"a {how} is in progress inside"):
        conflicting.update()


@pytest.mark.parametrize("how", ["merge", "rebase"])
def test_a_resolved_conflict_is_continued(conflicting: Inside, how: str) -> None:
    with pytest.raises(MergeConflict):
        conflicting.update("rebase" if how == "rebase" else "merge")
    with pytest.raises(MergeConflict, match=r"README\.md"):
        conflicting.go_on("continue")
    conflicting("echo both > README.md; git add README.md")
    updated = conflicting.go_on("continue")
    assert updated.changed
    assert updated.head == conflicting.head
    assert git(conflicting.shop.repo, "merge-base", "main", updated.head).strip() == main(
        conflicting
    )
    assert git(conflicting.shop.repo, "show", f"{updated.head}:README.md") == "both\n"
    assert conflicting("git status --porcelain") == ""


@pytest.mark.parametrize("how", ["merge", "rebase"])
def test_a_conflict_is_given_up_and_all_is_as_before(conflicting: Inside, how: str) -> None:
    before = conflicting("git rev-parse HEAD")
    with pytest.raises(MergeConflict):
        conflicting.update("rebase" if how == "rebase" else "merge")
    updated = conflicting.go_on("abort")
    assert (updated.changed, updated.head) == (False, before)
    assert conflicting("git status --porcelain; git symbolic-ref --short HEAD") == "feature/auth"
    assert (conflicting.tree / "README.md").read_text() == "inside\n"


def test_there_is_nothing_to_continue_without_an_update(auth: Inside) -> None:
    with pytest.raises(Refused, match="no update is in progress"):
        auth.go_on("continue")


def test_uncommitted_changes_are_refused_and_stay(behind: Inside) -> None:
    (behind.tree / "README.md").write_text("changed\n")
    old = behind.kept("base")
    with pytest.raises(Refused, match="uncommitted changes") as caught:
        behind.update()
    assert "Commit or stash them inside" in caught.value.hint
    assert (behind.tree / "README.md").read_text() == "changed\n"
    assert behind.kept("base") == old  # inside leans on that one still


def test_untracked_files_are_no_obstacle_unless_base_has_them(behind: Inside) -> None:
    (behind.tree / "base.txt").write_text("mine\n")
    with pytest.raises(Refused, match="git merge inside failed"):
        behind.update()
    assert (behind.tree / "base.txt").read_text() == "mine\n"
    (behind.tree / "base.txt").rename(behind.tree / "other.txt")
    assert behind.update().changed


def test_another_branch_inside_is_refused_with_the_way_back(behind: Inside) -> None:
    behind("git switch --quiet -c other")
    with pytest.raises(Refused, match="another branch than feature/auth") as caught:
        behind.update()
    assert "git switch feature/auth" in caught.value.hint


def test_commits_of_both_sides_are_brought_together_first(behind: Inside) -> None:
    commit(behind.tree, {"here.txt": "x\n"})
    with pytest.raises(BothMoved):
        behind.update()


def test_a_commit_made_here_is_in_what_is_rebased(auth: Inside) -> None:
    commit(auth.tree, {"here.txt": "x\n"}, "here")
    commit(auth.shop.repo, {"base.txt": "x\n"}, "base")
    auth.update("rebase")
    assert subjects(auth) == ["here", "base"]


def test_a_base_with_submodules_is_refused_before_anything_moves(behind: Inside) -> None:
    repo = behind.shop.repo
    git(repo, "update-index", "--add", "--cacheinfo", f"160000,{main(behind)},library")
    git(repo, "commit", "--quiet", "--message", "library")
    with pytest.raises(Refused, match="main has submodules now"):
        behind.update()
    assert not (behind.tree / "base.txt").exists()


def test_a_base_that_is_gone_is_said(behind: Inside) -> None:
    git(behind.shop.repo, "branch", "--move", "main", "trunk")
    with pytest.raises(NotFound, match="its base main is gone"):
        behind.update()


def test_base_is_fetched_where_there_is_an_origin(auth: Inside, shop: Shop, origin: object) -> None:
    git(shop.repo, "push", "--quiet", "origin", "main")
    other = shop.repo.with_name("other")
    git(shop.repo.parent, "clone", "--quiet", str(origin), str(other))
    pushed = commit(other, {"base.txt": "x\n"})
    git(other, "push", "--quiet")
    assert auth.update().base_commit == pushed
    assert (auth.tree / "base.txt").exists()


def test_an_origin_that_does_not_answer_is_said_and_the_rest_goes_on(
    behind: Inside, origin: object
) -> None:
    git(behind.shop.repo, "remote", "set-url", "origin", str(behind.shop.repo / "nowhere"))
    assert behind.update().changed
    assert any("going on with what is here" in said for said in behind.said)


def test_an_update_while_base_is_forced_back_and_cleared_leaves_the_instance_whole(
    behind: Inside,
) -> None:
    repo = behind.shop.repo
    behind.update()
    (behind.tree / "README.md").write_text("changed\n")
    git(repo, "reset", "--quiet", "--hard", "HEAD~1")
    commit(repo, {"other.txt": "x\n"})
    with pytest.raises(Refused, match="uncommitted changes"):
        behind.update()
    git(repo, "reflog", "expire", "--expire=now", "--expire-unreachable=now", "--all")
    git(repo, "gc", "--quiet", "--prune=now")
    behind("git fsck --strict; git log --stat origin/main HEAD")


def test_the_landed_branch_that_it_leaned_on_goes_once_base_is_in(shop: Shop) -> None:
    from runner.controller.instance.worktree import InstanceRequest

    shop.up("auth")
    below = commit(shop.tree("auth"), {"auth.txt": "x\n"})
    shop.up(InstanceRequest("search", base="feature/auth"))
    search = Inside(shop, "search")
    search.commit({"search.txt": "x\n"})
    git(shop.repo, "merge", "--quiet", "--no-ff", "feature/auth")
    shop.clean("auth")
    git(shop.repo, "branch", "--force", "feature/auth", below)
    lineage = replace(search.operation.record.git, base="main")
    search.operation.change(git=lineage, leans_on="feature/auth")
    search.update()
    assert git(shop.repo, "branch", "--list", "feature/auth") == ""
    assert search.operation.record.leans_on is None


def test_a_conflict_that_was_resolved_and_committed_inside_is_over(conflicting: Inside) -> None:
    with pytest.raises(MergeConflict):
        conflicting.update()
    conflicting("echo both > README.md; git add README.md; git commit -qm resolved")
    updated = conflicting.go_on("continue")
    assert updated.changed
    assert updated.head == conflicting("git rev-parse HEAD")
    with pytest.raises(Refused, match="no update is in progress"):
        conflicting.go_on("continue")


@pytest.mark.parametrize("how", ["merge", "rebase"])
def test_giving_up_does_not_take_back_what_was_committed_on_the_host_meanwhile(
    conflicting: Inside, how: str
) -> None:
    conflicting.sync()
    synced = conflicting.head
    with pytest.raises(MergeConflict):
        conflicting.update("rebase" if how == "rebase" else "merge")
    made = commit(conflicting.tree, {"README.md": "host\n"}, "host")
    with pytest.raises(Refused, match=f"{made[:10]} was committed on this side") as caught:
        conflicting.go_on("abort")
    assert (conflicting.tree / "README.md").read_text() == "host\n"
    assert f"reset {synced[:10]}" in caught.value.hint
    git(conflicting.tree, "reset", "--quiet", synced)
    conflicting.go_on("abort")
    assert git(conflicting.tree, "status", "--porcelain") == ""


def test_what_a_merge_said_of_an_older_commit_is_forgotten(conflicting: Inside) -> None:
    conflicting.sync()
    shop = conflicting.shop
    merge(shop.project, ["auth"], Merge(), shop.emit)
    assert shop.record("auth").merge
    with pytest.raises(MergeConflict):
        conflicting.update()
    conflicting("echo both > README.md; git add README.md")
    conflicting.go_on("continue")
    assert shop.record("auth").merge is None
