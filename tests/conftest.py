"""What every test can ask for, and the quiet surroundings they all run in."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from runner.adapters.engine.protocol import Engine, Filter
from runner.controller.instance import images
from runner.controller.project import Repository, connect
from runner.domain.errors import EngineUnavailable
from tests import waiting
from tests.contract.fake_engine import FakeEngine
from tests.free_ports import free_block
from tests.real_git import commit, git, make_repository
from tests.running import Cli
from tests.shop import Shop

CONFIG = """\
version: 1
name: shop
network: {ca: none}
"""


@pytest.fixture(scope="session", autouse=True)
def _surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nobody's own configuration takes part, and git has an identity."""
    home = tmp_path_factory.mktemp("home")
    own = "[user]\nname = Ada\nemail = ada@example.com\n[maintenance]\nauto = false\n"
    own += "[core]\nfsync = none\n"  # no test pulls the plug
    (home / "gitconfig").write_text(own)
    # A shell that starts the tests in the background has them ignore it, and all that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
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
    if item.get_closest_marker("engine") and _engine() is None:
        if os.environ.get("TREEDOCK_TEST_ENGINE") == "1":
            pytest.fail("TREEDOCK_TEST_ENGINE is 1, but no container engine answers")
        pytest.skip("no container engine answers (treedock doctor --fix starts one)")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests have counted is shown although they pass."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")


@cache
def _git_image() -> str:
    """What treedock's own image with git is called today."""
    return next(images.default_tags())


@cache
def _engine() -> Engine | None:
    """The real engine as the product connects to it, or None; one connection for all tests."""
    found = connect()
    try:
        found.info()
    except EngineUnavailable:
        return None
    return found


@pytest.fixture(scope="session")
def docker_engine() -> Engine:
    """The real engine, for tests with the mark `engine`."""
    found = _engine()
    assert found is not None, "the test needs the mark `engine`"
    return found


@pytest.fixture(scope="session")
def _first_commit(tmp_path_factory: pytest.TempPathFactory, _surroundings: None) -> Path:
    """What `repo` is copied from; git is slow in making the same thing again and again."""
    folder = make_repository(tmp_path_factory.mktemp("first") / "shop")
    commit(folder, {"treedock.yaml": CONFIG, "README.md": "# shop\n"}, "first")
    return folder


@pytest.fixture
def repo(tmp_path: Path, request: pytest.FixtureRequest, _first_commit: Path) -> Iterator[Path]:
    """A repository with one commit and a treedock.yaml. Containers of it go with it."""
    folder = shutil.copytree(_first_commit, tmp_path / "shop")
    git(folder, "update-index", "-q", "--refresh")  # copies have inodes of their own
    yield folder
    engine = _engine() if request.node.get_closest_marker("engine") else None
    if engine:
        key = Repository(folder, folder / ".git").key
        for container in engine.containers(Filter(repository=key)):
            engine.remove(container.id)
        for volume in engine.volumes(Filter(repository=key)):
            engine.remove_volume(volume)


@pytest.fixture
def cli(repo: Path) -> Cli:
    """The treedock command, run in `repo`."""
    return Cli(repo)


@pytest.fixture
def shop(repo: Path) -> Iterator[Shop]:
    """The project in `repo` on a fake engine, with port ranges of its own for 5 slots."""
    engine = FakeEngine(images=["tiny"], own=[_git_image()])
    shop = Shop(repo, engine)
    first = free_block(10)
    ports = {"backend": f"{first}-{first + 4}", "frontend": f"{first + 5}-{first + 9}"}
    shop.configure(image={"name": "tiny"}, ports=ports, limits={"disk_free": 0})
    git(repo, "commit", "--quiet", "--all", "--message", "configured")
    yield shop
    engine.close()


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
