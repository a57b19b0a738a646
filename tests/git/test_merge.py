"""Merging: what lands is what was tested, in order, and nothing else moves."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.adapters.store.runs import Journal, Landing, Run
from runner.controller.landing.land import settle
from runner.controller.landing.merge import merge
from runner.controller.landing.undo import undo
from runner.controller.stream import Stream
from runner.domain.errors import NotFound, Refused
from runner.domain.events import Notice, Said
from runner.domain.landing.outcomes import Merged, Outcome
from runner.domain.requests.landing import Merge
from runner.domain.text import shown
from tests.real_git import commit, git
from tests.shop import Shop

pytestmark = pytest.mark.deep

Queue = Callable[..., Merged]


@pytest.fixture
def land(shop: Shop) -> Queue:
    """land("auth", gates=[...]): the merge of these instances, as given."""

    def run(*ids: str, **wanted: object) -> Merged:
        shop.events.clear()
        options = Merge(**{"order": "given", **wanted})  # type: ignore[arg-type]
        return merge(shop.project, ids, options, shop.emit)[0]

    return run


def work_on(shop: Shop, instance: str, files: dict[str, str], base: str | None = None) -> str:
    """An instance with one more commit, made on the host; returns it."""
    from runner.controller.instance.worktree import InstanceRequest

    shop.up(InstanceRequest(instance, base=base))
    return commit(shop.tree(instance), files, f"work on {instance}")


def outcomes(merged: Merged) -> dict[str, str]:
    return {one.id: one.state for one in merged.outcomes}


def outcome(merged: Merged, instance: str) -> Outcome:
    return next(one for one in merged.outcomes if one.id == instance)


def head(shop: Shop, name: str = "main") -> str:
    return git(shop.repo, "rev-parse", name).strip()


def test_the_commit_that_lands_is_the_one_that_was_tested(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "login\n"})
    shop.configure(test="test -f auth.txt")
    git(shop.repo, "commit", "--quiet", "--all", "--message", "gate")
    merged = land("auth")
    assert outcomes(merged) == {"auth": "landed"}
    assert head(shop) == outcome(merged, "auth").commit
    assert (shop.repo / "auth.txt").read_text() == "login\n"
    assert git(shop.repo, "status", "--porcelain") == ""
    parents = git(shop.repo, "rev-list", "--parents", "-1", "main").split()
    assert len(parents) == 3


def test_nothing_is_left_of_what_landed(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "login\n"})
    tree = shop.tree("auth")
    land("auth")
    assert not tree.exists()
    assert "feature/auth" not in git(shop.repo, "branch", "--list")
    assert shop.repository.records.ids() == []
    assert git(shop.repo, "for-each-ref", "refs/treedock", "refs/treedock-run") == ""
    assert shop.engine.containers() == []
    assert len(git(shop.repo, "worktree", "list").splitlines()) == 1


def test_the_task_is_named_in_the_commit(shop: Shop, land: Queue) -> None:
    from runner.controller.instance.worktree import InstanceRequest

    shop.up(InstanceRequest("auth", purpose="log in\nwith a token"))
    commit(shop.tree("auth"), {"auth.txt": "login\n"}, "auth")
    land("auth")
    message = git(shop.repo, "log", "-1", "--format=%B")
    assert message.splitlines()[0] == "Merge feature/auth (auth)"
    assert "Implements: log in with a token" in message


def test_a_red_gate_lands_nothing_and_keeps_the_instance(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "login\n"})
    before = head(shop)
    merged = land("auth", gates=("echo not good; exit 3",))
    assert outcomes(merged) == {"auth": "red"}
    assert merged.exit_code == 1
    assert head(shop) == before
    assert shop.tree("auth").is_dir()
    log = Path(str(outcome(merged, "auth").log))
    assert (log / "gate-1.log").read_text() == "not good\n"
    record = shop.record("auth")
    assert record.merge is not None
    assert record.merge.state == "red"
    assert shown(outcome(merged, "auth").message).endswith("Its last lines:\n    not good")


def test_a_red_one_is_set_aside_and_the_others_land_without_it(shop: Shop, land: Queue) -> None:
    for name in ("auth", "payments", "search"):
        work_on(shop, name, {f"{name}.txt": "x\n"})
    merged = land("auth", "payments", "search", gates=("test ! -f payments.txt",))
    assert outcomes(merged) == {"auth": "landed", "payments": "red", "search": "landed"}
    assert (shop.repo / "search.txt").exists()
    assert not (shop.repo / "payments.txt").exists()


def test_red_only_together_is_told_from_red_alone(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    work_on(shop, "payments", {"payments.txt": "x\n"})
    merged = land("auth", "payments", gates=("! { test -f auth.txt && test -f payments.txt; }",))
    assert outcomes(merged) == {"auth": "landed", "payments": "red_together"}
    assert "payments fails only with auth" in outcome(merged, "payments").message


def test_a_conflict_is_set_aside_before_any_test_and_the_others_go_on(
    shop: Shop, land: Queue
) -> None:
    work_on(shop, "auth", {"README.md": "one\n"})
    work_on(shop, "payments", {"README.md": "two\n"})
    work_on(shop, "search", {"search.txt": "x\n"})
    merged = land("auth", "payments", "search", gates=("true",))
    assert outcomes(merged) == {"auth": "landed", "payments": "conflict", "search": "landed"}
    assert outcome(merged, "payments").files == ("README.md",)
    assert merged.exit_code == 4
    record = shop.record("payments")
    assert record.merge is not None
    assert record.merge.state == "blocked"
    assert record.merge.files == ("README.md",)


def test_uncommitted_changes_are_refused_and_named(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    (shop.tree("auth") / "new.txt").write_text("work")
    merged = land("auth")
    assert outcomes(merged) == {"auth": "refused"}
    assert "new.txt" in outcome(merged, "auth").message
    assert (shop.tree("auth") / "new.txt").read_text() == "work"


def test_changes_in_the_main_checkout_are_not_overwritten(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"README.md": "from auth\n"})
    (shop.repo / "README.md").write_text("mine\n")
    before = head(shop)
    merged = land("auth")
    assert outcomes(merged) == {"auth": "refused"}
    assert "README.md" in outcome(merged, "auth").message
    assert (shop.repo / "README.md").read_text() == "mine\n"
    assert head(shop) == before


def test_an_ignored_file_in_the_main_checkout_is_not_overwritten(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"secret.txt": "from auth\n"})
    with (shop.repo / ".git/info/exclude").open("a") as file:
        file.write("secret.txt\n")
    (shop.repo / "secret.txt").write_text("mine\n")
    assert outcomes(land("auth")) == {"auth": "refused"}
    assert (shop.repo / "secret.txt").read_text() == "mine\n"


def test_unrelated_changes_in_the_main_checkout_stay(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    (shop.repo / "README.md").write_text("mine\n")
    (shop.repo / "untracked.txt").write_text("mine\n")
    assert outcomes(land("auth")) == {"auth": "landed"}
    assert (shop.repo / "README.md").read_text() == "mine\n"
    assert (shop.repo / "untracked.txt").read_text() == "mine\n"


def test_base_that_is_checked_out_nowhere_moves_too(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    git(shop.repo, "switch", "--quiet", "--detach")
    merged = land("auth")
    assert head(shop, "main") == outcome(merged, "auth").commit
    assert not (shop.repo / "auth.txt").exists()


def test_a_candidate_cannot_weaken_its_own_gate(shop: Shop, land: Queue) -> None:
    shop.configure(test="test -f tested.txt")
    git(shop.repo, "commit", "--quiet", "--all", "--message", "gate")
    text = (shop.repo / "treedock.yaml").read_text()
    work_on(shop, "auth", {"treedock.yaml": text.replace("test -f tested.txt", "true")})
    assert outcomes(land("auth")) == {"auth": "red"}


def test_base_that_moves_during_a_test_is_built_and_tested_again(
    shop: Shop, land: Queue, tmp_path: Path
) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    once = tmp_path / "moved"
    who = "-c user.name=Eve -c user.email=eve@example.com"
    moves = f"touch {once}; git {who} -C {shop.repo} commit -q --allow-empty -m moved"
    push = f"test -e {once} || {{ {moves}; }}"
    merged = land("auth", gates=(push, "test -f auth.txt"))
    assert outcomes(merged) == {"auth": "landed"}
    assert git(shop.repo, "log", "-1", "--format=%s", "main^1").strip() == "moved"
    assert any("building and testing again" in said for said in shop.remarks)


def test_without_anything_new_a_merge_is_refused(shop: Shop, land: Queue) -> None:
    shop.up("auth")
    assert outcomes(land("auth")) == {"auth": "refused"}


def test_a_dry_run_tests_and_moves_nothing(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    before = git(shop.repo, "for-each-ref", "refs/heads")
    merged = land("auth", gates=("test -f auth.txt",), dry_run=True)
    assert outcomes(merged) == {"auth": "ready"}
    assert git(shop.repo, "for-each-ref", "refs/heads") == before
    assert merged.run is None


def test_an_instance_that_leans_on_a_landed_one_is_led_to_base(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    work_on(shop, "login", {"login.txt": "x\n"}, base="feature/auth")
    merged = land("auth")
    record = shop.record("login")
    assert record.git.base == "main"
    assert "treedock update login" in " ".join(outcome(merged, "auth").notes)
    assert "feature/auth" in git(shop.repo, "branch", "--list")


def test_work_of_another_instance_does_not_land_unasked(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    work_on(shop, "login", {"login.txt": "x\n"}, base="feature/auth")
    merged = land("login")
    assert outcomes(merged) == {"login": "refused"}
    assert "auth" in outcome(merged, "login").hint


def test_both_at_once_land_in_the_order_they_lean(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    work_on(shop, "login", {"login.txt": "x\n"}, base="feature/auth")
    merged = land("login", "auth")
    assert outcomes(merged) == {"auth": "landed", "login": "landed"}
    assert [one.id for one in merged.outcomes] == ["auth", "login"]


def test_a_run_can_be_undone_and_the_branches_are_back(shop: Shop, land: Queue) -> None:
    operation = work_on(shop, "auth", {"auth.txt": "x\n"})
    before = head(shop)
    merged = land("auth")
    undo(shop.project, str(merged.run), shop.emit)
    assert head(shop) == before
    assert head(shop, "feature/auth") == operation
    assert not (shop.repo / "auth.txt").exists()
    with pytest.raises(Refused, match="undone already"):
        undo(shop.project, str(merged.run), shop.emit)


def test_a_run_that_is_still_at_work_is_not_undone(shop: Shop) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    refused: list[str] = []

    def meanwhile(told: Notice) -> None:
        if isinstance(told.event, Said) and told.event.text.startswith("testing auth"):
            (run,) = Run.all(shop.repository.records.root)
            with pytest.raises(Refused, match=f"still at work: process {os.getpid()} on") as error:
                undo(shop.project, run.id, shop.emit)
            refused.append(error.value.code)

    wanted = Merge(order="given", gates=("true",))
    (merged,) = merge(shop.project, ["auth"], wanted, Stream(meanwhile))
    assert outcomes(merged) == {"auth": "landed"}
    assert refused == ["refused"]
    undo(shop.project, str(merged.run), shop.emit)


def test_undo_keeps_the_commits_where_the_name_of_the_branch_is_taken(
    shop: Shop, land: Queue
) -> None:
    operation = work_on(shop, "auth", {"auth.txt": "x\n"})
    before = head(shop)
    merged = land("auth")
    git(shop.repo, "branch", "feature/auth", before)
    said = undo(shop.project, str(merged.run), shop.emit)
    assert said.endswith(" feature/auth-2")
    assert (head(shop, "feature/auth"), head(shop, "feature/auth-2")) == (before, operation)


def test_a_run_that_somebody_built_on_is_not_undone(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    merged = land("auth")
    commit(shop.repo, {"more.txt": "x\n"}, "more")
    before = head(shop)
    with pytest.raises(Refused) as refused:
        undo(shop.project, str(merged.run), shop.emit)
    assert ": git revert" in refused.value.hint
    assert head(shop) == before
    git(shop.repo, "switch", "--quiet", "-c", "elsewhere")
    with pytest.raises(Refused, match="not all") as refused:
        undo(shop.project, str(merged.run), shop.emit)
    assert ": git switch main && git revert" in refused.value.hint


def test_a_landing_that_was_cut_off_over_the_files_is_undone(shop: Shop) -> None:
    work_on(shop, "auth", {"auth.txt": "new file\n", "README.md": "changed by auth\n"})
    before = head(shop)
    theirs = head(shop, "feature/auth")
    Journal(shop.repository.records.root).begin(Landing("", "main", before, theirs, {}))
    (shop.repo / "auth.txt").write_text("new fi")  # as far as git came
    (shop.repo / "README.md").write_text("changed by auth\n")
    (shop.repo / ".git/index.lock").symlink_to("treedock, process 4711")
    settle(shop.repository, shop.emit)
    assert git(shop.repo, "status", "--porcelain") == ""
    assert not (shop.repo / "auth.txt").exists()
    assert not Journal(shop.repository.records.root).path.exists()


def test_a_landing_that_was_cut_off_after_it_counted_is_written_down(shop: Shop) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    before, theirs = head(shop), head(shop, "feature/auth")
    landing = Landing("", "main", before, theirs, {"auth": theirs})
    Journal(shop.repository.records.root).begin(landing)
    git(shop.repo, "merge", "--quiet", "--ff-only", theirs)
    settle(shop.repository, shop.emit)
    record = shop.record("auth")
    assert record.merge is not None
    assert record.merge.state == "landed"


def test_a_merge_of_what_has_landed_completes_the_clean_up(shop: Shop, land: Queue) -> None:
    operation = work_on(shop, "auth", {"auth.txt": "x\n"})
    before = head(shop)
    git(shop.repo, "merge", "--quiet", "--no-ff", "-m", "landed", "feature/auth")
    landing = Landing("", "main", before, head(shop), {"auth": operation})
    Journal(shop.repository.records.root).begin(landing)
    assert outcomes(land("auth")) == {"auth": "landed"}
    assert shop.repository.records.ids() == []


def test_what_somebody_merged_by_hand_is_cleaned_up(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    git(shop.repo, "merge", "--quiet", "--no-ff", "-m", "by hand", "feature/auth")
    before = head(shop)
    assert outcomes(land("auth")) == {"auth": "landed"}
    assert head(shop) == before
    assert shop.repository.records.ids() == []


def test_files_that_run_on_the_host_later_are_named_before_they_land(
    shop: Shop, land: Queue
) -> None:
    work_on(shop, "auth", {"Makefile": "all:\n\ttrue\n", "plain.txt": "x\n"})
    land("auth", dry_run=True)
    assert any("Makefile" in text for text in shop.warnings)
    assert not any("plain.txt" in text for text in shop.warnings)


def test_instances_with_nothing_new_can_be_passed_over(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    shop.up("search")
    assert outcomes(land("auth", "search", everything=True)) == {"auth": "landed"}
    assert shop.repository.records.ids() == ["search"]


def test_only_those_that_it_conflicts_with_are_named(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    work_on(shop, "payments", {"README.md": "one\n"})
    work_on(shop, "search", {"README.md": "two\n"})
    merged = land("auth", "payments", "search")
    said = outcome(merged, "search")
    assert said.state == "conflict"
    assert said.message.startswith("search conflicts with payments in README.md")


def test_the_logs_are_those_of_the_trial_that_is_told_of(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    work_on(shop, "payments", {"payments.txt": "x\n"})
    merged = land("auth", "payments", gates=("ls *.txt; test ! -f payments.txt",))
    said = outcome(merged, "payments")
    assert said.state == "red"
    trial = Path(str(said.log)).name
    assert f"gate.{trial}" in said.message


def test_the_last_run_is_found_without_its_id(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    before = head(shop)
    first = land("auth")
    with pytest.raises(NotFound) as caught:
        undo(shop.project, "nonsense", shop.emit)
    assert str(first.run) in caught.value.hint
    undo(shop.project, "last", shop.emit)
    assert head(shop) == before
    with pytest.raises(NotFound):
        undo(shop.project, "last", shop.emit)
    with pytest.raises(Refused, match="undone already"):
        undo(shop.project, str(first.run)[-4:], shop.emit)


def test_nothing_was_pushed_where_nothing_landed(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    origin = shop.repo.parent / "origin.git"
    git(shop.repo, "init", "--quiet", "--bare", str(origin))
    git(shop.repo, "remote", "add", "origin", str(origin))
    git(shop.repo, "push", "--quiet", "origin", "main")
    assert not land("auth", gates=("false",)).pushed
    landed = land("auth", push=False)
    git(shop.repo, "push", "--quiet", "origin", "main")
    with pytest.raises(Refused, match="was pushed"):
        undo(shop.project, str(landed.run), shop.emit)


def test_what_was_squashed_into_base_does_not_conflict_with_itself(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"README.md": "one\n"})
    commit(shop.tree("auth"), {"README.md": "two\n"})
    git(shop.repo, "merge", "--quiet", "--squash", "feature/auth")
    git(shop.repo, "commit", "--quiet", "-m", "squashed")
    commit(shop.repo, {"README.md": "built on\n"})
    said = outcome(land("auth"), "auth")
    assert said.state == "refused"
    assert said.message == "auth is in main already, squashed."


def test_a_merge_narrates_candidates_and_not_the_steps_of_their_tests(
    shop: Shop, land: Queue
) -> None:
    for name in ("auth", "payments"):
        work_on(shop, name, {f"{name}.txt": "x\n"})
    land("auth", "payments", gates=("test ! -f payments.txt",))
    assert "auth+payments is red" in shop.remarks
    assert "auth is green" in shop.remarks
    assert not [step for step in shop.steps if "git directory" in step]


def test_attributes_of_base_decide_and_not_those_of_the_branch_before(
    shop: Shop, land: Queue
) -> None:
    work_on(shop, "auth", {".gitattributes": "*.md merge=union\n", "README.md": "one\n"})
    work_on(shop, "payments", {"README.md": "two\n"})
    merged = land("auth", "payments", gates=("true",))
    assert outcomes(merged) == {"auth": "landed", "payments": "conflict"}
    # Now they are base's: reviewed, tested and landed.
    merged = land("payments", gates=("true",))
    assert outcomes(merged) == {"payments": "landed"}
    assert (shop.repo / "README.md").read_text() == "one\ntwo\n"


def test_names_that_differ_only_in_case_are_told_at_landing(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"docs/one.md": "x\n"})
    work_on(shop, "payments", {"readme.md": "x\n", "Docs/two.md": "x\n"})
    assert outcomes(land("auth", "payments", dry_run=True)) == {
        "auth": "ready",
        "payments": "ready",
    }
    land("auth")
    shop.events.clear()
    assert outcomes(land("payments")) == {"payments": "landed"}
    told = [text for text in shop.warnings if "only in case" in text]
    assert [text.split(" differ")[0] for text in told] == ["Docs, docs", "README.md, readme.md"]
    shop.events.clear()
    work_on(shop, "search", {"search.md": "x\n"})
    land("search")
    assert not any("only in case" in text for text in shop.warnings)
