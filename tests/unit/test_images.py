"""Which image an instance gets, and when it is built. The engine here is a shelf of names."""

import re
import tarfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from runner import resources
from runner.adapters.engine.protocol import Engine, ImageBuild
from runner.controller.instance import images
from runner.controller.stream import Stream
from runner.domain.config.sections import Build, Image
from runner.domain.errors import ConfigError, EngineFailed, ImageBuildFailed
from runner.domain.instance.container import CA_BUNDLE
from runner.domain.instance.dockerfile import CA_FILE

DOCKERFILE = "FROM a\nRUN x\n"


@dataclass
class Shelf:
    """An engine as far as images go. `registry` holds what can be pulled."""

    registry: set[str] = field(default_factory=set)
    there: set[str] = field(default_factory=set)
    built: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)
    waiting: threading.Barrier | None = None
    labelled: set[str] = field(default_factory=set)
    elsewhere: bool | None = None
    """Every build fails; True: because another user's build of the same has just succeeded."""

    def images(self) -> list[tuple[str, str]]:
        return [(name, f"sha256:{name}") for name in sorted(self.labelled)]

    def image(self, name: str) -> str | None:
        found = f"sha256:{name}" if name in self.there else None
        if self.waiting and not found:
            self.waiting.wait(10)  # until all have seen that it is missing
            self.waiting = None
        return found

    def pull(self, name: str, patience: float) -> None:
        if name not in self.registry:
            raise EngineFailed(f"{name} could not be pulled: no such image")
        self.there.add(name)

    def build(self, wanted: ImageBuild, say: Callable[[str], None]) -> None:
        files = {
            str(path.relative_to(wanted.context)): path.read_bytes()
            for path in wanted.context.rglob("*")
            if path.is_file()
        }
        if self.elsewhere is not None:
            self.there |= {wanted.name} if self.elsewhere else set()
            raise ImageBuildFailed("No such image.")
        self.built.append((wanted.name, files))
        self.there.add(wanted.name)
        self.labelled.add(wanted.name)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(there={images.base_name()})


@dataclass
class Commit:
    """What `git archive` would give of a committed folder."""

    files: dict[str, str]
    links: dict[str, str] = field(default_factory=dict)
    programs: tuple[str, ...] = ()
    time: int = 0

    def archive(self, folder: str, target: BinaryIO) -> None:
        with tarfile.open(fileobj=target, mode="w") as tar:
            for name, text in self.files.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.mtime = len(text), self.time
                entry.mode = 0o755 if name in self.programs else 0o644
                tar.addfile(entry, BytesIO(text.encode()))
            for name, goal in self.links.items():
                entry = tarfile.TarInfo(name)
                entry.type, entry.linkname = tarfile.SYMTYPE, goal
                tar.addfile(entry)


quietly = Stream()


def ensure(
    shelf: Shelf,
    wanted: str | Image,
    commit: Commit | None = None,
    ca: bytes | None = None,
) -> str:
    archive = (commit or Commit({})).archive
    return images.ensure_image(
        cast(Engine, shelf), wanted, project="shop", archive=archive, ca=ca, emit=quietly
    )


def built(dockerfile: str = "Dockerfile", **args: str) -> Image:
    return Image(build=Build(dockerfile=dockerfile, args=args))


# --- the base image and treedock's own -----------------------------------------------------------


def test_a_pulled_base_image_bears_treedocks_name(shelf: Shelf) -> None:
    shelf.there.clear()
    shelf.registry.add(images.PULLED_BASE)
    name = images.ensure_base(cast(Engine, shelf), quietly)
    assert name.startswith("treedock/base:")
    assert shelf.built == [(name, {"Dockerfile": b"FROM debian:bookworm-slim\n"})]


def test_the_fullstack_image_is_built_once(shelf: Shelf) -> None:
    first = ensure(shelf, "fullstack")
    assert ensure(shelf, "fullstack") == first
    assert [name for name, _ in shelf.built] == [first]
    assert first.startswith("treedock/fullstack:")


def test_only_an_image_with_todays_tag_and_the_label_is_taken_for_the_one_with_git(
    shelf: Shelf,
) -> None:
    engine, today = cast(Engine, shelf), next(images.default_tags())
    shelf.there.add(today)  # an image of the person that is called so
    shelf.labelled.add("treedock/fullstack:0123456789ab")
    made = images.ensure_git_image(engine, quietly)
    assert made.startswith("treedock/git:")
    assert images.ensure_git_image(engine, quietly) == made
    assert [name for name, _ in shelf.built] == [made]
    shelf.labelled.add(today)
    assert images.ensure_git_image(engine, quietly) == today


def test_no_project_s_image_is_taken_for_treedock_s_own(shelf: Shelf) -> None:
    archive = Commit({"Dockerfile": "FROM scratch\n"}).archive
    name = images.ensure_image(
        cast(Engine, shelf), built(), project="fullstack", archive=archive, ca=None, emit=quietly
    )
    assert name.startswith("treedock/project-fullstack:")


def test_two_first_starts_at_once_build_it_once(shelf: Shelf) -> None:
    shelf.waiting = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(ensure, shelf, "fullstack") for _ in range(2)]
    assert {future.result() for future in found} == {shelf.built[0][0]}
    assert len(shelf.built) == 1


def test_a_build_that_another_user_s_build_got_in_the_way_of_takes_that_one(shelf: Shelf) -> None:
    shelf.registry.add(images.PULLED_BASE)
    images.ensure_base(cast(Engine, shelf), quietly)
    shelf.elsewhere = True
    assert ensure(shelf, "fullstack") in shelf.there
    shelf.elsewhere = False
    with pytest.raises(ImageBuildFailed):
        ensure(shelf, "postgres")


# --- an image of a registry ----------------------------------------------------------------------


def test_a_named_image_that_is_there_is_not_pulled(shelf: Shelf) -> None:
    shelf.there.add("python:3.12")
    assert ensure(shelf, Image(name="python:3.12")) == "python:3.12"


def test_a_named_image_is_pulled_where_it_is_missing(shelf: Shelf) -> None:
    shelf.registry.add("python:3.12")
    assert ensure(shelf, Image(name="python:3.12")) == "python:3.12"
    assert "python:3.12" in shelf.there


def test_a_named_image_that_nobody_has_is_named_with_its_key(shelf: Shelf) -> None:
    with pytest.raises(
        EngineFailed, match=r"^image\.name: nonesuch:1 could not be pulled"
    ) as caught:
        ensure(shelf, Image(name="nonesuch:1"))
    assert "docker pull nonesuch:1" in caught.value.hint


# --- an image of the project's Dockerfile --------------------------------------------------------


def test_the_tag_bears_the_projects_name_and_ignores_times(shelf: Shelf) -> None:
    first = ensure(shelf, built(), Commit({"Dockerfile": DOCKERFILE, "a": "1"}, time=1))
    assert first.startswith("treedock/project-shop:")
    assert ensure(shelf, built(), Commit({"a": "1", "Dockerfile": DOCKERFILE}, time=2)) == first
    assert len(shelf.built) == 1


def test_the_tag_covers_all_that_goes_into_the_image(shelf: Shelf) -> None:
    files = {"Dockerfile": DOCKERFILE, "a": "1", "other": "FROM c\n"}
    tags = [
        ensure(shelf, built(), Commit(files)),
        ensure(shelf, built(), Commit({**files, "a": "2"})),
        ensure(shelf, built(), Commit({**files, "b": "1"})),
        ensure(shelf, built(), Commit({**files, "Dockerfile": "FROM b\n"})),
        ensure(shelf, built(), Commit(files, programs=("a",))),
        ensure(shelf, built(), Commit(files, links={"l": "a"})),
        ensure(shelf, built(), Commit(files, links={"l": "b"})),
        ensure(shelf, built("other"), Commit(files)),
        ensure(shelf, built(V="1"), Commit(files)),
        ensure(shelf, built(), Commit(files), ca=b"one"),
        ensure(shelf, built(), Commit(files), ca=b"two"),
    ]
    assert len(set(tags)) == len(tags)


def test_the_certificates_go_in_and_no_ignore_file_keeps_them_out(shelf: Shelf) -> None:
    files = {"docker/app": DOCKERFILE, ".dockerignore": "*", "Dockerfile": "FROM other"}
    ensure(shelf, built("docker/app"), Commit(files), ca=b"bundle")
    ((_, sent),) = shelf.built
    assert sent[CA_FILE] == b"bundle"
    assert f"COPY {CA_FILE} {CA_BUNDLE}" in sent["Dockerfile"].decode()
    assert sent["docker/app"] == DOCKERFILE.encode()
    assert sent[".dockerignore"].decode().splitlines()[-1] == f"!{CA_FILE}"


def test_without_certificates_the_context_is_sent_as_it_is(shelf: Shelf) -> None:
    files = {"Dockerfile": "FROM a\r\n", "a": "1"}
    ensure(shelf, built(), Commit(files))
    assert shelf.built[0][1] == {name: text.encode() for name, text in files.items()}


def test_a_dockerfile_that_base_does_not_have_is_named(shelf: Shelf) -> None:
    with pytest.raises(ConfigError, match=r"^image\.build: base has no Dockerfile in \.") as caught:
        ensure(shelf, built(), Commit({"a": "1"}))
    assert "Commit it" in caught.value.hint


def test_a_dockerfile_that_leads_elsewhere_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("FROM secret")
    with pytest.raises(ConfigError, match="symlink"):
        ensure(shelf, built(), Commit({}, links={"Dockerfile": str(secret)}), ca=b"bundle")
    assert shelf.built == []


@pytest.mark.parametrize("name", [CA_FILE, ".dockerignore"])
def test_no_symlink_of_a_context_is_written_through(
    shelf: Shelf, tmp_path: Path, name: str
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    commit = Commit({"Dockerfile": DOCKERFILE}, links={name: str(outside)})
    ensure(shelf, built(), commit, ca=b"bundle")
    assert outside.read_text() == "mine"


# --- the host's certificates ---------------------------------------------------------------------


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "bundle.pem"
    path.write_text("certificates")
    return path


def test_auto_takes_what_the_environment_names(bundle: Path) -> None:
    environment = {"SSL_CERT_FILE": str(bundle) + "-gone", "CURL_CA_BUNDLE": str(bundle)}
    assert images.host_ca("auto", environment, []) == bundle


def test_auto_takes_nothing_where_the_environment_names_nothing(bundle: Path) -> None:
    assert images.host_ca("auto", {"SSL_CERT_FILE": ""}, [str(bundle)]) is None


def test_host_falls_back_to_where_distributions_keep_it(bundle: Path) -> None:
    assert images.host_ca("host", {}, ["/nonesuch.pem", str(bundle)]) == bundle


def test_host_refuses_where_there_is_none() -> None:
    with pytest.raises(ConfigError, match=r"network\.ca is `host`") as caught:
        images.host_ca("host", {}, [])
    assert "SSL_CERT_FILE" in caught.value.hint


def test_none_takes_nothing(bundle: Path) -> None:
    assert images.host_ca("none", {"SSL_CERT_FILE": str(bundle)}, [str(bundle)]) is None


def test_what_comes_from_npm_and_pypi_into_the_default_image_has_one_exact_version() -> None:
    text = (resources.images() / "fullstack" / "Dockerfile").read_text()
    npm = re.search(r"npm install (.*)", text)
    pip = re.search(r"pip install (.*)", text)
    assert npm
    assert pip
    assert re.findall(r"(\w+)@\d+\.\d+\.\d+ ", npm[1]) == ["node", "npm", "bun"]
    assert re.findall(r"(\w+)==\d+\.\d+\.\d+ ", pip[1]) == ["uv"]
