"""Several operations at once, in one process and on one repository, with git as it is."""

import itertools
import json
import os

import pytest

from runner.controller.verbs import Controller
from runner.domain.instance.ports import home_slot
from runner.domain.requests.cleanup import Clean
from runner.domain.requests.landing import Merge
from runner.domain.requests.lifecycle import Down, Up
from runner.domain.requests.observe import List
from runner.domain.requests.sync import Sync
from tests.at_once import all_at_once
from tests.real_git import commit, git
from tests.shop import Shop

ROUNDS = int(os.environ.get("TREEDOCK_TEST_ROUNDS", "3"))


def two_of_one_slot() -> tuple[str, str]:
    """Ids that hash to the same slot of five."""
    names = (f"feature-{number}" for number in itertools.count())
    one = next(names)
    return one, next(name for name in names if home(name) == home(one))


def home(name: str) -> int:
    return home_slot("shop", name, 5)


@pytest.mark.deep
def test_any_verbs_work_at_once_round_after_round(shop: Shop) -> None:
    controller = Controller.open(shop.repo, connect=lambda: shop.engine)
    shop.up("sales")
    one, other = two_of_one_slot()
    for number in range(ROUNDS):
        shop.up("done")
        done = commit(shop.tree("done"), {f"{number}.txt": "done"}, f"done {number}")
        commit(shop.tree("sales"), {f"sales-{number}.txt": "sales"}, f"sales {number}")
        all_at_once(
            controller,
            [Up(ids=(one,)), Up(ids=(other,)), Up(ids=(other,)), List(), Sync(ids=("sales",)),
             Merge(ids=("done",)), List()],
        )  # fmt: skip
        git(shop.repo, "merge-base", "--is-ancestor", done, "main")
        assert {view.id: view.state for view in shop.list()} == dict.fromkeys(
            (one, other, "sales"), "running"
        )
        assert len({shop.record(id_).slot for id_ in (one, other, "sales")}) == 3
        all_at_once(
            controller,
            [Clean(ids=(one,)), Clean(ids=(other,)), Down(ids=("sales",)), List()],
        )  # fmt: skip
        assert [view.id for view in shop.list()] == ["sales"]
        shop.up("sales")
    assert len(git(shop.repo, "log", "--first-parent", "--oneline", "main").splitlines()) == (
        2 + ROUNDS
    )
    git(shop.repo, "fsck", "--strict")
    journals = list((shop.repo / ".git/treedock/runs").glob("*/events.jsonl"))
    assert len(journals) == ROUNDS
    for path in journals:
        assert json.loads(path.read_text().splitlines()[-1])["event"] == "operation_ended"
