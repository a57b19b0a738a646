"""An instance lands in the branch it started from, and is pushed where that branch lives."""

from collections.abc import Callable
from pathlib import Path

import pytest

from runner.controller.instance.worktree import InstanceRequest
from runner.controller.landing.conflicts import conflicts
from runner.controller.landing.merge import merge
from runner.domain.errors import NotFound, Refused
from runner.domain.landing.outcomes import Merged
from runner.domain.requests.landing import Merge
from tests.git.test_merge import head, land, outcome, outcomes, work_on
from tests.real_git import commit, git
from tests.shop import Shop

pytestmark = pytest.mark.deep

Queue = Callable[..., Merged]

__all__ = ["land"]  # the fixture


@pytest.fixture
def release(shop: Shop) -> str:
    """A branch beside main, checked out nowhere."""
    git(shop.repo, "switch", "--quiet", "-c", "release")
    made = commit(shop.repo, {"release.txt": "1\n"})
    git(shop.repo, "switch", "--quiet", "main")
    return made


def land_all(shop: Shop, *ids: str, gate: str | None = None) -> list[Merged]:
    """The queues of one merge, in the order in which their bases were named."""
    wanted = Merge(order="given", gates=(gate,) if gate else ())
    return merge(shop.project, ids, wanted, shop.emit)


def bare(shop: Shop, name: str, *branches: str) -> Path:
    """A remote beside the checkout, by a relative address, with these branches."""
    folder = shop.repo.parent / f"{name}.git"
    git(shop.repo, "init", "--quiet", "--bare", str(folder))
    git(shop.repo, "remote", "add", name, f"../{name}.git")
    for branch in branches:
        git(shop.repo, "push", "--quiet", name, branch)
    return folder


def test_each_lands_where_it_started_from_in_a_queue_of_its_own(
    shop: Shop, release: str, land: Queue
) -> None:
    shop.configure(test="test -f release.txt && exit 7 || true")
    git(shop.repo, "commit", "--quiet", "--all", "--message", "gate of main")
    work_on(shop, "fix", {"fix.txt": "x\n"}, base="release")
    work_on(shop, "above", {"above.txt": "x\n"}, base="feature/fix")
    work_on(shop, "new", {"new.txt": "x\n"})
    merged, other = land_all(shop, "fix", "new", "above", gate="test -f fix.txt || test -f new.txt")
    assert (merged.base, other.base) == ("release", "main")
    assert outcomes(merged) == {"fix": "landed", "above": "landed"}
    assert outcomes(other) == {"new": "landed"}
    assert "landed in release" in outcome(merged, "fix").message
    assert merged.was == release
    names = {
        branch: set(git(shop.repo, "ls-tree", "--name-only", branch).split())
        for branch in ("release", "main")
    }
    assert names["release"] - names["main"] == {"release.txt", "fix.txt", "above.txt"}
    assert "new.txt" in names["main"] - names["release"]
    assert any(said.startswith("into release: fix") for said in shop.remarks)
    assert shop.repository.records.ids() == []


def test_what_stops_one_queue_does_not_stop_the_other(
    shop: Shop, release: str, land: Queue
) -> None:
    work_on(shop, "fix", {"fix.txt": "x\n"}, base="release")
    work_on(shop, "new", {"new.txt": "x\n"})
    git(shop.repo, "config", "branch.release.remote", "away")
    git(shop.repo, "remote", "add", "away", "../nowhere.git")
    git(shop.repo, "config", "branch.main.remote", ".")
    git(shop.repo, "remote", "add", "further", "../nowhere.git")
    merged, other = land_all(shop, "fix", "new")
    assert outcomes(merged) == {"fix": "refused"}
    assert "--no-push" in outcome(merged, "fix").hint
    assert outcomes(other) == {"new": "landed"}
    assert "git config branch.main.remote" in other.not_pushed
    assert merged.exit_code == 5


def test_another_branch_to_land_in_is_named(shop: Shop, release: str, land: Queue) -> None:
    commit(shop.repo, {"main.txt": "x\n"})
    work_on(shop, "new", {"new.txt": "x\n"})
    before = head(shop)
    with pytest.raises(NotFound) as absent:
        land("new", into="nonsense")
    assert "--into main" in absent.value.hint
    merged = land("new", into="release", keep=True)
    assert outcomes(merged) == {"new": "landed"}
    assert head(shop) == before
    assert "into release: new" in shop.remarks
    assert git(shop.repo, "show", "release:new.txt") == "x\n"
    assert any("commits of main that release lacks" in text for text in shop.warnings)
    assert outcomes(land("new")) == {"new": "landed"}
    assert git(shop.repo, "show", "main:new.txt") == "x\n"


def test_the_branch_of_another_instance_is_nothing_to_land_in(shop: Shop, land: Queue) -> None:
    work_on(shop, "one", {"one.txt": "x\n"})
    work_on(shop, "two", {"two.txt": "x\n"})
    with pytest.raises(Refused) as refused:
        land("two", into="feature/one")
    assert "treedock merge one two --into main" in refused.value.hint


def test_a_base_that_is_gone_is_said_with_a_way_out(shop: Shop, release: str, land: Queue) -> None:
    work_on(shop, "fix", {"fix.txt": "x\n"}, base="release")
    git(shop.repo, "branch", "--quiet", "-D", "release")
    with pytest.raises(NotFound) as gone:
        land("fix")
    assert "--into main" in gone.value.hint
    work_on(shop, "new", {"new.txt": "x\n"})
    merged, other = land_all(shop, "fix", "new")
    assert outcomes(merged) == {"fix": "refused"}
    assert outcomes(other) == {"new": "landed"}
    assert outcomes(land("fix", into="main")) == {"fix": "landed"}


def test_base_is_fetched_made_and_pushed_where_it_lives(
    shop: Shop, release: str, land: Queue
) -> None:
    upstream, fork = bare(shop, "upstream", "main", "release"), bare(shop, "origin", "main")
    git(shop.repo, "config", "branch.release.remote", "upstream")
    git(shop.repo, "config", "branch.main.remote", "upstream")
    git(shop.repo, "branch", "--quiet", "-D", "release")
    git(shop.repo, "config", "branch.release.remote", "upstream")
    other = shop.repo.parent / "other"
    git(shop.repo, "clone", "--quiet", "--branch", "release", str(upstream), str(other))
    theirs = commit(other, {"theirs.txt": "x\n"})
    git(other, "push", "--quiet")
    (brought,) = shop.bring(InstanceRequest("fix", base="release"), fetch=True)
    assert brought.error is None
    assert shop.record("fix").git.base_commit == theirs
    commit(shop.tree("fix"), {"fix.txt": "x\n"})
    work_on(shop, "new", {"new.txt": "x\n"})
    old = git(fork, "rev-parse", "main")
    merged = land("fix", "new", gates=("true",))
    assert (merged.pushed, merged.remote) == (True, "upstream")
    assert git(upstream, "rev-parse", "release").strip() == head(shop, "release") == merged.now
    assert git(upstream, "rev-parse", "main").strip() == head(shop)
    assert git(fork, "rev-parse", "main") == old


def test_the_only_remote_counts_whatever_its_name(shop: Shop, land: Queue) -> None:
    hub = bare(shop, "hub", "main")
    work_on(shop, "one", {"one.txt": "x\n"})
    work_on(shop, "two", {"two.txt": "x\n"})
    git(shop.repo, "push", "--quiet", "hub", "feature/one")
    git(shop.repo, "update-ref", "-d", "refs/remotes/hub/main")
    merged = land("one")
    assert (merged.pushed, merged.remote, merged.not_pushed) == (True, "hub", "")
    assert git(hub, "rev-parse", "main").strip() == head(shop)
    assert "feature/one" not in git(hub, "branch", "--list")
    local = land("two", push=False)
    assert (local.pushed, local.remote, local.not_pushed) == (False, None, "--no-push")


def test_where_nothing_is_pushed_the_reason_is_told(shop: Shop, release: str, land: Queue) -> None:
    for name, base in {"one": "main", "two": "main", "fix": "release"}.items():
        work_on(shop, name, {f"{name}.txt": "x\n"}, base=base)
    assert land("one").not_pushed == "there is no remote"
    bare(shop, "hub", "main")
    merged = land("fix")
    assert merged.not_pushed == "hub has no branch release; push it once: git push hub release"
    git(shop.repo, "push", "--quiet", "hub", "release")
    bare(shop, "fork", "main")
    assert "git config branch.main.remote hub" in land("two").not_pushed
    with pytest.raises(Refused, match="cannot be pushed"):
        land("two", push=True, everything=True)


def test_conflicts_are_those_with_the_branch_that_each_lands_in(shop: Shop, release: str) -> None:
    work_on(shop, "fix", {"release.txt": "2\n"}, base="release")
    work_on(shop, "new", {"release.txt": "3\n"})
    seen, other = conflicts(shop.project, ["fix", "new"], shop.emit)
    assert (seen.base, other.base) == ("release", "main")
    assert [(one.id, one.conflict) for one in seen.compared] == [("fix", False)]
    assert [(one.id, one.conflict) for one in other.compared] == [("new", False)]
