"""`down`, and `clean --force`, of an instance that does not want to: it is stopped first."""

import contextlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runner.adapters.store import identity, locks
from runner.controller.cleanup.kept_git import PATIENCE
from runner.controller.landing.merge import merge
from runner.controller.lifecycle.restart import restart
from runner.controller.sync.git_inside import APART_TIMEOUT
from runner.domain.errors import BothMoved, NotFound, NotSynced, Refused, RunnerError, Unavailable
from runner.domain.landing.outcomes import Merged
from runner.domain.requests.landing import Merge
from tests.inside import Inside
from tests.real_git import commit, git, write
from tests.shop import Shop

SOON = 10.0  # seconds


def runs(shop: Shop) -> bool:
    return any(container.is_up for container in shop.engine.containers())


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """The block may take so long."""
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds


@contextmanager
def busy(shop: Shop, operation: Callable[[], object]) -> Iterator[list[RunnerError]]:
    """Another operation in the background; the errors that it ends with."""
    errors: list[RunnerError] = []

    def run() -> None:
        try:
            operation()
        except RunnerError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield errors
    thread.join(30)
    assert not thread.is_alive()


def stubborn_git(folder: Path) -> Path:
    """A folder with a git that never ends."""
    folder.mkdir()
    (folder / "git").write_text("#!/bin/sh\nexec sleep 600\n")
    (folder / "git").chmod(0o755)
    return folder


def test_git_of_the_instance_holds_up_neither_down_nor_clean(shop: Shop, tmp_path: Path) -> None:
    path = f"{stubborn_git(tmp_path / 'bin')}:{os.environ['PATH']}"
    auth = Inside(shop)
    shop.configure(env={"set": {"PATH": path}})
    shop.up("auth")
    made = auth("export PATH=/usr/bin:/bin; git commit --quiet --allow-empty -m work; "
                "git rev-parse HEAD")  # fmt: skip
    with within(SOON):
        assert shop.down("auth") is True
    assert not runs(shop)
    assert auth.head == made
    shop.up("auth")
    with within(SOON):
        shop.clean("auth", force=True)
    assert shop.repository.records.ids() == []


@pytest.mark.deep
def test_commits_that_git_cannot_read_stay_and_it_is_stopped_all_the_same(auth: Inside) -> None:
    made = auth.commit({"login.txt": "x\n"})
    os.mkfifo(auth.own_git / "objects/info/commit-graph")
    with within(APART_TIMEOUT + SOON), pytest.raises(NotSynced) as caught:
        auth.shop.down("auth")
    assert "is stopped" in caught.value.message
    assert "treedock sync auth" in caught.value.hint
    assert not runs(auth.shop)
    (auth.own_git / "objects/info/commit-graph").unlink()
    assert auth.sync().head == made


def test_what_the_instance_wrote_into_its_configuration_is_not_read(auth: Inside) -> None:
    made = auth.commit({"login.txt": "x\n"})
    (auth.own_git / "config").unlink()
    os.mkfifo(auth.own_git / "config")
    with within(SOON):
        assert auth.shop.down("auth") is True
    assert auth.head == made


def test_a_git_directory_without_a_head_is_said_and_stays(auth: Inside) -> None:
    (auth.own_git / "HEAD").write_text("garbage\n")
    with pytest.raises(NotSynced) as caught:
        auth.shop.down("auth")
    assert "no git directory any more" in caught.value.message
    assert (auth.own_git / "HEAD").exists()
    assert not runs(auth.shop)


def test_where_both_sides_moved_down_says_it_and_nothing_moves(auth: Inside) -> None:
    here, inside = commit(auth.tree, {"here.txt": "x\n"}), auth.commit({"inside.txt": "x\n"})
    assert auth.shop.down("auth") is True
    assert any("has moved on both sides" in text for text in auth.shop.warnings)
    assert auth.head == here
    assert isinstance(auth.refused(), BothMoved)
    assert auth.sync("inside").head == inside


def test_a_disk_that_takes_no_file_keeps_nothing_running(auth: Inside) -> None:
    made = auth.commit({"login.txt": "x\n"})
    folder = auth.shop.repository.records.root / "locks"
    aside = folder.rename(folder.with_name("locks.aside"))
    folder.write_text("no folder\n")
    with pytest.raises(NotSynced):
        auth.shop.down("auth")
    assert not runs(auth.shop)
    folder.unlink()
    aside.rename(folder)
    assert auth.sync().head == made


def test_a_damaged_record_keeps_nothing_running(auth: Inside) -> None:
    (auth.folder / "record.json").write_text("{")
    with pytest.raises(Unavailable, match="is damaged"):
        auth.shop.down("auth")
    assert not runs(auth.shop)
    with pytest.raises(NotFound):
        auth.shop.down("pay")


@pytest.mark.parametrize("key", [None, "0123456789ab"], ids=["own place", "another place"])
def test_a_damaged_identity_keeps_nothing_running(shop: Shop, key: str | None) -> None:
    if key:
        shop.repository.be(key)  # as of a repository that was moved here
    shop.up("auth")
    (shop.repository.records.root / identity.FILE).write_text("{")
    with pytest.raises(Unavailable, match="is damaged"):
        shop.down("auth")
    assert not runs(shop)


@pytest.mark.deep
def test_a_merge_ends_where_one_of_its_instances_is_stopped(
    shop: Shop, eventually: Callable[..., object]
) -> None:
    for instance in ("auth", "pay"):
        shop.up(instance)
        commit(shop.tree(instance), {f"{instance}.txt": "x\n"}, instance)
    base = git(shop.repo, "rev-parse", "main")
    merged: list[Merged] = []

    def land() -> None:
        wanted = Merge(order="given", gates=("sleep 6",))
        merged.extend(merge(shop.project, ["auth", "pay"], wanted, shop.emit))

    with busy(shop, land):
        eventually(lambda: any("testing" in remark for remark in shop.remarks), 20)
        # The fake engine does not end what it runs attached, so the lock comes late.
        with within(SOON), contextlib.suppress(NotSynced):
            shop.down("auth")
    (ended,) = merged
    assert ended.exit_code == 4
    said = [one.message for one in ended.outcomes]
    assert any(f"auth was stopped by process {os.getpid()}" in message for message in said)
    assert git(shop.repo, "rev-parse", "main") == base
    assert shop.repository.records.ids() == ["auth", "pay"]


@pytest.mark.deep
def test_an_up_that_does_not_end_is_stopped_and_says_by_whom(
    shop: Shop, eventually: Callable[..., object]
) -> None:
    shop.configure(setup=[{"run": "sleep 600"}])
    with busy(shop, lambda: shop.up("auth")) as errors:
        eventually(lambda: shop.processes("auth").process("setup-1").pid, 20)
        with within(SOON):
            assert shop.down("auth") is True
    (error,) = errors
    assert (error.code, error.exit_code) == ("stopped", 4)
    assert f"auth was stopped by process {os.getpid()}" in error.message
    assert not runs(shop)
    (view,) = shop.list()
    assert (view.state, view.error and view.error.code) == ("failed", "stopped")
    shop.configure(setup=[])
    shop.up("auth")


@pytest.mark.deep
def test_an_up_cannot_start_what_was_stopped_under_it(
    auth: Inside, eventually: Callable[..., object]
) -> None:
    shop, operation = auth.shop, auth.operation
    shop.engine.stop(shop.engine.containers()[0].id, 0)
    waited = threading.Event()

    def up() -> None:
        from runner.controller.instance.container import ensure_running
        from runner.controller.operation import Operation

        own = Operation(shop.project, "auth", auth.emit)
        own.image = "tiny"
        with own.locked():
            waited.wait(20)
            ensure_running(own)

    with busy(shop, up) as errors:
        eventually(lambda: locks.is_held(operation.records.lock("auth")))
        with busy(shop, lambda: shop.down("auth")):
            eventually(lambda: operation.records.stopped_by("auth"), 20)
            waited.set()
    assert [error.code for error in errors] == ["stopped"]
    assert not runs(shop)
    shop.up("auth")
    assert runs(shop)


@pytest.mark.deep
def test_an_operation_that_goes_on_without_the_container_is_named(auth: Inside) -> None:
    auth.commit({"login.txt": "x\n"})
    with auth.operation.locked(), pytest.raises(NotSynced) as caught:
        auth.shop.down("auth")
    assert "another operation of this process is at work on auth" in caught.value.message
    assert not runs(auth.shop)
    with auth.operation.locked(), within(SOON), pytest.raises(Refused, match="is at work"):
        auth.shop.clean("auth", force=True)
    auth.shop.clean("auth", force=True)
    assert auth.shop.repository.records.ids() == []


@pytest.mark.deep
def test_clean_keeps_the_git_directory_that_git_cannot_read(auth: Inside) -> None:
    made = auth.commit({"login.txt": "x\n"})
    os.mkfifo(auth.own_git / "objects/info/commit-graph")
    with within(APART_TIMEOUT + PATIENCE + SOON):
        (archive,) = auth.shop.clean("auth", force=True).archives
    assert archive.git
    (Path(archive.git) / "objects/info/commit-graph").unlink()
    assert git(Path(archive.git), "cat-file", "-t", made) == "commit\n"


def test_restart_goes_on_where_commits_could_not_be_brought_out(auth: Inside) -> None:
    (auth.own_git / "HEAD").write_text("garbage\n")
    assert restart(auth.shop.project, "auth", auth.shop.emit).error is None
    assert any("could not be brought out" in text for text in auth.shop.warnings)
    assert runs(auth.shop)


@pytest.fixture
def small(shop: Shop, tmp_path: Path) -> Iterator[Shop]:
    """The shop on a disk of its own of 24 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        yield Shop(shutil.copytree(shop.repo, disk / "shop"), shop.engine)
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_full_disk_keeps_nothing_running_and_clean_has_a_way_out(small: Shop) -> None:
    small.up("auth")
    auth = Inside(small)
    made = auth.commit({"login.txt": "x\n"})
    write(auth.tree, {"new.txt": "x" * 2**18})
    fill = auth.tree / ".treedock" / "fill"
    auth.run("mkdir -p .treedock; cat /dev/zero >.treedock/fill")
    with pytest.raises(NotSynced, match="No space left"):
        small.down("auth")
    assert not runs(small)
    with pytest.raises(Refused, match="nothing was removed") as caught:
        small.clean("auth", force=True)
    assert f"git --no-optional-locks -C {auth.tree} status --ignored" in caught.value.hint
    assert ".treedock/" in git(auth.tree, "--no-optional-locks", "status", "--ignored")
    assert (auth.tree / "new.txt").exists()
    fill.unlink()
    (archive,) = small.clean("auth", force=True).archives
    assert archive.tar
    assert made in archive.refs.values()
