"""What every test can ask for, and the quiet surroundings they all run in."""

import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from runner.adapters.docker_engine import DockerEngine
from runner.controller.opening import Repository
from runner.domain.errors import EngineUnavailable
from tests import waiting
from tests.real_git import commit, git, make_repository
from tests.running import Cli

CONFIG = """\
version: 1
name: shop
network: {ca: none}
"""


@pytest.fixture(scope="session", autouse=True)
def _surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nobody's own configuration takes part, and git has an identity."""
    home = tmp_path_factory.mktemp("home")
    (home / "gitconfig").write_text("[user]\nname = Ada\nemail = ada@example.com\n")
    before = dict(os.environ)
    os.environ |= {
        "GIT_CONFIG_GLOBAL": str(home / "gitconfig"),
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_STATE_HOME": str(home / "state"),
    }
    yield
    os.environ.clear()
    os.environ |= before


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test with the mark `engine` is skipped without one, unless TREEDOCK_TEST_ENGINE is 1."""
    if item.get_closest_marker("engine") and not _engine_answers():
        if os.environ.get("TREEDOCK_TEST_ENGINE") == "1":
            pytest.fail("TREEDOCK_TEST_ENGINE is 1, but no container engine answers")
        pytest.skip("no container engine answers (treedock doctor --fix starts one)")


@cache
def _engine_answers() -> bool:
    try:
        DockerEngine().info()
    except EngineUnavailable:
        return False
    return True


@pytest.fixture
def repo(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A repository with one commit and a treedock.yaml. Containers of it go with it."""
    folder = make_repository(tmp_path / "shop")
    commit(folder, {"treedock.yaml": CONFIG, "README.md": "# shop\n"}, "first")
    yield folder
    if request.node.get_closest_marker("engine"):
        engine = DockerEngine()
        for container in engine.containers(repository=Repository(folder, folder / ".git").key):
            engine.remove(container.id)


@pytest.fixture
def cli(repo: Path) -> Cli:
    """The treedock command, run in `repo`."""
    return Cli(repo)


@pytest.fixture
def origin(repo: Path, tmp_path: Path) -> Path:
    """A bare repository that `repo` has as its origin, with main pushed to it."""
    folder = tmp_path / "origin.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(repo), str(folder))
    git(repo, "remote", "add", "origin", str(folder))
    git(repo, "fetch", "--quiet", "origin")
    return folder


@pytest.fixture(name="eventually")
def _eventually() -> Callable[..., object]:
    """eventually(check, seconds): the first true answer of `check`."""
    return waiting.eventually
