"""Sidecars on the fake engine: their life beside an instance."""

import contextlib
import io
import shutil
from collections.abc import Callable

import pytest

from runner.adapters.engine.protocol import Filter
from runner.controller.cleanup.orphans import leftovers
from runner.controller.instance import throwaway
from runner.controller.landing import gates
from runner.controller.observe.listing import status
from runner.controller.operation import Operation
from runner.domain.errors import CommandFailed, ConfigError, EngineUnavailable, Refused
from runner.domain.instance.container import (
    LABEL_BESIDE,
    LABEL_CACHE,
    LABEL_REPOSITORY,
    ContainerSpec,
    Limits,
    VolumeMount,
)
from runner.domain.instance.ports import PortRange
from tests.free_ports import free_block
from tests.real_git import git
from tests.shop import Shop

CACHE = {"image": "tiny:1", "command": "sh -c 'echo begun; exec sleep 60'", "volume": "/data"}
Eventually = Callable[..., object]


@pytest.fixture
def beside(shop: Shop) -> Shop:
    """The shop with a sidecar `cache`."""
    shop.engine.import_image(io.BytesIO(), "tiny:1")
    shop.configure(sidecars={"cache": CACHE})
    return shop


def statuses(shop: Shop, instance: str = "auth") -> dict[str, str]:
    return {
        one.labels["treedock.sidecar"]: one.status
        for one in shop.engine.containers(Filter(beside=instance))
    }


def test_it_comes_goes_and_is_cleaned_with_its_instance(beside: Shop) -> None:
    beside.up("auth")
    assert statuses(beside) == {"cache": "running"}
    assert [one.name for one in beside.bring("auth")[0].view.sidecars] == ["cache"]  # type: ignore[union-attr]
    beside.down("auth")
    assert statuses(beside) == {"cache": "exited"}
    beside.up("auth")
    assert statuses(beside) == {"cache": "running"}
    beside.clean("auth")
    assert statuses(beside) == {}
    assert beside.engine.volumes() == []


def test_a_second_up_changes_nothing(beside: Shop) -> None:
    beside.up("auth")
    before = beside.engine.containers(Filter(beside="auth"))
    assert not beside.bring("auth")[0].changed
    assert beside.engine.containers(Filter(beside="auth")) == before


def test_a_changed_one_is_made_anew_with_its_data_and_a_removed_one_goes(beside: Shop) -> None:
    beside.up("auth")
    (before,) = beside.engine.containers(Filter(beside="auth"))
    beside.configure(sidecars={"cache": CACHE | {"env": {"LEVEL": "2"}}})
    (seen,) = status(beside.project, ["auth"], beside.emit)
    assert seen.out_of_date == ["sidecars.cache"]
    beside.up("auth")
    (after,) = beside.engine.containers(Filter(beside="auth"))
    assert before.id != after.id
    assert len(beside.engine.volumes(Filter(beside="auth"))) == 1
    beside.configure(sidecars={})
    beside.up("auth")
    assert statuses(beside) == {}
    assert len(beside.engine.volumes(Filter(beside="auth"))) == 1, "the data stays until clean"


def test_data_that_another_container_runs_on_is_left_to_it(beside: Shop) -> None:
    before = beside.up("auth").ports
    (own,) = beside.engine.containers(Filter(beside="auth"))
    beside.down("auth")
    mount = VolumeMount(own.name, "/data")
    stranger = ContainerSpec(
        "composed", "tiny:1", "", "", (), (), Limits(2**28, 1, 50), labels={}, volumes=(mount,),
        command=("sleep", "60"),
    )  # fmt: skip
    beside.engine.start(beside.engine.create(stranger))
    assert "in use by the container composed" in beside.refusal("auth").message
    assert statuses(beside) == {"cache": "exited"}
    beside.engine.remove("composed")
    assert beside.up("auth").ports == before


def test_the_container_it_joins_is_made_anew_and_it_too(beside: Shop) -> None:
    beside.up("auth")
    (before,) = beside.engine.containers(Filter(beside="auth"))
    beside.configure(limits={"memory": "300m", "disk_free": 0})
    beside.up("auth")
    (after,) = beside.engine.containers(Filter(beside="auth"))
    assert before.id != after.id
    assert after.status == "running"


def test_one_that_ends_at_once_fails_the_up_with_its_last_words(beside: Shop) -> None:
    words = "sh -c 'echo no room; exit 3'"
    beside.configure(sidecars={"cache": CACHE | {"command": words, "ready": {"tcp": 6379}}})
    error = beside.refusal("auth")
    assert isinstance(error, CommandFailed)
    assert "no room" in error.message
    assert "sidecars.cache" in error.hint


def test_two_instances_have_two(beside: Shop) -> None:
    beside.bring("auth", "pay")
    assert statuses(beside, "auth") == statuses(beside, "pay") == {"cache": "running"}
    assert len(beside.engine.volumes()) == 2


@pytest.mark.parametrize(
    ("sidecar", "said"),
    [
        ({"image": "mysql"}, "mysql:latest"),
        ({"image": "postgres", "publish": "nowhere"}, "not one of"),
        ({"image": "mailpit:1", "publish": "backend"}, "ready: {tcp"),
        ({"image": "postgres", "volume": "data"}, "volume"),
        ({"image": "postgres", "ready": {"tcp": 0}}, "ready.tcp"),
        ({"image": "-x"}, "image"),
    ],
)
def test_what_cannot_be_is_told(beside: Shop, sidecar: dict[str, object], said: str) -> None:
    beside.configure(sidecars={"db": sidecar})
    with pytest.raises(ConfigError, match=said.replace("{", r"\{")):
        beside.bring("auth")


def test_a_port_serves_one_thing(beside: Shop) -> None:
    service = {"run": "sleep 9", "port": "backend"}
    postgres = {"image": "postgres", "publish": "backend"}
    beside.configure(services={"api": service}, sidecars={"db": postgres})
    with pytest.raises(ConfigError, match="port of api"):
        beside.bring("auth")
    beside.configure(services={"db": service}, sidecars={"db": {"image": "postgres"}})
    with pytest.raises(ConfigError, match="service of that name"):
        beside.bring("auth")


@pytest.mark.deep
def test_an_engine_that_goes_away_anywhere_is_mended_by_the_next_up(beside: Shop) -> None:
    beside.up("warm")
    calls = len(beside.engine.calls)
    for after in range(calls):
        beside.engine.vanish(after)
        with contextlib.suppress(EngineUnavailable):
            beside.bring("auth")
        beside.engine.come_back()
        beside.up("auth")
        assert statuses(beside) == {"cache": "running"}
        beside.engine.vanish(after)
        with contextlib.suppress(EngineUnavailable):
            beside.clean("auth")
        beside.engine.come_back()
        if "auth" in beside.repository.records.ids():
            beside.clean("auth")
        assert statuses(beside) == {}
        assert beside.engine.volumes(Filter(beside="auth")) == []


def test_a_throwaway_instance_has_its_own(beside: Shop) -> None:
    project, head = beside.project, git(beside.repo, "rev-parse", "HEAD").strip()
    operation = Operation(throwaway.gate_project(project), "gate.run.0", beside.emit)
    gates.require_green(operation, head, head, [])
    assert statuses(beside, "gate.run.0") == {"cache": "running"}
    throwaway.dispose(operation)
    assert beside.engine.containers() == []
    assert beside.engine.volumes() == []


def test_what_is_left_of_one_without_a_record_is_removed_by_doctor(beside: Shop) -> None:
    beside.up("auth")
    (own,) = beside.engine.containers(Filter(instance="auth"))
    beside.engine.remove(own.id)
    beside.repository.git.remove_worktree(beside.tree("auth"))
    shutil.rmtree(beside.repository.records.folder("auth"))
    found = leftovers(beside.project, beside.engine, fix=True, emit=beside.emit)
    assert [one.fixed for one in found] == [True]
    assert beside.engine.containers() == []
    assert beside.engine.volumes() == []


def test_the_port_of_a_published_one_is_told_to_nobody_inside(beside: Shop) -> None:
    """DB_PORT is what an app calls the port that the database has inside."""
    first = free_block(5)
    ports = {**beside.project.config.ports, "db": PortRange(first, first + 4)}
    beside.configure(
        ports={name: f"{span.first}-{span.last}" for name, span in ports.items()},
        sidecars={"cache": CACHE | {"publish": "db", "ready": {"tcp": 6379, "timeout": 1}}},
        env={"set": {"DB_PORT": "6379"}},
    )
    beside.bring("auth")
    assert beside.record("auth").ports["db"] in range(first, first + 5)
    assert "DB_PORT=6379\n" in (beside.tree("auth") / ".ports.env").read_text()


def test_another_range_moves_nobody(beside: Shop) -> None:
    before = beside.up("auth")
    first = free_block(5)
    ports = {
        name: f"{span.first}-{span.last}" for name, span in beside.project.config.ports.items()
    }
    beside.configure(ports={**ports, "more": f"{first}-{first + 4}"})
    after = beside.up("auth")
    assert after.slot == before.slot
    assert before.ports.items() < after.ports.items()


def test_data_that_a_clean_could_not_remove_is_not_taken_for_ones_own(beside: Shop) -> None:
    beside.up("auth")
    (volume,) = beside.engine.volumes(Filter(repository=beside.repository.key, beside="auth"))
    beside.clean("auth")
    labels = {LABEL_REPOSITORY: beside.repository.key, LABEL_BESIDE: "auth"}
    beside.engine.ensure_volume(volume, {**labels, LABEL_CACHE: "over"})
    beside.up("auth")
    assert beside.engine.volumes(Filter(cache="over")) == []


def take_away(shop: Shop, instance: str = "auth") -> str:
    """What `docker system prune --volumes` does to an instance that is down. Returns the volume."""
    shop.down(instance)
    (volume,) = shop.engine.volumes(Filter(repository=shop.repository.key, beside=instance))
    for one in shop.engine.containers(Filter(beside=instance)):
        shop.engine.remove(one.id)
    shop.engine.remove_volume(volume)
    return volume


def test_data_whose_volume_is_gone_is_named_and_the_database_reset_again(beside: Shop) -> None:
    database = {"engine": "command", "sidecar": "cache", "reset": "echo x >> reset.log"}
    beside.configure(setup=[{"run": "echo x >> set-up.log"}], database=database)
    beside.up("auth")
    volume = take_away(beside)
    logs = [beside.tree("auth") / name for name in ("reset.log", "set-up.log")]
    assert [log.read_text().split() for log in logs] == [["x"], ["x"]]
    beside.up("auth")
    assert beside.warnings == [
        f"the volume {volume} with the data of cache is gone; it begins empty"
    ]
    assert [log.read_text().split() for log in logs] == [["x", "x"], ["x", "x"]]
    beside.up("auth")
    assert beside.warnings == []
    assert logs[0].read_text().split() == ["x", "x"]


def test_data_of_a_sidecar_that_has_changed_meanwhile_is_named_too(beside: Shop) -> None:
    beside.up("auth")
    volume = take_away(beside)
    beside.configure(sidecars={"cache": {**CACHE, "env": {"A": "b"}}})
    beside.up("auth")
    assert [text for text in beside.warnings if volume in text]


def test_a_volume_that_treedock_did_not_make_is_never_taken(beside: Shop) -> None:
    beside.up("auth")
    volume = take_away(beside)
    beside.engine.ensure_volume(volume, {})
    refused = beside.refusal("auth")
    assert f"volume {volume} that treedock did not make" in refused.message
    assert f"docker volume rm {volume}" in refused.hint
    beside.engine.remove_volume(volume)
    beside.up("auth")
    assert [text for text in beside.warnings if volume in text]


def test_a_sidecar_that_is_missing_is_shown(beside: Shop) -> None:
    beside.up("auth")
    for one in beside.engine.containers(Filter(beside="auth")):
        beside.engine.remove(one.id)
    (listed,), (seen,) = beside.list(), status(beside.project, ["auth"], beside.emit)
    for view in (listed, seen):
        assert view.state == "degraded"
        assert view.missing == ["sidecar cache"]
        assert [(one.name, one.state) for one in view.sidecars] == [("cache", "missing")]
    beside.up("auth")
    assert beside.list()[0].state == "running"


def test_clean_refuses_while_another_container_runs_on_the_data(beside: Shop) -> None:
    beside.up("auth")
    (volume,) = beside.engine.volumes(Filter(repository=beside.repository.key, beside="auth"))
    limits = Limits(memory=2**26, cpus=1, pids=20)
    spec = ContainerSpec(
        name="compose-db", image="tiny:1", user="0:0", hostname="", ports=(), mounts=(),
        limits=limits, volumes=(VolumeMount(volume, "/data"),), network="none",
    )  # fmt: skip
    other = beside.engine.create(spec)
    beside.engine.start(other)
    with pytest.raises(Refused, match="in use by the container compose-db"):
        beside.clean("auth")
    assert statuses(beside) == {"cache": "running"}
    beside.engine.remove(other)
    beside.clean("auth")
