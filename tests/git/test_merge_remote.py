"""Merging where there is an origin: it decides first."""

from collections.abc import Callable
from pathlib import Path

import pytest

from runner.controller.landing.merge import merge
from runner.domain.errors import Refused
from runner.domain.landing.outcomes import Merged
from runner.domain.requests.landing import Merge
from tests.git.test_merge import head, outcome, outcomes, work_on
from tests.real_git import commit, git
from tests.shop import Shop

pytestmark = pytest.mark.deep

Queue = Callable[..., Merged]


@pytest.fixture
def land(shop: Shop, origin: Path) -> Queue:
    def run(*ids: str, **wanted: object) -> Merged:
        shop.events.clear()
        options = Merge(**{"order": "given", **wanted})  # type: ignore[arg-type]
        return merge(shop.project, ids, options, shop.emit)[0]

    return run


def elsewhere(origin: Path, tmp_path: Path, files: dict[str, str]) -> str:
    """Somebody else pushes a commit to main."""
    other = tmp_path / "other"
    if not other.exists():
        git(tmp_path, "clone", "--quiet", str(origin), str(other))
    git(other, "pull", "--quiet")
    made = commit(other, files, "from elsewhere")
    git(other, "push", "--quiet", "origin", "main")
    return made


def test_the_tested_commit_is_at_the_origin_too(shop: Shop, origin: Path, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    merged = land("auth")
    assert merged.pushed
    assert git(origin, "rev-parse", "main").strip() == head(shop) == outcome(merged, "auth").commit


def test_base_follows_the_origin_before_anything_is_built(
    shop: Shop, origin: Path, land: Queue, tmp_path: Path
) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    theirs = elsewhere(origin, tmp_path, {"other.txt": "x\n"})
    merged = land("auth", gates=("test -f other.txt",))
    assert outcomes(merged) == {"auth": "landed"}
    assert git(shop.repo, "rev-parse", "main^1").strip() == theirs
    assert (shop.repo / "other.txt").exists()


def test_a_push_that_loses_the_race_is_built_and_tested_again(
    shop: Shop, origin: Path, land: Queue, tmp_path: Path
) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    other = tmp_path / "racer"
    git(tmp_path, "clone", "--quiet", str(origin), str(other))
    once = tmp_path / "raced"
    who = "-c user.name=Eve -c user.email=eve@example.com"
    race = f"git -C {other} {who} commit -q --allow-empty -m raced && git -C {other} push -q"
    merged = land("auth", gates=(f"test -e {once} || {{ touch {once}; {race}; }}",))
    assert outcomes(merged) == {"auth": "landed"}
    assert git(shop.repo, "log", "-1", "--format=%s", "main^1").strip() == "raced"
    assert git(origin, "rev-parse", "main").strip() == head(shop)


def test_a_rejected_push_leaves_both_sides_as_they_were(
    shop: Shop, origin: Path, land: Queue
) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    hook = origin / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho no pushes on Saturdays >&2; exit 1\n")
    hook.chmod(0o755)
    before = head(shop)
    merged = land("auth")
    assert outcomes(merged) == {"auth": "refused"}
    assert outcome(merged, "auth").hint
    assert "no pushes on Saturdays" in outcome(merged, "auth").message
    assert head(shop) == before == git(origin, "rev-parse", "main").strip()
    assert shop.tree("auth").is_dir()


def test_the_remote_branch_goes_after_a_verified_push(
    shop: Shop, origin: Path, land: Queue
) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    git(shop.repo, "push", "--quiet", "origin", "feature/auth")
    land("auth")
    assert "feature/auth" not in git(origin, "branch", "--list")


def test_a_remote_branch_that_somebody_went_on_with_stays(
    shop: Shop, origin: Path, land: Queue, tmp_path: Path
) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    git(shop.repo, "push", "--quiet", "origin", "feature/auth")
    other = tmp_path / "other"
    git(tmp_path, "clone", "--quiet", "--branch", "feature/auth", str(origin), str(other))
    theirs = commit(other, {"more.txt": "x\n"})
    git(other, "push", "--quiet")
    merged = land("auth")
    assert git(origin, "rev-parse", "feature/auth").strip() == theirs
    assert any("stays at origin" in note for note in outcome(merged, "auth").notes)


def test_without_push_the_origin_is_left_alone(shop: Shop, origin: Path, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    before = git(origin, "rev-parse", "main")
    merged = land("auth", push=False)
    assert outcomes(merged) == {"auth": "landed"}
    assert git(origin, "rev-parse", "main") == before


def test_a_base_that_has_diverged_is_refused(
    shop: Shop, origin: Path, land: Queue, tmp_path: Path
) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    elsewhere(origin, tmp_path, {"other.txt": "x\n"})
    commit(shop.repo, {"mine.txt": "x\n"})
    before = head(shop)
    with pytest.raises(Refused, match="diverged"):
        land("auth")
    assert head(shop) == before


def test_a_merge_that_was_killed_after_the_push_is_completed(
    shop: Shop, origin: Path, land: Queue
) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    tree = git(shop.repo, "rev-parse", "feature/auth^{tree}").strip()
    parents = ("-p", "main", "-p", "feature/auth")
    candidate = git(shop.repo, "commit-tree", tree, *parents, "-m", "merged").strip()
    git(shop.repo, "push", "--quiet", "origin", f"{candidate}:refs/heads/main")
    assert outcomes(land("auth")) == {"auth": "landed"}
    assert (shop.repo / "auth.txt").exists()
    assert shop.repository.records.ids() == []
