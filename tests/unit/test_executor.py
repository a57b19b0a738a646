"""Processes of an instance: started, watched and stopped through an Executor."""

import time
from collections.abc import Callable

import pytest

from runner.adapters.cancellation import Cancelled, Token, within
from runner.controller.instance.executor import Executor, Launch
from runner.controller.instance.processes import LocalExecutor
from runner.controller.operation import Operation
from runner.domain.errors import CommandFailed, LimitReached
from tests.shop import Shop
from tests.waiting import eventually

Made = Callable[[], Executor]


@pytest.fixture
def executor(shop: Shop) -> Made:
    """executor(): one of its own for an instance that runs."""
    shop.up("auth")
    (container,) = shop.engine.containers()
    return lambda: LocalExecutor(Operation(shop.project, "auth", shop.emit), container.id)


def launch(command: str, *, timeout: float | None = None, **env: str) -> Launch:
    return Launch("setup-1", command, ".", env, timeout=timeout)


def test_what_one_starts_another_one_watches_to_its_end(executor: Made, shop: Shop) -> None:
    going = launch('until test -e go; do sleep 0.02; done; exit "$CODE"', CODE="3")
    executor().start(going)
    other = executor()
    assert other.watch("setup-1").alive
    assert other.is_same(going)
    assert not other.is_same(launch("true"))
    (shop.tree("auth") / "go").touch()
    assert other.wait(going) == 3
    assert not other.watch("setup-1").alive


def test_a_new_one_of_the_same_name_knows_nothing_of_the_last(executor: Made) -> None:
    first, second = launch("exit 4"), launch("exit 0")
    executor().start(first)
    assert executor().wait(first) == 4
    executor().start(second)
    assert executor().wait(second) == 0
    assert executor().is_same(second)


def test_one_that_is_stopped_ends_with_all_it_started(executor: Made, shop: Shop) -> None:
    executor().start(launch("(trap '' TERM; sleep 71; touch late) & touch up; wait"))
    assert eventually((shop.tree("auth") / "up").exists)
    executor().stop(["setup-1", "setup-2"])
    assert not executor().watch("setup-1").alive
    assert not (shop.tree("auth") / "late").exists()


def test_one_that_takes_longer_than_it_may_is_stopped(executor: Made) -> None:
    slow = launch("sleep 72", timeout=0.2)
    executor().start(slow)
    begun = time.monotonic()
    with pytest.raises(CommandFailed, match=r"did not end within 0\.2 seconds"):
        executor().wait(slow)
    assert time.monotonic() - begun < 10
    assert not executor().watch("setup-1").alive


def test_a_wait_is_broken_off_and_the_process_goes_on(executor: Made) -> None:
    slow = launch("sleep 73")
    executor().start(slow)
    token, waiting = Token(), executor()
    with within(token):
        token.cancel()
        with pytest.raises(Cancelled):
            waiting.wait(slow)
    assert executor().watch("setup-1").alive
    executor().stop(["setup-1"])


def test_in_an_instance_that_ends_a_process_has_been_killed(executor: Made, shop: Shop) -> None:
    slow = launch("sleep 74")
    executor().start(slow)
    (container,) = shop.engine.containers()
    shop.engine.pause(container.id)
    with pytest.raises(LimitReached, match="is paused"):
        executor().wait(slow)
    shop.engine.remove(container.id)
    assert executor().wait(slow) == 137
