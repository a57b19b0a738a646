"""The layouts that the attacks are tried on."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runner.adapters.engine.protocol import Engine, Filter
from runner.controller.instance import images
from runner.controller.project import Repository
from runner.controller.stream import Stream
from tests.free_ports import free_block
from tests.hostile.layouts import House, Naive
from tests.real_git import commit, git, make_repository
from tests.running import Cli

if TYPE_CHECKING:
    from docker.models.containers import Container

SLOTS = 3
SERVICE = "exec python3 -u -m http.server $BACKEND_PORT"
_count = itertools.count()


@pytest.fixture(scope="session")
def _plain(
    tmp_path_factory: pytest.TempPathFactory, docker_engine: Engine
) -> Iterator[tuple[Path, "Container"]]:
    """A folder, and a plain container that has it as its own."""
    import docker

    folder = tmp_path_factory.mktemp("naive")
    client = docker.from_env()
    container = client.containers.run(
        images.ensure_git_image(docker_engine, Stream()),
        ["sleep", "infinity"],
        entrypoint="",
        detach=True,
        init=True,
        volumes={str(folder): {"bind": str(folder), "mode": "rw"}},
    )
    yield folder, container
    container.remove(force=True)
    client.close()


@pytest.fixture
def naive(_plain: tuple[Path, "Container"], tmp_path: Path) -> Naive:
    """The naive layout, with a repository of its own."""
    top, container = _plain
    top = top / f"{next(_count)}"
    folder, home = make_repository(top / "shop"), top / "home"
    home.mkdir()
    commit(folder, {"README.md": "# shop\n", "kept.txt": "kept\n"}, "first")
    git(folder, "worktree", "add", "--quiet", "-b", "feature/auth", str(top / "trees/auth"))
    return Naive(folder, top / "trees/auth", home, tmp_path / "canary", container)


@pytest.fixture(scope="module")
def build(
    tmp_path_factory: pytest.TempPathFactory, docker_engine: Engine, _surroundings: None
) -> Iterator[Callable[..., House]]:
    """build(*ids, git_config=..., **keys of treedock.yaml): a house with these instances up."""
    built: list[House] = []

    def make(*ids: str, git_config: dict[str, str] | None = None, **keys: object) -> House:
        top = tmp_path_factory.mktemp("hostile")
        folder = make_repository(top / "shop")
        (top / "canaries").mkdir()
        house = House(folder, Cli(folder), docker_engine, {}, canaries=top / "canaries")
        built.append(house)
        commit(folder, {"README.md": "# shop\n", "kept.txt": "kept\n"}, "first")
        for key, value in (git_config or {}).items():
            git(folder, "config", key, value)
        first = free_block(SLOTS)
        house.configure(
            **{
                "version": 1,
                "name": "shop",
                "ports": {"backend": f"{first}-{first + SLOTS - 1}"},
                "services": {"backend": {"run": SERVICE, "port": "backend"}},
                "limits": {
                    "memory": "256m", "pids": 100, "cpus": 1, "disk_free": "100m",
                    "bundle": "4m",
                },
                **keys,
            }
        )  # fmt: skip
        house.up(*(ids or ("auth",)))
        house.before = house.state()
        return house

    yield make
    for house in built:
        _remove_containers(house, docker_engine)
        shutil.rmtree(house.folder.parent, ignore_errors=True)


@pytest.fixture(scope="module")
def house(build: Callable[..., House]) -> Iterator[House]:
    """treedock's layout. After all attacks of the module it goes down, up, and is cleaned."""
    house = build()
    yield house
    house.end()


def _remove_containers(house: House, engine: Engine) -> None:
    key = Repository(house.folder, house.folder / ".git").key
    for container in engine.containers(Filter(repository=key)):
        engine.remove(container.id)
