"""The watch over free space."""

import itertools
import threading
from collections.abc import Callable

import pytest

from runner.adapters.run_folder import RunFolder
from runner.controller.space import space_watched
from runner.domain.errors import LimitReached
from tests.shop import Shop

pytestmark = pytest.mark.deep

Eventually = Callable[..., object]


def test_a_writer_is_paused_while_the_disk_is_almost_full(
    shop: Shop, eventually: Eventually
) -> None:
    shop.up("auth")
    shop.configure(limits={"disk_free": 2**60})
    counter = itertools.count()
    with space_watched(shop.project, shop.events.append, 0.01, lambda id: next(counter)):
        eventually(lambda: shop.engine.containers()[0].status == "paused", 10)
    assert any("it wrote most" in text for text in shop.warnings)


def test_who_writes_nothing_is_not_paused(shop: Shop, eventually: Eventually) -> None:
    shop.up("auth")
    shop.configure(limits={"disk_free": 2**60})
    asked = len(shop.engine.calls)
    with space_watched(shop.project, shop.events.append, 0.01, lambda id: 7):
        eventually(lambda: len(shop.engine.calls) > asked + 3, 10)
    assert shop.engine.containers()[0].status == "running"


def test_nobody_is_paused_while_there_is_room(shop: Shop, eventually: Eventually) -> None:
    shop.up("auth")
    asked = len(shop.engine.calls)
    with space_watched(shop.project, shop.events.append, interval=0.01):
        eventually(lambda: len(shop.engine.calls) > asked + 3, 10)
    assert shop.engine.containers()[0].status == "running"


def test_up_starts_a_paused_instance_anew(shop: Shop) -> None:
    shop.up("auth")
    shop.engine.pause(shop.engine.containers()[0].id)
    shop.up("auth")
    assert shop.engine.containers()[0].status == "running"


def test_a_step_that_was_paused_says_so(shop: Shop, eventually: Eventually) -> None:
    shop.configure(setup=[{"run": "sleep 30"}])

    def pause() -> None:
        jobs = RunFolder(shop.repository.records.folder("auth") / "run")
        eventually(lambda: jobs.job("setup-1").pid, 20)
        shop.engine.pause(shop.engine.containers()[0].id)

    pausing = threading.Thread(target=pause)
    pausing.start()
    error = shop.refusal("auth")
    pausing.join()
    assert isinstance(error, LimitReached)
    assert "paused" in error.message
