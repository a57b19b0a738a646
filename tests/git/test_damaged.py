"""Files that treedock keeps and that are damaged: named, set aside, and the others go on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.store.records import now
from runner.adapters.store.runs import Journal, Move, Run
from runner.controller.cleanup.archive import root_of
from runner.controller.cleanup.selection import stale
from runner.controller.landing.land import settle
from runner.controller.onboarding.damaged import damaged
from runner.domain.errors import Damaged, NotFound
from runner.domain.instance.record import Lineage, Record
from tests.real_git import commit
from tests.shop import Shop

pytestmark = pytest.mark.deep

LANDED = Move("c", "w", "main", {"auth": "h"})


def change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.mark.parametrize(
    "fields",
    [
        {"ports": None},
        {"ports": {"backend": "9101"}},
        {"ports": {"backend": 0}},
        {"merge": "x"},
        {"error": {"code": 1}},
        {"services": []},
        {"setup_done": "ab"},
        {"worktree": "trees/auth"},
        {"git": {"branch": "--all", "base": "main", "base_commit": "0" * 40}},
        {"git": {}},
        {"archive": "../../../elsewhere"},
        {"copied": ["../x"]},
        {"id": "pay"},
    ],
    ids=str,
)
def test_a_record_of_wrong_types_is_named_and_the_others_go_on(
    shop: Shop, fields: dict[str, Any]
) -> None:
    shop.repository.records.write(_like_an_instance(shop, "pay"))
    shop.repository.records.write(_like_an_instance(shop, "auth"))
    path = shop.repository.records.path("auth")
    change(path, **fields)
    shop.events.clear()
    assert [view.id for view in shop.list()] == ["pay"]
    (warning,) = shop.warnings
    assert str(path) in warning
    assert "treedock doctor --fix" in warning
    with pytest.raises(Damaged, match="is damaged"):
        shop.clean("auth", force=True)
    assert stale(shop.repository, shop.emit) == []


def _like_an_instance(shop: Shop, instance: str) -> Record:
    return Record(
        id=instance, project="shop", git=Lineage(f"feature/{instance}", "main", "0" * 40),
        checkout=str(shop.repo), worktree=f"{shop.repo}/trees/{instance}",
        created_at=now(), ports={"backend": 9101},
    )  # fmt: skip


CUT_OFF: list[Callable[[Path], object]] = [
    lambda path: path.write_text(path.read_text()[:-20]),
    lambda path: path.write_text(""),
    lambda path: path.write_bytes(b"\xff\xfe"),
    lambda path: path.write_text("[]"),
]


@pytest.mark.parametrize("spoil", CUT_OFF, ids=["cut off", "empty", "no text", "another kind"])
def test_doctor_sets_each_aside_and_loses_none(shop: Shop, spoil: Callable[[Path], object]) -> None:
    shop.up("auth")
    shop.up("pay")
    commit(shop.tree("pay"), {"a": "1"})
    shop.clean("pay", force=True)
    root = shop.repository.records.root
    run = Run.begin(root, "merge")
    run.write(landed=(LANDED,))
    Journal(root).path.write_text(
        json.dumps({"version": 1, "run": run.id, "base": "main"}) + " " * 30
    )
    (archive,) = root_of(shop.repository).iterdir()
    kept = [shop.repository.records.path("auth"), run.path, Journal(root).path]
    kept += [archive / "archive.json", root / "repository.json"]
    for path in kept:
        spoil(path)
    for verb in (lambda: shop.record("auth"), lambda: settle(shop.repository, shop.emit)):
        with pytest.raises(Damaged):
            verb()
    told = damaged(shop.repository, fix=False)
    assert [one.status for one in told] == ["problem"] * 5
    assert all(any(str(path) in one.message for one in told) for path in kept)

    fixed = damaged(shop.repository, fix=True)
    assert [one.fixed for one in fixed] == [True] * 5
    assert all(Path(one.message.rpartition(" ")[2]).exists() for one in fixed)
    assert damaged(shop.repository, fix=False) == []
    settle(shop.repository, shop.emit)
    with pytest.raises(NotFound):
        shop.record("auth")
    assert shop.list() == []


def test_undo_last_never_takes_an_earlier_run_for_one_that_it_cannot_read(shop: Shop) -> None:
    root = shop.repository.records.root
    first, second = Run(root, "20260101-000000-aaaa"), Run(root, "20260102-000000-bbbb")
    for run in (first, second):
        run.write(landed=(LANDED,))
    second.path.write_text(second.path.read_text()[:-10])
    with pytest.raises(Damaged, match="bbbb"):
        Run.open(root, "last")
    assert Run.open(root, "aaaa").id == first.id
