"""Images: treedock's own, a registry's, or one built from the project's Dockerfile.

An image that treedock builds is tagged with the hash of what it is built from, so an unchanged
one is never built twice.
"""

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from runner import resources
from runner.adapters.engine.protocol import Engine, ImageBuild
from runner.adapters.files import disk
from runner.adapters.host import debian
from runner.adapters.store import locks
from runner.controller.project import Project
from runner.domain.config.sections import Build, Image, Sidecar
from runner.domain.errors import ConfigError, EngineFailed, ImageBuildFailed, LimitReached
from runner.domain.events import Emit, Output, Said
from runner.domain.instance.container import CA_VARIABLES, project_repository
from runner.domain.instance.dockerfile import CA_FILE, with_authorities
from runner.domain.text import sentences

Archive = Callable[[str, BinaryIO], None]

BUILD_TIMEOUT = 30 * 60.0  # seconds
BASE_PATIENCE = 10  # seconds until a registry has to answer; without one the base is built
PULL_PATIENCE = 60  # seconds; some registries ask another one first
BASE_NEEDS = 2 * 2**30  # bytes, for the root file system, its tar and the image
PULLED_BASE = "debian:bookworm-slim"

# Where distributions keep the bundle: Debian and Arch, Fedora, openSUSE, Alpine.
BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def host_ca(
    wanted: str,
    environment: Mapping[str, str] = os.environ,
    bundles: Sequence[str] = BUNDLES,
) -> Path | None:
    """The host's certificate bundle, or None where instances get none.

    `wanted` is network.ca: 'auto' takes what the environment names, 'host' one of `bundles` too.
    Raises ConfigError where 'host' finds nothing.
    """
    if wanted == "none":
        return None
    # NODE_EXTRA_CA_CERTS often holds one certificate that is to be added, not the whole bundle.
    whole = [name for name in CA_VARIABLES if name != "NODE_EXTRA_CA_CERTS"]
    named = [environment[name] for name in whole if environment.get(name)]
    if wanted == "auto" and environment.get("NODE_EXTRA_CA_CERTS"):
        named += bundles
    for name in [*named, *bundles] if wanted == "host" else named:
        if Path(name).is_file() and os.access(name, os.R_OK):
            return Path(name).resolve()
    if wanted == "host":
        raise ConfigError(
            "network.ca is `host`, but no certificate bundle was found on this host.",
            hint="Set SSL_CERT_FILE to it, or write network: {ca: none}.",
        )
    return None


def authority_of(project: Project) -> Path | None:
    """The certificate bundle that instances of a project get. Raises ConfigError."""
    return host_ca(project.config.network.ca)


def base_name() -> str:
    """The tag of the base image, whether pulled or built."""
    recipe = f"{PULLED_BASE} or {debian.root_recipe()}"
    return f"treedock/base:{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def ensure_base(engine: Engine, emit: Emit) -> str:
    """Ensure that the base image is there: pulled, or else built from Debian's packages."""
    name = base_name()
    with _building(name, emit):
        if engine.image(name) is None:
            try:
                engine.pull(PULLED_BASE, BASE_PATIENCE)
            except EngineFailed:
                emit(Said(f"no registry has {PULLED_BASE}; building it from packages"))
                _build_base(engine, name, emit)
            else:
                _adopt_base(engine, name, emit)
    return name


def ensure_image_at(project: Project, commit: Callable[[], str], emit: Emit) -> str:
    """The image that instances of a project run, built from what it has at `commit`, which is
    asked only where there is something to build. Raises as ensure_image."""
    git = project.repository.git
    return ensure_image(
        project.repository.engine,
        project.config.image,
        project=project.name,
        archive=lambda folder, target: git.archive(commit(), folder, target),
        ca=_bundle(authority_of(project)),
        emit=emit,
    )


def ensure_image(
    engine: Engine,
    wanted: str | Image,
    *,
    project: str,
    archive: Archive,
    ca: bytes | None,
    emit: Emit,
) -> str:
    """The name of the image that instances run, after it was pulled or built where missing.

    `archive` writes the tar of a committed folder of the project; `ca` is the bundle to put in.
    Raises EngineFailed for one that cannot be pulled, ImageBuildFailed with the last lines.
    """
    if isinstance(wanted, str):
        return _ensure_own(engine, wanted, ca, emit)
    if wanted.name:
        return _ensure_pulled(engine, wanted.name, emit, "image.name", "`image: fullstack` needs")
    assert wanted.build is not None  # the configuration has either
    return _ensure_built(engine, wanted.build, project, archive, ca, emit)


def ensure_sidecar_image(project: Project, sidecar: Sidecar, emit: Emit) -> str:
    """The name of a sidecar's image, after it was pulled or built where missing. Raises as
    `ensure_image` does."""
    engine = project.repository.engine
    if sidecar.is_own:
        return _ensure_own(engine, sidecar.image, _bundle(authority_of(project)), emit)
    own = "`image: postgres` and `image: redis` need"
    return _ensure_pulled(engine, sidecar.image, emit, "sidecars", own)


def ensure_git_image(engine: Engine, emit: Emit) -> str:
    """An image of treedock's own that has git: today's default one where it is there, else one
    that is built. A name says nothing about who made an image: it has to bear the label, too."""
    own = {name for name, _ in engine.images()}
    default = next((tag for tag in default_tags() if tag in own), None)
    if default:
        return default
    with _own_context("git", _bundle(host_ca("auto"))) as (context, tag):
        if tag not in own:
            _build_own(engine, context, tag, emit)
        return tag


def default_tags() -> Iterator[str]:
    """The names of today's default image: without certificates of the host, then with them."""
    for authority in dict.fromkeys([None, host_ca("auto"), _host_bundle()]):
        with _own_context("fullstack", _bundle(authority)) as (_, tag):
            yield tag


def _host_bundle() -> Path | None:
    try:
        return host_ca("host")
    except ConfigError:
        return None


def _bundle(authority: Path | None) -> bytes | None:
    return authority.read_bytes() if authority else None


def _ensure_own(engine: Engine, name: str, ca: bytes | None, emit: Emit) -> str:
    with _own_context(name, ca) as (context, tag):
        if engine.image(tag) is None:
            _build_own(engine, context, tag, emit)
        return tag


def _build_own(engine: Engine, context: Path, tag: str, emit: Emit) -> None:
    ensure_base(engine, emit)
    _build(engine, context, _own_build(), tag, emit)


def _own_build() -> Build:
    return Build(args={"BASE": base_name()})


@contextmanager
def _own_context(name: str, ca: bytes | None) -> Iterator[tuple[Path, str]]:
    """The build context of an image of treedock's own, and the tag that covers it."""
    with _scratch() as scratch:
        context = scratch / "context"
        shutil.copytree(resources.images() / name, context)
        yield context, _prepare(context, _own_build(), f"treedock/{name}", ca)


def _ensure_pulled(engine: Engine, name: str, emit: Emit, key: str, own: str) -> str:
    if engine.image(name) is None:
        emit(Said(f"pulling {name}"))
        try:
            engine.pull(name, PULL_PATIENCE)
        except EngineFailed as error:
            raise EngineFailed(
                sentences(f"{key}:", error.message),
                hint=f"Is the name right? docker pull {name} tells more. {own} no registry.",
            ) from error
    return name


def _ensure_built(
    engine: Engine, build: Build, project: str, archive: Archive, ca: bytes | None, emit: Emit
) -> str:
    with _scratch() as scratch:
        context = scratch / "context"
        with (scratch / "context.tar").open("w+b") as file:
            archive(build.context, file)
            file.seek(0)
            _extract(file, context)
        if not disk.inside(context, build.dockerfile, "image.build.dockerfile").is_file():
            raise ConfigError(
                f"image.build: base has no {build.dockerfile} in {build.context}.",
                hint="Commit it to base; images are built from what is committed there.",
            )
        tag = _prepare(context, build, project_repository(project), ca)
        if engine.image(tag) is None:
            _build(engine, context, build, tag, emit)
        return tag


def _prepare(context: Path, build: Build, repository: str, ca: bytes | None) -> str:
    """Put Dockerfile and certificates into place; returns the tag that covers all of it."""
    dockerfile = (context / build.dockerfile).read_bytes()
    # Files are replaced, never written to: a context may hold symlinks to anywhere.
    if ca is not None:
        text = with_authorities(dockerfile.decode(errors="surrogateescape"))
        dockerfile = text.encode(errors="surrogateescape")
        disk.write_atomically(context / CA_FILE, ca)
        ignore = context / ".dockerignore"
        if ignore.is_file() and not ignore.is_symlink():
            disk.write_atomically(ignore, ignore.read_bytes() + f"\n!{CA_FILE}\n".encode())
    disk.write_atomically(context / "Dockerfile", dockerfile)
    digest = hashlib.sha256(repr(sorted(build.args.items())).encode())
    for entry in sorted(context.rglob("*")):
        digest.update(repr(_fingerprint(context, entry)).encode())
    return f"{repository}:{digest.hexdigest()[:12]}"


def _fingerprint(context: Path, entry: Path) -> tuple[str, str, str]:
    """(path, kind, content) of one file of a context; times do not count."""
    name = str(entry.relative_to(context))
    if entry.is_symlink():
        return name, "link", str(entry.readlink())
    if entry.is_dir():
        return name, "folder", ""
    kind = "program" if entry.stat().st_mode & stat.S_IXUSR else "file"
    return name, kind, hashlib.sha256(entry.read_bytes()).hexdigest()


def _build(engine: Engine, context: Path, build: Build, tag: str, emit: Emit) -> None:
    with _building(tag, emit):
        if engine.image(tag) is None:  # no one built it while we waited
            emit(Said(f"building the image {tag}; once, this takes a few minutes"))
            try:
                engine.build(ImageBuild(context, tag, build.args, BUILD_TIMEOUT), _lines(emit))
            except ImageBuildFailed:
                # Another user of this engine, who has other locks, may have built it meanwhile and
                # removed its stages, which this build shared.
                if engine.image(tag) is None:
                    raise


def _adopt_base(engine: Engine, name: str, emit: Emit) -> None:
    """The pulled image under our name and label."""
    with _scratch() as context:
        (context / "Dockerfile").write_text(f"FROM {PULLED_BASE}\n")
        engine.build(ImageBuild(context, name, {}, BUILD_TIMEOUT), _lines(emit))


def _build_base(engine: Engine, name: str, emit: Emit) -> None:
    place = Path(tempfile.gettempdir())
    if disk.free_bytes(place) < BASE_NEEDS:
        raise LimitReached(
            f"The base image needs {BASE_NEEDS / 2**30:.0f} GiB of free space in {place}.",
            hint="Free some, or set TMPDIR to a folder on another disk.",
        )
    with _scratch() as scratch:
        # mmdebstrap gives up its rights and has to reach the folder as another user.
        scratch.chmod(0o755)
        tarball = scratch / "base.tar"
        debian.build_root(tarball, _lines(emit))
        with tarball.open("rb") as file:
            engine.import_image(file, name)


def _lines(emit: Emit) -> Callable[[str], None]:
    """What a build prints, as events."""

    def say(line: str) -> None:
        emit(Output(line))

    return say


@contextmanager
def _building(name: str, emit: Emit) -> Iterator[None]:
    """Hold the lock of this image, whatever its tag: two first starts at once build it once, and
    no build removes the stages that another one uses."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    path = (
        Path(state)
        / "treedock"
        / "locks"
        / f"image-{name.partition(':')[0].replace('/', '-')}.lock"
    )
    with locks.hold(path, waiting=lambda who: emit(Said(f"waiting for {who} to build {name}"))):
        yield


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="treedock-") as folder:
        yield Path(folder)


def _extract(file: BinaryIO, target: Path) -> None:
    """Unpack a tar that git wrote: it holds no path that leaves it."""
    target.mkdir()
    import tarfile  # late: only a build pays for it

    with tarfile.open(fileobj=file) as tar:
        if hasattr(tarfile, "tar_filter"):  # Python 3.11.4 and newer, and Debian's
            tar.extractall(target, filter="tar")
        else:
            tar.extractall(target)
