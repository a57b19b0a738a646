"""A repository that was copied, moved or restored: nothing of another one is touched."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.adapters.engine.protocol import Filter
from runner.adapters.store import identity
from runner.adapters.store.records import now
from runner.adapters.store.snapshots import Snapshot
from runner.controller.cache.prune import prune
from runner.controller.cleanup.archive import last_of
from runner.controller.cleanup.orphans import leftovers
from runner.controller.instance.throwaway import gate_project
from runner.controller.landing.merge import merge
from runner.controller.lifecycle.exec import place_of
from runner.controller.onboarding.moved import moved, require_none_elsewhere
from runner.controller.operation import Operation
from runner.controller.project import open_repository, user_config_path
from runner.controller.sync.sync import sync
from runner.controller.volumes.snapshots import whole
from runner.domain.errors import NotFound, Refused
from runner.domain.instance.container import LABEL, LABEL_REPOSITORY, LABEL_SNAPSHOT
from runner.domain.landing.outcomes import Outcome
from runner.domain.requests.cleanup import Cleaned
from runner.domain.requests.landing import Merge
from tests.inside import Inside
from tests.real_git import commit, git, make_repository, write
from tests.shop import Shop

pytestmark = pytest.mark.deep


def copy_of(shop: Shop, name: str = "copy") -> Shop:
    """The same project in a copy of its folder, on the same engine."""
    there = shutil.copytree(shop.repo, shop.repo.parent / name, symlinks=True)
    return Shop(there, shop.engine)


def move(shop: Shop, name: str = "elsewhere") -> Shop:
    """The same project after its folder was renamed."""
    return Shop(shop.repo.rename(shop.repo.parent / name), shop.engine)


def repair(shop: Shop) -> list[str]:
    """What `doctor --fix` says of the move."""
    return [f"{one.status}: {one.message}" for one in moved(shop.repository, shop.engine, fix=True)]


# --- copied -----------------------------------------------------------------------------------


def test_clean_in_a_copy_forgets_and_touches_nothing_of_the_original(shop: Shop) -> None:
    shop.up("auth")
    made = commit(shop.tree("auth"), {"a": "1"})
    write(shop.tree("auth"), {"new": "x"})
    copy = copy_of(shop)
    with pytest.raises(Refused, match=f"belongs to {shop.repo}") as caught:
        copy.clean("auth")
    assert "treedock clean auth --force-unmerged" in caught.value.hint
    cleaned = copy.clean("auth", force_unmerged=True)
    kinds = {part.split(" ")[0] for part in cleaned.removed}
    assert kinds == {"branch", "record"}
    left = [f"{repo}/trees/auth stays" for repo in (shop.repo, copy.repo)]
    assert all(any(one in said for said in copy.warnings) for one in left)
    assert git(copy.repo, "branch", "--format=%(refname)") == "refs/heads/main\n"
    assert git(copy.repo, "worktree", "list").count("\n") == 1
    assert made in cleaned.archives[0].refs.values()
    assert Path(cleaned.archives[0].git or "").is_relative_to(copy.repo)

    assert [view.state for view in shop.list()] == ["running"]
    assert git(shop.tree("auth"), "status", "--porcelain") == "?? new\n"
    assert Inside(shop)("git rev-parse HEAD") == git(shop.repo, "rev-parse", "main").strip()


def test_every_other_verb_in_a_copy_is_refused_and_names_the_original(shop: Shop) -> None:
    shop.up("auth")
    copy = copy_of(shop)
    for verb in (
        lambda: copy.down("auth"),
        lambda: sync(Operation(copy.repository, "auth", copy.emit)),
        lambda: copy.repository.record("auth"),
    ):
        with pytest.raises(Refused, match=f"belongs to {shop.repo}"):
            verb()
    assert "belongs to" in copy.refusal("auth").message
    (told,) = moved(copy.repository, copy.engine, fix=True)
    assert (told.status, told.fixed) == ("warning", False)
    assert f"belongs to {shop.repo}" in told.message
    assert [view.state for view in shop.list()] == ["running"]


def test_a_copy_has_instances_of_its_own(shop: Shop) -> None:
    shop.up("auth")
    copy = copy_of(shop)
    pay = copy.up("pay")
    assert pay.worktree == f"{copy.repo}/trees/pay"
    assert copy.repository.key != shop.repository.key
    assert not set(pay.ports.values()) & set(shop.record("auth").ports.values())
    assert "belongs to" in copy.refusal("auth").message
    copy.clean("pay")
    assert [view.state for view in shop.list()] == ["running"]


def test_an_archive_in_a_copy_is_the_copys(shop: Shop) -> None:
    shop.up("auth")
    commit(shop.tree("auth"), {"a": "1"})
    shop.clean("auth", force=True)
    copy = copy_of(shop)
    (archive,) = (copy.repo / ".git/treedock/archive").iterdir()
    found = last_of(copy.repository, "auth")
    assert found is not None
    assert found.folder == str(archive)


def test_a_copy_neither_uses_nor_removes_the_snapshots_of_the_original(shop: Shop) -> None:
    shop.up("auth")
    labels = {LABEL_REPOSITORY: shop.repository.key, LABEL_SNAPSHOT: "k", LABEL: "snapshot"}
    shop.engine.ensure_volume("made", labels)
    shop.repository.snapshots.write(Snapshot("k", "kin", "npm ci", {"a": "made"}, now()))
    copy = copy_of(shop)
    assert whole(copy.repository, "k") is None
    assert [one.key for one in prune(copy.repository, max_size=0)] == ["k"]
    assert shop.engine.volumes(Filter(snapshot="k")) == ["made"]
    assert whole(shop.repository, "k") is not None


def test_a_copied_worktree_is_no_place_to_work_from(shop: Shop) -> None:
    shop.up("auth")
    copy = copy_of(shop)
    with pytest.raises(Refused, match="is a copy of a worktree of"):
        open_repository(copy.repo / "trees" / "auth")


# --- moved ------------------------------------------------------------------------------------


def test_a_moved_repository_is_refused_until_doctor_repairs_it(auth: Inside) -> None:
    auth.commit({"a": "1"})
    write(auth.tree, {"new": "x"})
    there = move(auth.shop)
    for verb in (there.clean, there.down, there.record, there.bring):
        with pytest.raises(Refused, match="was moved") as caught:
            verb("auth")
        assert "treedock doctor --fix" in caught.value.hint
    with pytest.raises(Refused, match="was moved"):
        there.bring("new")
    (told,) = moved(there.repository, there.engine, fix=False)
    assert told.status == "problem"
    there.events.clear()
    assert [view.state for view in there.list()] == ["absent"]
    assert "treedock doctor --fix" in there.warnings[0]
    with pytest.raises(Refused, match=r"is a worktree of the repository .* and there is none"):
        open_repository(there.repo / "trees" / "auth")

    assert repair(there)[0].startswith("ok: this repository was moved from")
    assert there.engine.containers() == []
    record = there.up("auth")
    assert (record.checkout, record.worktree) == (str(there.repo), f"{there.repo}/trees/auth")
    inside = Inside(there)
    assert inside("git log -1 --format=%s; cat new") == "work\nx"
    assert git(inside.tree, "status", "--porcelain") == "?? new\n"
    assert [w.path for w in there.repository.git.worktrees()] == [there.repo, inside.tree]
    assert moved(there.repository, there.engine, fix=False) == []
    (inside.tree / "new").unlink()
    there.clean("auth", force_unmerged=True)
    assert not (there.repo / "trees" / "auth").exists()


def test_data_stays_with_a_repository_that_is_moved_twice(shop: Shop) -> None:
    image = {"image": "tiny:1", "command": "sleep 1000", "volume": "/data", "ready": {"tcp": 1}}
    shop.configure(sidecars={"cache": {**image, "ready": {"timeout": 1}}})
    shop.engine._add("tiny:1")
    shop.up("auth")
    before = shop.engine.volumes(Filter(beside="auth"))
    assert len(before) == 1
    first = move(shop)
    repair(first)
    first.up("auth")
    second = move(first, "third")
    repair(second)
    second.up("auth")
    assert second.engine.volumes(Filter(beside="auth")) == before
    second.clean("auth")
    assert second.engine.volumes(Filter(beside="auth")) == []


def test_a_new_clone_at_the_old_place_takes_nothing_of_the_moved_one(shop: Shop) -> None:
    shop.up("auth")
    there = move(shop)
    repair(there)
    there.up("auth")
    git(there.repo.parent, "clone", "--quiet", str(there.repo), str(shop.repo))
    git(shop.repo, "remote", "remove", "origin")
    assert shop.repository.key != there.repository.key
    shop.up("auth")
    assert shop.repository.key != there.repository.key
    assert [view.state for view in there.list()] == ["running"]
    shop.clean("auth", force=True)
    assert [view.state for view in there.list()] == ["running"]


def test_what_runs_without_a_record_is_named_by_down_all(shop: Shop) -> None:
    shop.up("auth")
    require_none_elsewhere(shop.repository)
    shutil.rmtree(shop.repo / ".git" / "treedock")  # as in a backup from before
    with pytest.raises(Refused, match="runs with files of this place") as caught:
        require_none_elsewhere(shop.repository)
    name = caught.value.hint.rpartition(" ")[2]
    shop.engine.stop(name, 0)
    require_none_elsewhere(shop.repository)


# --- restored ---------------------------------------------------------------------------------


def test_doctor_names_what_runs_without_a_record_once(shop: Shop) -> None:
    shop.up("auth")
    shutil.rmtree(shop.repository.records.folder("auth"))
    name, tree = shop.engine.containers()[0].name, shop.repo / "trees/auth"

    def ways_out() -> list[str]:
        found = moved(shop.repository, shop.engine, fix=False)
        found += leftovers(shop.project, shop.engine, fix=False, emit=shop.emit)
        return [one.way_out for one in found if name in one.message]

    assert ways_out() == [f"Stop it with: docker stop {name}"]  # its worktree is a leftover
    git(shop.repo, "worktree", "remove", "--force", str(tree))
    assert ways_out() == ["treedock doctor --fix removes them."]


def test_up_makes_a_container_whose_git_was_restored_under_it(auth: Inside) -> None:
    made = auth.commit({"a": "1"})
    auth.sync()
    (before,) = auth.shop.engine.containers()
    aside = auth.shop.repo.parent / "backup"
    shutil.copytree(auth.shop.repo / ".git", aside, symlinks=True)
    shutil.rmtree(auth.shop.repo / ".git")
    aside.rename(auth.shop.repo / ".git")
    auth.shop.up("auth")
    (after,) = auth.shop.engine.containers()
    assert before.id != after.id
    assert auth("git rev-parse HEAD") == made
    auth.shop.up("auth")
    assert [one.id for one in auth.shop.engine.containers()] == [after.id]


def test_a_gate_has_the_key_of_its_repository_before_an_up_has_written_it_down(shop: Shop) -> None:
    shop.up("auth")
    (shop.repository.records.root / identity.FILE).unlink()  # as an older treedock leaves it
    known = Shop(shop.repo, shop.engine)
    assert known.repository.key == shop.repository.key
    assert gate_project(known.project).repository.key == shop.repository.key


# --- worktrees --------------------------------------------------------------------------------


def test_a_folder_that_is_no_worktree_of_ours_is_left_and_named(shop: Shop) -> None:
    shop.up("auth")
    tree = shop.tree("auth")
    other = make_repository(shop.repo.parent / "other")
    commit(other, {"theirs": "1"})
    shutil.rmtree(tree)
    other.rename(tree)
    shop.clean("auth", force=True)
    assert (tree / "theirs").read_text() == "1"
    assert any(f"{tree} stays" in said for said in shop.warnings)
    assert git(shop.repo, "for-each-ref", "refs/heads/feature") == ""
    with pytest.raises(NotFound):
        shop.record("auth")


def test_a_worktree_that_was_moved_by_hand_is_moved_back_by_what_is_printed(shop: Shop) -> None:
    shop.up("auth")
    tree, to = shop.tree("auth"), shop.repo.parent / "mine"
    git(shop.repo, "worktree", "move", str(tree), str(to))
    error = shop.refusal("auth")
    assert f"was moved to {to}" in error.message
    with pytest.raises(Refused, match="was moved to"):
        open_repository(to)
    command = error.hint.partition(": git ")[2].split(" ")
    git(shop.repo, *command)
    assert shop.up("auth").worktree == str(tree)
    assert git(tree, "status", "--porcelain") == ""


def test_a_branch_that_is_checked_out_elsewhere_is_named(shop: Shop) -> None:
    shop.up("auth")
    shutil.rmtree(shop.tree("auth"))
    git(shop.repo, "worktree", "prune")
    git(shop.repo, "worktree", "add", "--quiet", str(shop.repo.parent / "mine"), "feature/auth")
    assert str(shop.repo.parent / "mine") in shop.refusal("auth").message


def test_a_worktree_that_is_gone_is_named_and_made_again_by_up(
    auth: Inside,
) -> None:
    made = auth.commit({"a": "1"})
    shutil.rmtree(auth.tree)
    with pytest.raises(Refused, match=r"The worktree of auth, .*, is gone") as caught:
        auth.sync()
    assert caught.value.hint.startswith("treedock up auth")
    with pytest.raises(Refused, match="is gone"):
        place_of(auth.shop.repository, "auth", auth.shop.repo)
    auth.shop.up("auth")
    assert auth.head == made
    assert git(auth.tree, "status", "--porcelain") == ""


def test_another_branch_on_this_side_is_not_taken_for_uncommitted_changes(auth: Inside) -> None:
    git(auth.tree, "switch", "--quiet", "-c", "other")
    auth.commit({"README.md": "changed", "a": "1"})
    for verb in (lambda: merge_one(auth), lambda: auth.shop.clean("auth")):
        error = verb_refused(verb)
        assert "is on other, not on feature/auth" in error.message
    command = error.hint.partition(": ")[2]
    subprocess.run(command, shell=True, check=True)
    assert git(auth.tree, "status", "--porcelain") == ""
    assert merge_one(auth).state == "landed"


def merge_one(auth: Inside) -> Outcome:
    (merged,) = merge(auth.shop.project, ["auth"], Merge(no_gate=True), auth.emit)
    return merged.outcomes[0]


def verb_refused(verb: Callable[[], Outcome | Cleaned]) -> Refused:
    """What a verb is refused with, be it raised or answered."""
    try:
        answer = verb()
    except Refused as error:
        return error
    assert isinstance(answer, Outcome)
    return Refused(answer.message, hint=answer.hint)


# --- beside the checkout ------------------------------------------------------------------------


@pytest.fixture
def _beside(_surroundings: None) -> Iterator[None]:
    path = user_config_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("worktrees: '../{project}-trees'\n")
    yield
    path.unlink()


@pytest.mark.usefixtures("_beside")
def test_worktrees_beside_the_checkout_live_and_are_repaired_like_those_in_it(shop: Shop) -> None:
    beside = shop.repo.parent / "shop-trees" / "auth"
    assert shop.up("auth").worktree == str(beside)
    assert open_repository(beside).here == "auth"
    write(beside, {"new": "x"})
    there = move(shop)
    repair(there)
    record = there.up("auth")
    assert (record.checkout, record.worktree) == (str(there.repo), str(beside))
    assert git(beside, "status", "--porcelain") == "?? new\n"
    there.clean("auth", force=True)
    assert not beside.exists()
