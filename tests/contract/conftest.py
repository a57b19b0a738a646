"""One engine after the other, and a container that both can make."""

import contextlib
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.adapters.engine.docker import DockerEngine
from runner.adapters.engine.protocol import Engine, ports_label
from runner.domain.instance import container as names
from runner.domain.instance.container import ContainerSpec, Limits, Mount
from tests.contract.fake_engine import FakeEngine
from tests.contract.tiny_image import tiny_image
from tests.engine_proxy import join
from tests.free_ports import free_block

Create = Callable[[ContainerSpec], str]

IMAGE = f"treedock-test/tiny:{os.getpid()}"
NEW_IMAGE = f"treedock-test/new:{os.getpid()}"

# Prints the files in /proc of each process whose words, joined, begin with these.
RUNNING = """
for file in /proc/[0-9]*/cmdline; do
  case $(cat "$file" 2>/dev/null) in "$1"*) echo "$file" ;; esac
done
"""


@pytest.fixture(scope="module")
def real(docker_engine: Engine) -> Iterator[Engine]:
    docker_engine.import_image(tiny_image(), IMAGE)
    docker_engine.ensure_network()
    yield docker_engine
    docker_engine.remove_image(IMAGE)


@pytest.fixture(
    params=[
        "fake",
        pytest.param("docker-py", marks=pytest.mark.engine),
        pytest.param("socket", marks=pytest.mark.engine),
    ]
)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """One engine after the other, the real one over its socket and over TCP, which takes docker-py;
    what a test made is gone after it."""
    if request.param != "fake":
        real: Engine = request.getfixturevalue("real")
        with contextlib.ExitStack() as stack:
            tcp = request.param == "docker-py" and stack.enter_context(relay())
            yield DockerEngine({"DOCKER_HOST": f"tcp://127.0.0.1:{tcp}"}) if tcp else real
        real.remove_image(NEW_IMAGE)
    else:
        fake = FakeEngine()
        fake.import_image(tiny_image(), IMAGE)
        yield fake
        fake.close()


@contextlib.contextmanager
def relay() -> Iterator[int]:
    """The port of loopback at which the engine answers meanwhile."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=join, args=server.accept()[:1], daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()


@pytest.fixture
def spec(tmp_path: Path) -> ContainerSpec:
    """A wanted container of a repository that nobody else has."""
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace").chmod(0o777)
    port = free_block(2)
    key = uuid.uuid4().hex[:12]
    return ContainerSpec(
        name=f"treedock-test-{key}",
        image=IMAGE,
        user=f"{os.getuid()}:{os.getgid()}",
        hostname="auth",
        ports=(port, port + 1),
        mounts=(Mount(str(tmp_path / "workspace"), names.WORKSPACE),),
        limits=Limits(memory=2**28, cpus=1, pids=64),
        environment={"GREETING": "hello"},
        secrets={"TOKEN": "secret"},
        labels={
            names.LABEL: "instance",
            names.LABEL_PROJECT: "shop",
            names.LABEL_REPOSITORY: key,
            names.LABEL_INSTANCE: "auth",
            names.LABEL_SLOT: "0",
            names.LABEL_PORTS: ports_label({"backend": port, "frontend": port + 1}),
        },
    )


@pytest.fixture
def create(engine: Engine) -> Iterator[Callable[[ContainerSpec], str]]:
    """create(spec): a container that is removed after the test."""
    made: list[str] = []

    def one(spec: ContainerSpec) -> str:
        made.append(engine.create(spec))
        return made[-1]

    yield one
    for container in made:
        engine.remove(container)
