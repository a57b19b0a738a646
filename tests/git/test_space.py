"""The watch over free space."""

import itertools
import threading
from collections.abc import Callable

import pytest

from runner.adapters.engine.protocol import Exec
from runner.adapters.store.run_folder import RunFolder
from runner.controller.disk_watch import space_watched, written_by_instances
from runner.controller.project import Project
from runner.domain.errors import LimitReached
from runner.domain.instance import container as names
from tests.shop import Shop

pytestmark = pytest.mark.deep

Eventually = Callable[..., object]


def test_a_writer_is_paused_while_the_disk_is_almost_full(
    shop: Shop, eventually: Eventually
) -> None:
    shop.up("auth")
    shop.configure(limits={"disk_free": 2**60})
    counter = itertools.count()
    with space_watched(
        shop.project, shop.emit, 0.01, lambda project: {"auth": next(counter)},
        lambda: 2**30,
    ):  # fmt: skip
        eventually(lambda: shop.engine.containers()[0].status == "paused", 10)
    assert any("it wrote most" in text for text in shop.warnings)


def test_who_writes_nothing_is_not_paused(shop: Shop, eventually: Eventually) -> None:
    shop.up("auth")
    shop.configure(limits={"disk_free": 2**60})
    looks: list[str] = []

    def written(project: Project) -> dict[str, int | None]:
        looks.append("look")
        return {"auth": 7}

    with space_watched(shop.project, shop.emit, 0.01, written, lambda: 2**30):
        eventually(lambda: len(looks) > 5, 10)
    assert shop.engine.containers()[0].status == "running"


def test_nobody_is_paused_while_there_is_room(shop: Shop, eventually: Eventually) -> None:
    shop.up("auth")
    looks: list[str] = []

    def free() -> int:
        looks.append("look")
        return 2**50

    with space_watched(shop.project, shop.emit, 0.01, free=free):
        eventually(lambda: len(looks) > 5, 10)
    assert shop.engine.containers()[0].status == "running"


def test_where_no_instance_explains_the_loss_all_are_paused_and_that_is_said(
    shop: Shop, eventually: Eventually
) -> None:
    shop.up("auth")
    shop.up("pay")
    shop.configure(limits={"disk_free": 2**60})
    free = itertools.count(2**50, -(2**30))
    counter = itertools.count(step=2**10)

    def written(project: Project) -> dict[str, int | None]:
        return {"auth": next(counter), "pay": 7}

    with space_watched(shop.project, shop.emit, 0.01, written, lambda: next(free)):
        eventually(lambda: {c.status for c in shop.engine.containers()} == {"paused"}, 10)
        eventually(lambda: len(shop.warnings) > 1, 10)
    assert all("no instance explains the loss" in text for text in shop.warnings)


def test_what_has_been_written_counts_when_its_writer_is_gone(shop: Shop) -> None:
    shop.up("auth")
    (container,) = shop.engine.containers()
    before = written_by_instances(shop.project)["auth"]
    assert before is not None
    for place in ("/workspace/.treedock", names.RUN, names.GIT, names.HOME):
        script = 'mkdir -p "$1" && cd "$1" && head -c 3000000 /dev/zero >fill'
        fill = Exec(["sh", "-c", script, "sh", place])
        assert shop.engine.exec(container.id, fill).exit_code == 0
    shop.engine.layers[container.id] = 2_000_000
    after = written_by_instances(shop.project)["auth"]
    assert after is not None
    assert 14_000_000 <= after - before < 15_000_000


def test_up_starts_a_paused_instance_anew(shop: Shop) -> None:
    shop.up("auth")
    shop.engine.pause(shop.engine.containers()[0].id)
    shop.up("auth")
    assert shop.engine.containers()[0].status == "running"


def test_a_step_that_was_paused_says_so(shop: Shop, eventually: Eventually) -> None:
    shop.configure(setup=[{"run": "sleep 30"}])

    def pause() -> None:
        processes = RunFolder(shop.repository.records.folder("auth") / "run")
        eventually(lambda: processes.process("setup-1").pid, 20)
        shop.engine.pause(shop.engine.containers()[0].id)

    pausing = threading.Thread(target=pause)
    pausing.start()
    error = shop.refusal("auth")
    pausing.join()
    assert isinstance(error, LimitReached)
    assert "paused" in error.message
