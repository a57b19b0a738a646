"""Images on the real engine: what is in treedock's own, and how a project's own is built."""

import socket
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import docker
import pytest

from runner.adapters.engine.docker import DockerEngine
from runner.adapters.engine.protocol import Engine, Exec, Finished, ImageBuild
from runner.controller.instance import images
from runner.controller.stream import Stream
from runner.domain.config.sections import Build, Image
from runner.domain.errors import EngineFailed, ImageBuildFailed
from runner.domain.events import Notice, Output
from runner.domain.instance.container import CA_BUNDLE, HOME, WORKSPACE, ContainerSpec, Limits
from tests.cancelling import cancelled_while

pytestmark = pytest.mark.engine

PROJECT = "test-images"


@pytest.fixture(scope="module")
def engine() -> Engine:
    return DockerEngine()


@pytest.fixture(scope="module")
def ca() -> bytes | None:
    found = images.host_ca("auto")
    return found.read_bytes() if found else None


@pytest.fixture(scope="module")
def fullstack(engine: Engine, ca: bytes | None) -> str:
    return images.ensure_image(
        engine, "fullstack", project=PROJECT, archive=no_archive, ca=ca, emit=quietly
    )


@dataclass(frozen=True)
class Inside:
    """A container as an instance's, for one user."""

    engine: Engine
    container: str

    def sh(self, command: str, folder: str = WORKSPACE) -> Finished:
        done = self.engine.exec(self.container, Exec(["sh", "-c", command], workdir=folder))
        assert done.exit_code == 0, done.output.decode(errors="replace")
        return done


@pytest.fixture(scope="module", params=["0:0", "12345:12345"])
def inside(engine: Engine, fullstack: str, request: pytest.FixtureRequest) -> Iterator[Inside]:
    spec = ContainerSpec(
        name=f"treedock-{PROJECT}-{request.param.partition(':')[0]}",
        image=fullstack,
        user=request.param,
        hostname="test",
        ports=(),
        mounts=(),
        limits=Limits(memory=2**30, cpus=2, pids=256),
        environment={"HOME": HOME},
        labels={"treedock": "test"},
    )
    engine.ensure_network()
    engine.remove(spec.name)
    engine.start(engine.create(spec))
    yield Inside(engine, spec.name)
    engine.remove(spec.name)


@pytest.fixture
def forget(engine: Engine) -> Iterator[None]:
    """The images that a test builds go with it."""
    yield
    for name, _ in engine.images():
        if name.startswith((f"treedock/{PROJECT}:", f"treedock/project-{PROJECT}:")):
            engine.remove_image(name)


class Heard:
    """Everything that happened."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, told: Notice) -> None:
        if isinstance(told.event, Output):
            self.lines.append(told.event.line)


quietly = Stream()


def no_archive(folder: str, target: BinaryIO) -> None:
    raise AssertionError(f"nobody needs the project's {folder}")


def build(engine: Engine, dockerfile: str, heard: Heard, ca: bytes | None = None) -> str:
    """Build a project's image that has nothing but a Dockerfile."""

    def archive(folder: str, target: BinaryIO) -> None:
        text = dockerfile.encode()
        with tarfile.open(fileobj=target, mode="w") as tar:
            entry = tarfile.TarInfo("Dockerfile")
            entry.size = len(text)
            tar.addfile(entry, BytesIO(text))

    wanted = Image(build=Build())
    return images.ensure_image(
        engine, wanted, project=PROJECT, archive=archive, ca=ca, emit=Stream(heard)
    )


# --- treedock's own ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("node --version", b"v22."),
        ("npm --version", b"10."),
        ("npx --version", b"10."),
        ("bun --version", b"1."),
        ("bunx --version", b"1."),
        ("uv --version", b"uv "),
        ("uvx --version", b"uvx "),
        ("python --version", b"Python 3.11"),
        ("git --version", b"git version 2.39"),
        ("curl --version", b"curl "),
        ("sqlite3 --version", b"3."),
        ("ps --version", b"ps from procps"),
        ("flock --version", b"flock "),
        ("setsid --version", b"setsid "),
    ],
)
def test_the_fullstack_image_has_its_tools(inside: Inside, command: str, answer: bytes) -> None:
    assert inside.sh(command).output.startswith(answer)


def test_packages_of_python_install_inside(inside: Inside) -> None:
    inside.sh("python -m venv venv && venv/bin/pip install -q iniconfig", HOME)
    inside.sh("venv/bin/python -c 'import iniconfig'", HOME)


def test_a_project_of_uv_installs_inside(inside: Inside) -> None:
    inside.sh("mkdir -p uv && cd uv && uv init -q --bare && uv add -q iniconfig", HOME)
    inside.sh("rm -rf .venv && uv sync -q && uv run python -c 'import iniconfig'", f"{HOME}/uv")


def test_a_project_of_npm_installs_inside(inside: Inside) -> None:
    inside.sh("mkdir -p npm && cd npm && npm init -y && npm install is-number", HOME)
    inside.sh("rm -rf node_modules && npm ci && node -e 'require(\"is-number\")'", f"{HOME}/npm")


def test_the_systems_own_certificates_are_left_alone(inside: Inside) -> None:
    inside.sh(f"test -s /etc/ssl/certs/ca-certificates.crt && ! mountpoint {CA_BUNDLE}", "/")


# --- a project's own -----------------------------------------------------------------------------


@pytest.mark.usefixtures("forget")
def test_a_projects_dockerfile_is_built_with_the_certificates_and_once(engine: Engine) -> None:
    heard = Heard()
    text = f"FROM {images.ensure_base(engine, quietly)}\nRUN cat $PIP_CERT\n"
    name = build(engine, text, heard, ca=b"certificates\n")
    assert "certificates" in heard.lines
    heard.lines.clear()
    assert build(engine, text, heard, ca=b"certificates\n") == name
    assert heard.lines == []
    assert name in dict(engine.images())


@pytest.mark.usefixtures("forget")
def test_a_stage_that_may_go_goes_with_the_build_and_nobody_elses(
    engine: Engine, tmp_path: Path
) -> None:
    def text(content: str) -> str:
        stage = f"FROM scratch AS one\nLABEL treedock.stage={PROJECT}\nCOPY {content} /a\n"
        return f"{stage}FROM scratch\nCOPY --from=one /a /b\n"

    api = docker.APIClient()
    filters = {"dangling": True, "label": f"treedock.stage={PROJECT}"}
    (tmp_path / "Dockerfile").write_text(text("theirs"))
    (tmp_path / "theirs").write_text("theirs")
    name = f"treedock/{PROJECT}:theirs"
    list(api.build(path=str(tmp_path), tag=name, labels={"treedock": "image"}, rm=True))
    (left,) = api.images(filters=filters)
    (tmp_path / "Dockerfile").write_text(text("ours"))
    (tmp_path / "ours").write_text("ours")
    try:
        engine.build(ImageBuild(tmp_path, f"treedock/{PROJECT}:ours", {}, 60), lambda line: None)
        assert api.images(filters=filters) == [left]
        assert engine.image(f"treedock/{PROJECT}:ours")
    finally:
        api.remove_image(left["Id"])
        api.close()


def test_a_failing_build_shows_its_last_lines(engine: Engine) -> None:
    text = f"FROM {images.ensure_base(engine, quietly)}\nRUN echo oh dear && exit 7\n"
    with pytest.raises(ImageBuildFailed, match=r"oh dear\n(.*\n)*.*code: 7"):
        build(engine, text, Heard())


def test_what_is_no_dockerfile_is_a_failed_build(engine: Engine) -> None:
    with pytest.raises(ImageBuildFailed, match=r"(?i)unknown instruction"):
        build(engine, "FRUM x\n", Heard())


def test_a_build_that_is_silent_for_too_long_is_stopped(engine: Engine, tmp_path: Path) -> None:
    base = images.ensure_base(engine, quietly)
    (tmp_path / "Dockerfile").write_text(f"FROM {base}\nRUN echo before && exec sleep 600\n")
    with pytest.raises(ImageBuildFailed, match=r"before\n.*for 3 seconds"):
        engine.build(ImageBuild(tmp_path, f"treedock/{PROJECT}:silent", {}, 3), lambda line: None)


def test_a_build_that_is_cancelled_ends_though_it_is_silent(engine: Engine, tmp_path: Path) -> None:
    base, said = images.ensure_base(engine, quietly), list[str]()
    (tmp_path / "Dockerfile").write_text(f"FROM {base}\nRUN echo before && exec sleep 601\n")

    def work() -> None:
        engine.build(ImageBuild(tmp_path, f"treedock/{PROJECT}:silent", {}, 60), said.append)

    cancelled_while(work, lambda: "before" in said)


def test_a_registry_that_never_answers_is_not_waited_for(engine: Engine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        name = f"localhost:{server.getsockname()[1]}/thing:1"
        with pytest.raises(EngineFailed, match="no registry answered within 1 seconds"):
            engine.pull(name, 1)


def test_an_image_that_no_registry_has_is_named(engine: Engine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        name = f"localhost:{server.getsockname()[1]}/thing:1"
    with pytest.raises(EngineFailed, match=f"{name} could not be pulled"):
        engine.pull(name, 10)
