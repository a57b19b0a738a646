"""What a killed merge left is finished or removed, by the next merge and by doctor."""

import pytest

from runner.adapters.store.runs import Journal, Landing
from runner.controller.instance import throwaway
from runner.controller.landing import gates
from runner.controller.landing.recovery import clear_up, unfinished
from runner.controller.operation import Operation
from runner.domain.instance.container import LABEL_HELPS, ContainerSpec, Limits
from tests.real_git import commit, git
from tests.shop import Shop


def test_an_abandoned_throwaway_instance_is_told_and_removed(shop: Shop) -> None:
    project, head = shop.project, git(shop.repo, "rev-parse", "HEAD").strip()
    operation = Operation(throwaway.gate_project(project), "gate.dead.0", shop.emit)
    gates.require_green(operation, head, head, [])
    (told,) = unfinished(project, fix=False, emit=shop.emit)
    assert "gate.dead.0" in told.message
    (mended,) = unfinished(project, fix=True, emit=shop.emit)
    assert mended.fixed
    assert shop.engine.containers() == []
    assert len(git(shop.repo, "worktree", "list").splitlines()) == 1
    assert git(shop.repo, "for-each-ref", "refs/treedock") == ""


def test_one_that_somebody_works_on_is_left_alone(shop: Shop) -> None:
    project, head = shop.project, git(shop.repo, "rev-parse", "HEAD").strip()
    operation = Operation(throwaway.gate_project(project), "gate.busy.0", shop.emit)
    with operation.locked():
        gates.require_green(operation, head, head, [])
        (told,) = unfinished(project, fix=True, emit=shop.emit)
    assert told.status == "ok"
    assert not told.fixed
    assert len(shop.engine.containers()) == 1


def test_a_landing_that_was_cut_off_is_told_and_settled(shop: Shop) -> None:
    shop.up("auth")
    new = commit(shop.tree("auth"), {"auth.txt": "x\n"})
    before = git(shop.repo, "rev-parse", "main").strip()
    Journal(shop.repository.records.root).begin(Landing("", "main", before, new, {}))
    (told,) = unfinished(shop.project, fix=False, emit=shop.emit)
    assert "a landing" in told.message
    clear_up(shop.project, shop.emit)
    (told,) = unfinished(shop.project, fix=False, emit=shop.emit)
    assert told.status == "ok"


def test_a_container_that_git_ran_in_is_removed(shop: Shop) -> None:
    labels = {
        "treedock": "helper",
        "treedock.repository": shop.repository.key,
        LABEL_HELPS: "auth",
    }
    spec = ContainerSpec("left", "tiny", "0:0", "h", (), (), Limits(2**20, 1, 10), labels=labels)
    shop.engine.create(spec)
    clear_up(shop.project, shop.emit)
    assert shop.engine.containers() == []


def test_refs_that_pinned_candidates_of_a_dead_run_are_removed(shop: Shop) -> None:
    git(shop.repo, "update-ref", "refs/treedock-run/20261121-000000-dead/0", "HEAD")
    clear_up(shop.project, shop.emit)
    assert git(shop.repo, "for-each-ref", "refs/treedock-run") == ""


@pytest.mark.parametrize("name", ["run-20261121-000000-dead", "gate.dead.0"])
def test_the_lock_of_a_dead_run_is_removed(shop: Shop, name: str) -> None:
    lock = shop.repository.records.lock(name)
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    clear_up(shop.project, shop.emit)
    assert not lock.exists()
