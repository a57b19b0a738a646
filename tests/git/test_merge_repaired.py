"""What merging once got wrong, or nearly: each of these was a loss or a refusal without end."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.adapters.store.runs import Journal, Landing
from runner.controller.instance.worktree import InstanceRequest
from runner.controller.landing.land import settle
from runner.controller.landing.undo import undo
from runner.controller.operation import Operation
from runner.controller.stream import Stream
from runner.controller.sync.update import update
from runner.domain.errors import Refused
from runner.domain.events import Notice
from runner.domain.instance.record import LastMerge
from runner.domain.landing.outcomes import Merged
from tests.git.test_merge import head, land, outcome, outcomes, work_on
from tests.real_git import commit, git
from tests.shop import Shop

pytestmark = pytest.mark.deep

Queue = Callable[..., Merged]
WHO = "-c user.name=Eve -c user.email=eve@example.com"

__all__ = ["land"]  # the fixture


def test_a_run_in_which_somebody_else_committed_is_not_undone(
    shop: Shop, land: Queue, tmp_path: Path
) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    work_on(shop, "login", {"login.txt": "x\n"})
    once = tmp_path / "once"
    commits = f"touch {once}; git {WHO} -C {shop.repo} commit -q --allow-empty -m precious"
    gate = f"test ! -f login.txt || test -e {once} || {{ {commits}; }}"
    merged = land("auth", "login", gates=(gate,), width=1)
    assert outcomes(merged) == {"auth": "landed", "login": "landed"}
    before = head(shop)
    with pytest.raises(Refused) as refused:
        undo(shop.project, str(merged.run), shop.emit)
    assert "git revert" in refused.value.hint
    assert head(shop) == before


def test_a_cut_off_landing_over_converted_line_ends_is_settled(shop: Shop, land: Queue) -> None:
    commit(shop.repo, {".gitattributes": "*.txt text eol=crlf\n", "a.txt": "one\r\n"})
    (shop.repo / "a.txt").unlink()
    git(shop.repo, "checkout", "--quiet", "a.txt")
    work_on(shop, "auth", {"a.txt": "one\r\ntwo\r\n"})
    before, theirs = head(shop), head(shop, "feature/auth")
    Journal(shop.repository.records.root).begin(Landing("", "main", before, theirs, {}))
    (shop.repo / "a.txt").write_bytes(b"one\r\ntwo\r\n")  # as far as git came
    settle(shop.repository, shop.emit)
    assert git(shop.repo, "status", "--porcelain") == ""
    assert outcomes(land("auth")) == {"auth": "landed"}


def test_the_log_of_red_together_is_that_of_the_red_test(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    work_on(shop, "payments", {"payments.txt": "x\n"})
    both = "test -f auth.txt && test -f payments.txt"
    merged = land("auth", "payments", gates=(f"if {both}; then echo bad; exit 1; fi; echo good",))
    log = Path(str(outcome(merged, "payments").log))
    assert (log / "gate-1.log").read_text() == "bad\n"


def test_a_branch_that_others_leaned_on_goes_with_the_last_of_them(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    work_on(shop, "login", {"login.txt": "x\n"}, base="feature/auth")
    land("login", "auth")
    assert "feature/auth" not in git(shop.repo, "branch", "--list")


def test_a_branch_that_is_somebodys_base_stays(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    work_on(shop, "login", {"login.txt": "x\n"}, base="feature/auth")
    land("auth")
    shop.up(InstanceRequest("third", base="feature/auth"))
    update(Operation(shop.repository, "login", shop.emit), "merge")
    update(Operation(shop.repository, "third", shop.emit), "merge")


def test_one_broken_instance_does_not_keep_the_others_from_landing(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    work_on(shop, "bad", {"bad.txt": "x\n"})
    git(shop.repo, "update-ref", "-d", "refs/heads/feature/bad")
    assert outcomes(land("auth", "bad")) == {"auth": "landed", "bad": "refused"}


def test_refs_inside_that_git_forbids_do_not_keep_the_others_from_landing(
    shop: Shop, land: Queue
) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    work_on(shop, "bad", {"bad.txt": "x\n"})
    own, commit_ = shop.repository.records.folder("bad") / "git", head(shop)
    refs = f"{commit_} refs/heads/a\n{commit_} refs/heads/a/b\n"
    (own / "packed-refs").write_text(f"# pack-refs with: peeled fully-peeled sorted\n{refs}")
    assert outcomes(land("auth", "bad")) == {"auth": "landed", "bad": "refused"}


def test_nothing_lands_through_an_instance_that_leans_on_a_refused_one(
    shop: Shop, land: Queue
) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    work_on(shop, "login", {"login.txt": "x\n"}, base="feature/auth")
    (shop.tree("auth") / "new.txt").write_text("work")
    assert outcomes(land("auth", "login")) == {"auth": "refused", "login": "refused"}
    assert not (shop.repo / "auth.txt").exists()


def test_an_idle_instance_that_followed_base_is_not_taken_for_landed(
    shop: Shop, land: Queue
) -> None:
    shop.up("idle")
    commit(shop.repo, {"more.txt": "x\n"}, "more")
    git(shop.tree("idle"), "merge", "--quiet", "--ff-only", "main")
    commit(shop.repo, {"other.txt": "x\n"}, "other")
    land("idle", everything=True)
    assert shop.repository.records.ids() == ["idle"]


def test_a_record_that_another_verb_changed_is_not_overwritten(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    work_on(shop, "login", {"login.txt": "x\n"}, base="feature/auth")
    operation = Operation(shop.project, "login", shop.emit)
    assert operation.record.git.base == "feature/auth"
    with operation.locked():
        land("auth")
        operation.change(ready=True)
    assert shop.record("login").git.base == "main"


def test_nothing_lands_under_a_base_that_somebody_is_rebasing(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    git(shop.repo, "branch", "other", "main")
    commit(shop.repo, {"README.md": "mine\n"}, "mine")
    git(shop.repo, "switch", "--quiet", "other")
    commit(shop.repo, {"README.md": "theirs\n"}, "theirs")
    git(shop.repo, "switch", "--quiet", "main")
    subprocess.run(["git", "-C", str(shop.repo), "rebase", "other"], capture_output=True)
    before = head(shop)
    assert outcomes(land("auth")) == {"auth": "refused"}
    assert head(shop) == before


def test_nothing_is_pushed_while_a_merge_is_in_progress_here(
    shop: Shop, origin: Path, land: Queue
) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    git(shop.repo, "switch", "--quiet", "-c", "other")
    commit(shop.repo, {"other.txt": "x\n"}, "other")
    git(shop.repo, "switch", "--quiet", "main")
    git(shop.repo, "merge", "--quiet", "--no-ff", "--no-commit", "other")
    before = git(origin, "rev-parse", "main")
    assert outcomes(land("auth")) == {"auth": "refused"}
    assert git(origin, "rev-parse", "main") == before


def test_an_engine_that_goes_away_in_the_queue_is_exit_code_5(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    gone = f"test -f {shop.repo}/.git/config"

    def vanish(told: Notice) -> None:
        if getattr(told.event, "text", "").startswith("testing auth"):
            shop.engine.vanish()

    from runner.controller.landing.merge import merge
    from runner.domain.requests.landing import Merge

    (merged,) = merge(shop.project, ["auth"], Merge(order="given", gates=(gone,)), Stream(vanish))
    shop.engine.come_back()
    assert merged.exit_code == 5


def test_a_dry_run_does_not_bring_base_forward(
    shop: Shop, origin: Path, land: Queue, tmp_path: Path
) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    other = tmp_path / "other"
    git(tmp_path, "clone", "--quiet", str(origin), str(other))
    commit(other, {"other.txt": "x\n"}, "elsewhere")
    git(other, "push", "--quiet")
    before = head(shop)
    merged = land("auth", gates=("test -f other.txt",), dry_run=True)
    assert outcomes(merged) == {"auth": "ready"}
    assert head(shop) == before


def test_a_removal_that_was_cut_off_after_landing_is_completed(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    merged = land("auth", keep=True)
    landed = LastMerge("landed", head(shop, "feature/auth"), commit=merged.now)
    Operation(shop.repository, "auth", shop.emit).change(cleaning=True, merge=landed)
    shop.repository.git.remove_worktree(shop.tree("auth"))
    for ref in git(shop.repo, "for-each-ref", "--format=%(refname)", "refs/treedock").split():
        git(shop.repo, "update-ref", "-d", ref)
    git(shop.repo, "update-ref", "-d", "refs/heads/feature/auth")
    assert outcomes(land("auth")) == {"auth": "landed"}
    assert shop.repository.records.ids() == []
    assert shop.engine.containers() == []


def test_what_is_known_beforehand_is_refused_before_the_first_gate(
    shop: Shop, land: Queue, tmp_path: Path
) -> None:
    gate = f"touch {tmp_path}/$TREEDOCK_ID.ran"
    for name, path in {"dirty": "README.md", "ignored": "secret.txt", "free": "free.txt"}.items():
        work_on(shop, name, {path: f"{name}\n"})
    (shop.repo / "README.md").write_text("mine\n")
    with (shop.repo / ".git/info/exclude").open("a") as file:
        file.write("secret.txt\n")
    (shop.repo / "secret.txt").write_text("mine\n")
    merged = land("dirty", "ignored", gates=(gate,))
    assert outcomes(merged) == {"dirty": "refused", "ignored": "refused"}
    assert [*tmp_path.glob("*.ran")] == []
    assert "mv " in outcome(merged, "ignored").hint
    (shop.repo / ".git/MERGE_HEAD").write_text(f"{head(shop)}\n")
    assert outcomes(land("free", gates=(gate,))) == {"free": "refused"}
    assert [*tmp_path.glob("*.ran")] == []
    (shop.repo / ".git/MERGE_HEAD").unlink()
    assert outcomes(land("dirty", "free", gates=(gate,))) == {"dirty": "refused", "free": "landed"}
    assert (shop.repo / "README.md").read_text() == "mine\n"
