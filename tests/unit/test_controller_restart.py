"""`restart` and `db reset` on the fake engine."""

import time

import pytest

from runner.controller.data.reset import reset
from runner.controller.instance.processes import LocalExecutor
from runner.controller.lifecycle.restart import restart, restart_service
from runner.controller.operation import Operation
from runner.domain.errors import CommandFailed, ConfigError, NotFound, Refused
from runner.domain.instance.service import service_process
from tests.shop import Shop
from tests.waiting import eventually

TWO = {"one": {"run": "exec sleep 60"}, "two": {"run": "exec sleep 60"}}


def pids(shop: Shop) -> dict[str, int | None]:
    (view,) = shop.list()
    return {service.name: service.pid for service in view.services or ()}


def test_one_service_restarts_without_the_other(shop: Shop) -> None:
    shop.configure(services=TWO)
    shop.up("auth")
    before = pids(shop)
    restart_service(shop.project, "auth", "one", shop.emit)
    after = pids(shop)
    assert after["one"] not in (before["one"], None)
    assert after["two"] == before["two"]


def test_a_whole_instance_restarts_in_the_same_container(shop: Shop) -> None:
    shop.configure(services=TWO)
    ports = shop.up("auth").ports
    before, (container,) = pids(shop), shop.engine.containers()
    assert restart(shop.project, "auth", shop.emit).error is None
    assert not set(pids(shop).values()) & set(before.values())
    assert [c.id for c in shop.engine.containers()] == [container.id]
    assert shop.record("auth").ports == ports


def test_what_is_not_there_cannot_be_restarted(shop: Shop) -> None:
    shop.configure(services=TWO)
    with pytest.raises(NotFound, match="no instance 'auth'"):
        restart(shop.project, "auth", shop.emit)
    shop.up("auth")
    with pytest.raises(NotFound, match="no service 'three'") as caught:
        restart_service(shop.project, "auth", "three", shop.emit)
    assert "one, two" in caught.value.hint
    shop.down("auth")
    with pytest.raises(Refused, match="is not running"):
        restart_service(shop.project, "auth", "one", shop.emit)


def test_a_reset_runs_while_the_services_are_stopped_and_starts_them_again(shop: Shop) -> None:
    shop.configure(services=TWO, database={"path": "x.db", "reset": "echo reset >>told"})
    shop.up("auth")
    before = pids(shop)
    reset(shop.project, "auth", shop.emit)
    assert (shop.tree("auth") / "told").read_text() == "reset\nreset\n"
    after = pids(shop)
    assert None not in after.values()
    assert not set(after.values()) & set(before.values())


def test_a_reset_that_fails_starts_the_services_all_the_same(shop: Shop) -> None:
    shop.configure(services=TWO, database={"path": "x.db", "reset": "test ! -e bad"})
    shop.up("auth")
    (shop.tree("auth") / "bad").touch()
    with pytest.raises(CommandFailed, match="reset failed with exit code 1"):
        reset(shop.project, "auth", shop.emit)
    assert None not in pids(shop).values()


def test_without_a_reset_command_there_is_nothing_to_reset(shop: Shop) -> None:
    shop.up("auth")
    with pytest.raises(ConfigError, match=r"has no database\.reset"):
        reset(shop.project, "auth", shop.emit)


def test_services_that_ignore_the_signal_end_together_after_a_second(shop: Shop) -> None:
    stubborn = {"run": "trap '' TERM; while :; do sleep 0.2; done"}
    names = [f"stubborn{n}" for n in range(5)]
    shop.configure(services=dict.fromkeys(names, stubborn))
    shop.up("auth")
    operation = Operation(shop.repository, "auth", shop.emit)
    (container,) = shop.engine.containers()
    begun = time.monotonic()
    LocalExecutor(operation, container.id).stop([service_process(name) for name in names])
    assert time.monotonic() - begun < 4  # each of them for a second would be five
    processes = shop.processes("auth")
    eventually(lambda: not any(processes.process(service_process(name)).alive for name in names))
