"""Volumes that are copied on write, asked of the fake and of the real engine alike."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest

from runner.adapters.engine.protocol import Engine, Exec, Filter
from runner.adapters.engine.tar import folders
from runner.domain.errors import EngineFailed
from runner.domain.instance import container as names
from runner.domain.instance.container import ContainerSpec, VolumeMount
from tests.contract.conftest import Create

PERSON = 12345  # a user that the image does not know


@dataclass
class Layers:
    """A volume that never changes, and others above it."""

    engine: Engine
    spec: ContainerSpec
    create: Callable[[ContainerSpec], str]

    def volume(self, name: str, *inside: str) -> str:
        """A plain volume with these folders in it, and the whole of it, PERSON's."""
        full = f"{self.spec.name}.{name}"
        self.engine.ensure_volume(full, self.spec.labels)
        made = self.engine.create(
            replace(self.spec, name=f"{full}.fill", ports=(), volumes=(VolumeMount(full, "/data"),))
        )
        paths = ["data", *(f"data/{path}" for path in inside)]
        self.engine.put(made, "/", folders(paths, uid=PERSON, gid=PERSON))
        self.engine.remove(made)
        return full

    def above(self, lower: str, name: str) -> str:
        """A volume of its own above `lower`."""
        upper = self.volume(f"{name}.upper", "upper", "work")
        full = f"{self.spec.name}.{name}"
        self.engine.ensure_overlay(full, lower, upper, self.spec.labels)
        return full

    def run(self, volume: str) -> str:
        """A running container of PERSON's with the volume at /data."""
        wanted = replace(
            self.spec, name=f"{volume}.user", ports=(), user=f"{PERSON}:{PERSON}",
            volumes=(VolumeMount(volume, "/data"),),
        )  # fmt: skip
        made = self.create(wanted)
        self.engine.start(made)
        return made

    def write(self, container: str, text: str) -> int:
        argv = ["sh", "-c", f'echo {text} >"$1"', "sh", "/data/file"]
        return self.engine.exec(container, Exec(argv)).exit_code

    def read(self, container: str) -> str:
        return self.engine.exec(container, Exec(["cat", "/data/file"])).output.decode().strip()


@pytest.fixture
def layers(engine: Engine, spec: ContainerSpec, create: Create) -> Iterator[Layers]:
    yield Layers(engine, spec, create)
    for container in engine.containers(Filter(repository=spec.labels[names.LABEL_REPOSITORY])):
        engine.remove(container.id)
    for volume in engine.volumes(Filter(repository=spec.labels[names.LABEL_REPOSITORY])):
        engine.remove_volume(volume)


def test_who_owns_what_was_put_into_a_volume_can_write_it(layers: Layers) -> None:
    made = layers.run(layers.volume("plain"))
    assert layers.write(made, "hello") == 0
    assert layers.read(made) == "hello"


def test_volumes_above_another_show_it_and_keep_their_writes_to_themselves(
    layers: Layers,
) -> None:
    lower = layers.volume("lower")
    first = layers.run(lower)
    layers.write(first, "below")
    layers.engine.remove(first)
    auth, pay = (layers.run(layers.above(lower, name)) for name in ("auth", "pay"))
    assert (layers.read(auth), layers.read(pay)) == ("below", "below")
    assert layers.write(auth, "above") == 0
    assert (layers.read(auth), layers.read(pay)) == ("above", "below")
    layers.engine.remove(auth)
    layers.engine.remove(pay)
    assert layers.read(layers.run(lower)) == "below"


def test_what_was_written_above_stays_while_the_container_is_made_anew(layers: Layers) -> None:
    volume = layers.above(layers.volume("lower"), "auth")
    first = layers.run(volume)
    layers.write(first, "kept")
    layers.engine.remove(first)
    layers.engine.ensure_overlay(
        volume, f"{layers.spec.name}.lower", f"{volume}.upper", layers.spec.labels
    )
    assert layers.read(layers.run(volume)) == "kept"


def test_a_volume_above_one_that_is_not_there_cannot_be_made(layers: Layers) -> None:
    upper = layers.volume("upper", "upper", "work")
    with pytest.raises(EngineFailed):
        layers.engine.ensure_overlay(f"{upper}.above", "treedock-absent", upper, {})


def test_all_go_in_any_order_once_nobody_uses_them(layers: Layers) -> None:
    lower = layers.volume("lower")
    made = layers.run(layers.above(lower, "auth"))
    layers.engine.remove(made)
    key = layers.spec.labels[names.LABEL_REPOSITORY]
    assert len(layers.engine.volumes(Filter(repository=key))) == 3
    for volume in layers.engine.volumes(Filter(repository=key)):
        layers.engine.remove_volume(volume)
    assert layers.engine.volumes(Filter(repository=key)) == []


def test_the_size_of_volumes_is_told(layers: Layers) -> None:
    full, empty = layers.volume("full"), layers.volume("empty")
    layers.write(layers.run(full), "x" * 5000)
    sizes = layers.engine.volume_sizes()
    assert sizes[full] - sizes[empty] >= 5000


def test_the_sizes_are_told_to_all_who_ask_at_once(layers: Layers) -> None:
    full = layers.volume("full")
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(layers.engine.volume_sizes) for _ in range(4)]
    assert all(full in one.result() for one in asked)
