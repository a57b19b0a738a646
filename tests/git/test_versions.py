"""What another version of treedock keeps is neither read, changed nor removed."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from runner.adapters.store import stored
from runner.adapters.store.records import Records, now
from runner.adapters.store.runs import Journal, Landing, Move, Run
from runner.adapters.store.snapshots import Snapshot
from runner.controller.cache.build import snapshot_labels
from runner.controller.cache.prune import leftover_volumes, prune, remove_leftover_volumes
from runner.controller.cleanup.archive import MANIFEST, SEEN, expire, root_of
from runner.controller.cleanup.orphans import leftovers
from runner.controller.instance.throwaway import dispose, gate_project
from runner.controller.landing.merge import merge
from runner.controller.landing.recovery import unfinished
from runner.controller.onboarding.damaged import damaged
from runner.controller.operation import Operation
from runner.domain.errors import OtherVersion
from runner.domain.instance.archive import Archive
from runner.domain.instance.names import throwaway
from runner.domain.requests.landing import Merge
from tests.shop import Shop

VOLUME = "treedock-shop-snapshot-aaaabbbbcccc-012345.0"


@pytest.fixture
def kept(shop: Shop) -> Path:
    """The record of a snapshot that has a volume and a file."""
    shop.up("auth")
    snapshots = shop.repository.snapshots
    operation = Operation(shop.project, "auth", shop.emit)
    shop.engine.ensure_volume(VOLUME, snapshot_labels(operation, "aaaabbbbccccdddd"))
    snapshots.write(Snapshot("aaaabbbbccccdddd", "kin", "npm ci", {"a": VOLUME}, now()))
    snapshots.file("aaaabbbbccccdddd").write_text("golden")
    return snapshots.path("aaaabbbbccccdddd")


def newer(path: Path) -> str:
    """Make the file one of a newer treedock; returns its text."""
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 9, "colour": "red"}))
    return path.read_text()


def test_a_newer_record_is_refused_in_one_sentence_and_stays(shop: Shop) -> None:
    shop.up("auth")
    shop.up("pay")
    tree = shop.tree("auth")
    path = shop.repository.records.path("auth")
    text = newer(path)
    for verb in (lambda: shop.up("auth"), lambda: shop.clean("auth", force=True)):
        with pytest.raises(OtherVersion, match="its layout is 9, and this treedock knows 1"):
            verb()
    shop.events.clear()
    assert [view.id for view in shop.list()] == ["pay"]
    (warning,) = shop.warnings
    assert "newer treedock" in warning
    (finding,) = damaged(shop.repository, fix=True)
    assert (finding.status, finding.fixed) == ("problem", False)
    leftovers(shop.project, shop.engine, fix=True, emit=shop.emit)
    assert path.read_text() == text
    assert tree.is_dir()
    assert len(shop.engine.containers()) == 2


def test_a_record_from_before_the_first_release_is_refused(shop: Shop) -> None:
    shop.up("auth")
    path = shop.repository.records.path("auth")
    data = json.loads(path.read_text())
    del data["version"]
    path.write_text(json.dumps(data))
    with pytest.raises(OtherVersion, match="before its first release"):
        shop.record("auth")
    assert not damaged(shop.repository, fix=True)[0].fixed
    assert path.exists()


@pytest.mark.parametrize("of", ["snapshot", "instance"])
def test_volumes_are_in_use_while_a_newer_record_may_name_them(
    shop: Shop, kept: Path, of: str
) -> None:
    newer(kept if of == "snapshot" else shop.repository.records.path("auth"))
    assert leftover_volumes(shop.repository) == []
    remove_leftover_volumes(shop.repository)
    if of == "snapshot":
        with pytest.raises(OtherVersion):
            prune(shop.repository, max_size=0)
    assert VOLUME in shop.engine.volumes()
    assert shop.repository.snapshots.file(kept.stem).read_text() == "golden"
    assert kept.exists()


def test_volumes_of_a_damaged_snapshot_are_in_use_until_it_is_set_aside(
    shop: Shop, kept: Path
) -> None:
    kept.write_text("{")
    assert leftover_volumes(shop.repository) == []
    remove_leftover_volumes(shop.repository)
    assert shop.repository.snapshots.file(kept.stem).exists()
    (finding,) = damaged(shop.repository, fix=True)
    assert finding.fixed
    assert leftover_volumes(shop.repository) == [VOLUME]


def test_a_volume_that_an_instance_shows_stays_without_the_record_of_its_snapshot(
    shop: Shop, kept: Path
) -> None:
    kept.unlink()
    assert leftover_volumes(shop.repository) == [VOLUME]
    Operation(shop.project, "auth", shop.emit).change(data_lowers={"own": VOLUME})
    assert leftover_volumes(shop.repository) == []


def test_a_newer_run_hides_no_other_one_but_may_be_the_last(shop: Shop) -> None:
    root = shop.repository.records.root
    moves = (Move("1" * 40, "2" * 40, "main", {}),)
    early, late = (Run(root, f"20260101-00000{n}-aaa{n}") for n in range(2))
    for run in (early, late):
        run.write(kind="merge", base="main", landed=moves)
    assert Run.open(root, "last").id == late.id
    text = newer(late.path)
    assert Run.open(root, early.id).read().landed == moves
    with pytest.raises(OtherVersion):
        Run.open(root, "last")
    with pytest.raises(OtherVersion):
        Run.open(root, late.id).read()
    assert late.path.read_text() == text


def test_a_landing_of_a_newer_treedock_is_left_to_that(shop: Shop) -> None:
    shop.up("auth")
    journal = Journal(shop.repository.records.root)
    head = shop.repository.git.branch("main") or ""
    journal.begin(Landing("20260101-000000-aaaa", "main", head, head, {}))
    text = newer(journal.path)
    with pytest.raises(OtherVersion):
        merge(shop.project, ["auth"], Merge(no_gate=True), shop.emit)
    assert unfinished(shop.project, fix=True, emit=shop.emit)[0].status == "problem"
    assert not damaged(shop.repository, fix=True)[0].fixed
    assert journal.path.read_text() == text


def test_a_throwaway_instance_of_a_newer_treedock_is_left_to_that(shop: Shop) -> None:
    record = shop.up("auth")
    gates = Records(shop.repository.common_dir, "gates")
    instance = throwaway("0101-aaaa")
    gates.write(replace(record, id=instance))
    text = newer(gates.path(instance))
    unfinished(shop.project, fix=True, emit=shop.emit)
    assert gates.path(instance).read_text() == text
    with pytest.raises(OtherVersion):
        dispose(Operation(gate_project(shop.project), instance, shop.emit))
    assert gates.path(instance).read_text() == text


def test_an_archive_of_a_newer_treedock_does_not_expire(shop: Shop) -> None:
    root = root_of(shop.repository)
    names = ("pay-20200101-000000", "tax-20200101-000000")
    for name in names:
        stored.write(root / name / MANIFEST, Archive(name, str(root / name), "", {}))
    text = newer(root / names[0] / MANIFEST)
    for name in names:
        os.utime(root / name, (0, 0))
    (root.parent / SEEN).write_text(json.dumps(dict.fromkeys(names, 0.0)))
    expire(shop.repository, [])
    assert (root / names[0] / MANIFEST).read_text() == text
    assert not (root / names[1]).exists()
