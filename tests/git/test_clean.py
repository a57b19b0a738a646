"""`clean`: removes what treedock made and nothing else, and never loses work."""

from pathlib import Path

import pytest

from runner.controller.instance.worktree import InstanceRequest
from runner.controller.verbs import Controller
from runner.domain.errors import NotFound, UncommittedChanges, UnmergedCommits
from runner.domain.requests.cleanup import Clean
from tests.real_git import commit, git, write
from tests.shop import Shop

pytestmark = pytest.mark.deep


def branches(repo: Path) -> list[str]:
    return git(repo, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()


def test_everything_of_an_instance_goes_and_nothing_else(shop: Shop) -> None:
    shop.up("auth")
    shop.up("pay")
    tree = shop.tree("auth")
    cleaned = shop.clean("auth")
    assert [part.split()[0] for part in cleaned.removed] == [
        *("container", "worktree", "branch", "record"),
    ]
    assert not tree.exists()
    assert branches(shop.repo) == ["feature/pay", "main"]
    assert [c.instance for c in shop.engine.containers()] == ["pay"]
    assert [view.id for view in shop.list()] == ["pay"]
    assert shop.tree("pay").is_dir()
    with pytest.raises(NotFound):
        shop.clean("auth")


def test_uncommitted_changes_are_named_and_kept(shop: Shop) -> None:
    shop.up("auth")
    write(shop.tree("auth"), {"README.md": "changed", "new\nfile": "x"})
    with pytest.raises(UncommittedChanges, match=r"README\.md") as caught:
        shop.clean("auth")
    assert r"new\x0afile" in caught.value.message
    assert "--force" in caught.value.hint
    assert shop.tree("auth").is_dir()
    assert [c.status for c in shop.engine.containers()] == ["running"]


def test_of_many_changes_ten_are_named_and_the_rest_counted(shop: Shop) -> None:
    shop.up("auth")
    write(shop.tree("auth"), {f"f{n:02}": "x" for n in range(13)})
    with pytest.raises(UncommittedChanges, match="f09 and 3 more"):
        shop.clean("auth")


def test_commits_that_no_other_branch_holds_are_named_and_kept(shop: Shop) -> None:
    shop.up("auth")
    made = commit(shop.tree("auth"), {"a": "1"}, "log in with a key")
    with pytest.raises(UnmergedCommits, match=f"{made[:10]} log in with a key"):
        shop.clean("auth")
    assert "feature/auth" in branches(shop.repo)


def test_force_takes_them_away(shop: Shop) -> None:
    shop.up("auth")
    commit(shop.tree("auth"), {"a": "1"})
    write(shop.tree("auth"), {"new": "x"})
    shop.clean("auth", force=True)
    assert branches(shop.repo) == ["main"]


def test_a_merged_branch_can_go(shop: Shop) -> None:
    shop.up("auth")
    commit(shop.tree("auth"), {"a": "1"})
    git(shop.repo, "merge", "--quiet", "feature/auth")
    shop.clean("auth")
    assert branches(shop.repo) == ["main"]


def test_a_squash_merged_branch_can_go(shop: Shop) -> None:
    shop.up("auth")
    commit(shop.tree("auth"), {"a": "1"})
    commit(shop.tree("auth"), {"a": "2", "b": "1"})
    git(shop.repo, "merge", "--quiet", "--squash", "feature/auth")
    git(shop.repo, "commit", "--quiet", "--message", "squashed")
    commit(shop.repo, {"a": "3"}, "and on it goes")
    shop.clean("auth")
    assert branches(shop.repo) == ["main"]


def test_a_branch_that_was_squash_merged_at_the_origin_can_go(shop: Shop, origin: Path) -> None:
    shop.up("auth")
    commit(shop.tree("auth"), {"a": "1"})
    commit(shop.tree("auth"), {"a": "2"})
    git(shop.repo, "switch", "--quiet", "--detach", "main")
    git(shop.repo, "merge", "--quiet", "--squash", "feature/auth")
    git(shop.repo, "commit", "--quiet", "--message", "squashed")
    git(shop.repo, "push", "--quiet", "origin", "HEAD:main")
    git(shop.repo, "switch", "--quiet", "main")
    shop.clean("auth")
    assert branches(shop.repo) == ["main"]


def test_commits_of_a_detached_head_are_not_lost(shop: Shop) -> None:
    shop.up("auth")
    git(shop.tree("auth"), "switch", "--quiet", "--detach")
    made = commit(shop.tree("auth"), {"a": "1"}, "adrift")
    with pytest.raises(UnmergedCommits, match=f"{made[:10]} adrift"):
        shop.clean("auth")


def test_an_attached_branch_is_kept_with_its_commits(shop: Shop) -> None:
    git(shop.repo, "branch", "feature/auth")
    shop.up(InstanceRequest("auth", attach=True))
    made = commit(shop.tree("auth"), {"a": "1"})
    cleaned = shop.clean("auth")
    assert not any(part.startswith("branch") for part in cleaned.removed)
    assert git(shop.repo, "rev-parse", "feature/auth").strip() == made


def test_a_dry_run_says_it_all_and_touches_nothing(shop: Shop) -> None:
    shop.up("auth")
    told = shop.clean("auth", dry_run=True)
    assert shop.tree("auth").is_dir()
    assert shop.engine.containers()
    assert "feature/auth" in branches(shop.repo)
    assert shop.clean("auth").removed == told.removed


def test_a_dry_run_refuses_what_clean_would(shop: Shop) -> None:
    shop.up("auth")
    write(shop.tree("auth"), {"new": "x"})
    with pytest.raises(UncommittedChanges):
        shop.clean("auth", dry_run=True)


def test_a_clean_that_was_killed_half_way_is_completed(shop: Shop) -> None:
    shop.up("auth")
    shop.repository.git.remove_worktree(shop.tree("auth"))
    cleaned = shop.clean("auth")
    assert not any(part.startswith("worktree") for part in cleaned.removed)
    assert branches(shop.repo) == ["main"]
    assert shop.list() == []


def test_a_branch_that_is_checked_out_elsewhere_stays(shop: Shop, tmp_path: Path) -> None:
    shop.up("auth")
    git(shop.tree("auth"), "switch", "--quiet", "--detach")
    git(shop.repo, "worktree", "add", "--quiet", str(tmp_path / "mine"), "feature/auth")
    shop.clean("auth")
    assert "feature/auth" in branches(shop.repo)
    assert any("checked out in" in warning for warning in shop.warnings)
    assert (tmp_path / "mine" / "README.md").exists()


def test_clean_works_without_a_readable_configuration(shop: Shop) -> None:
    shop.up("auth")
    (shop.repo / "treedock.yaml").write_text("nonsense: [")
    shop.clean("auth")
    assert branches(shop.repo) == ["main"]


def test_afterwards_the_same_id_starts_anew(shop: Shop) -> None:
    first = shop.up("auth")
    shop.clean("auth")
    assert shop.up("auth").ports == first.ports


def clean_both(shop: Shop) -> list[str]:
    """`clean auth pay`: what became of each."""
    request = Clean(ids=("auth", "pay"))
    answer = Controller.open(shop.repo, connect=lambda: shop.engine).run(request)
    gone = {one.id for one in answer.cleaned}
    return [
        result.error.code if result.error else
        "cleaned" if result.id in gone else
        "held back" if result.id in answer.held_back else "?"
        for result in answer.results
    ]  # fmt: skip


def test_where_one_of_several_is_refused_none_is_removed(shop: Shop) -> None:
    shop.up("auth")
    shop.up("pay")
    write(shop.tree("pay"), {"new": "x"})
    assert clean_both(shop) == ["held back", "uncommitted_changes"]
    assert [view.id for view in shop.list()] == ["auth", "pay"]
    assert [c.status for c in shop.engine.containers()] == ["running", "running"]
    (shop.tree("pay") / "new").unlink()
    assert clean_both(shop) == ["cleaned", "cleaned"]
    assert shop.list() == []


def test_one_of_several_that_is_not_there_keeps_the_others(shop: Shop) -> None:
    shop.up("auth")
    assert clean_both(shop) == ["held back", "not_found"]
    assert [view.id for view in shop.list()] == ["auth"]


def test_two_that_go_together_hold_no_commits_for_each_other(shop: Shop) -> None:
    shop.up("auth")
    commit(shop.tree("auth"), {"a": "1"})
    shop.up(InstanceRequest("pay", base="feature/auth"))
    assert clean_both(shop) == ["unmerged_commits", "unmerged_commits"]
    assert branches(shop.repo) == ["feature/auth", "feature/pay", "main"]
