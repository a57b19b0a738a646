"""Several operations at once, in one process and on one repository, with git as it is."""

import os

import pytest

from runner.controller.verbs import Controller
from runner.domain.requests.cleanup import Clean
from runner.domain.requests.landing import Merge
from runner.domain.requests.lifecycle import Down, Up
from runner.domain.requests.observe import List
from runner.domain.requests.sync import Sync
from tests.at_once import all_at_once
from tests.real_git import commit, git
from tests.shop import Shop

ROUNDS = int(os.environ.get("TREEDOCK_TEST_ROUNDS", "3"))


@pytest.mark.deep
def test_any_verbs_work_at_once_round_after_round(shop: Shop) -> None:
    controller = Controller.open(shop.repo, connect=lambda: shop.engine)
    shop.up("sales")
    for number in range(ROUNDS):
        shop.up("done")
        done = commit(shop.tree("done"), {f"{number}.txt": "done"}, f"done {number}")
        commit(shop.tree("sales"), {f"sales-{number}.txt": "sales"}, f"sales {number}")
        all_at_once(
            controller,
            [Up(ids=("auth",)), Up(ids=("pay",)), List(), Sync(ids=("sales",)),
             Merge(ids=("done",)), List()],
        )  # fmt: skip
        git(shop.repo, "merge-base", "--is-ancestor", done, "main")
        assert {view.id: view.state for view in shop.list()} == dict.fromkeys(
            ("auth", "pay", "sales"), "running"
        )
        all_at_once(
            controller,
            [Clean(ids=("auth",)), Clean(ids=("pay",)), Down(ids=("sales",)), List()],
        )  # fmt: skip
        assert [view.id for view in shop.list()] == ["sales"]
        shop.up("sales")
    assert len(git(shop.repo, "log", "--first-parent", "--oneline", "main").splitlines()) == (
        2 + ROUNDS
    )
    git(shop.repo, "fsck", "--strict")
