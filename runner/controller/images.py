"""Images: treedock's own, a registry's, or one built from the project's Dockerfile.

An image that treedock builds is tagged with the hash of what it is built from, so an unchanged
one is never built twice.
"""

import hashlib
import os
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from runner import resources
from runner.adapters import debian, disk, locks
from runner.adapters.engine import Engine
from runner.domain.config import Build, Image
from runner.domain.container import CA_VARIABLES
from runner.domain.dockerfile import CA_FILE, with_authorities
from runner.domain.errors import ConfigError, EngineFailed, LimitReached
from runner.domain.events import Emit, Output, Said

Archive = Callable[[str, BinaryIO], None]

BUILD_TIMEOUT = 30 * 60.0  # seconds
PULL_PATIENCE = 15.0  # seconds without a word from a registry
BASE_NEEDS = 2 * 2**30  # bytes, for the root file system, its tar and the image
PULLED_BASE = "debian:bookworm-slim"

# Where distributions keep the bundle: Debian and Arch, Fedora, openSUSE, Alpine.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def host_ca(wanted: str) -> Path | None:
    """The host's certificate bundle, or None where instances get none.

    `wanted` is network.ca: 'auto' takes what the environment names, 'host' any there is.
    Raises ConfigError where 'host' finds nothing.
    """
    if wanted == "none":
        return None
    named = [os.environ[name] for name in CA_VARIABLES if os.environ.get(name)]
    candidates = named + (list(_BUNDLES) if wanted == "host" else [])
    found = next((Path(name).resolve() for name in candidates if Path(name).is_file()), None)
    if found is None and wanted == "host":
        raise ConfigError(
            "network.ca is `host`, but this host has no certificate bundle that I know of.",
            hint="Set SSL_CERT_FILE to it, or write network: {ca: none}.",
        )
    return found


def base_name() -> str:
    """The tag of the base image, whether pulled or built."""
    recipe = " ".join(["1", PULLED_BASE, debian.SUITE, *debian.PACKAGES])
    return f"treedock/base:{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def ensure_base(engine: Engine, emit: Emit) -> str:
    """See to it that the base image is there: pulled, or else built from Debian's packages."""
    name = base_name()
    with _building(name, emit):
        if engine.image(name) is None:
            try:
                engine.pull(PULLED_BASE, PULL_PATIENCE)
            except EngineFailed:
                emit(Said("", f"no registry has {PULLED_BASE}; building it from packages"))
                _build_base(engine, name, emit)
            else:
                engine.tag(PULLED_BASE, name)
    return name


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
        return _ensure_pulled(engine, wanted.name, emit)
    assert wanted.build is not None  # the configuration has either
    return _ensure_built(engine, wanted.build, project, archive, ca, emit)


def _ensure_own(engine: Engine, name: str, ca: bytes | None, emit: Emit) -> str:
    with tempfile.TemporaryDirectory(prefix="treedock-") as scratch:
        context = Path(scratch) / "context"
        shutil.copytree(resources.images() / name, context)
        args = {"BASE": base_name()}
        tag = _prepare(context, "Dockerfile", f"treedock/{name}", args, ca)
        if engine.image(tag) is None:
            ensure_base(engine, emit)
            _build(engine, context, tag, args, emit)
        return tag


def _ensure_pulled(engine: Engine, name: str, emit: Emit) -> str:
    if engine.image(name) is None:
        emit(Said("", f"pulling {name}"))
        try:
            engine.pull(name, BUILD_TIMEOUT)
        except EngineFailed as error:
            raise EngineFailed(
                f"image: {error.message}",
                hint="Is the name right? docker pull tells more. `image: fullstack` needs no "
                "registry.",
            ) from error
    return name


def _ensure_built(
    engine: Engine, build: Build, project: str, archive: Archive, ca: bytes | None, emit: Emit
) -> str:
    with tempfile.TemporaryDirectory(prefix="treedock-") as scratch:
        context = Path(scratch) / "context"
        with (Path(scratch) / "context.tar").open("w+b") as file:
            archive(build.context, file)
            file.seek(0)
            _extract(file, context)
        if not (context / build.dockerfile).is_file():
            raise ConfigError(
                f"image.build: base has no {build.dockerfile} in {build.context}.",
                hint="Commit it to base; images are built from what is committed there.",
            )
        tag = _prepare(context, build.dockerfile, f"treedock/{project}", build.args, ca)
        if engine.image(tag) is None:
            _build(engine, context, tag, build.args, emit)
        return tag


def _prepare(
    context: Path, dockerfile: str, repository: str, args: dict[str, str], ca: bytes | None
) -> str:
    """Put Dockerfile and certificates into the context; returns the tag that covers all of it."""
    text = (context / dockerfile).read_text()
    if ca is not None:
        text = with_authorities(text)
        (context / CA_FILE).write_bytes(ca)
        ignored = context / ".dockerignore"
        if ignored.is_file():
            ignored.write_text(f"{ignored.read_text()}\n!{CA_FILE}\n")
    (context / dockerfile).unlink()  # it may be a symlink
    (context / "Dockerfile").unlink(missing_ok=True)
    (context / "Dockerfile").write_text(text)
    digest = hashlib.sha256(repr(sorted(args.items())).encode())
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


def _build(engine: Engine, context: Path, tag: str, args: dict[str, str], emit: Emit) -> None:
    with _building(tag, emit):
        if engine.image(tag) is None:  # nobody built it while we waited
            emit(Said("", f"building the image {tag}; once, this takes a few minutes"))
            engine.build(
                context, tag, args=args, say=lambda line: emit(Output("", line)),
                timeout=BUILD_TIMEOUT,
            )  # fmt: skip


def _build_base(engine: Engine, name: str, emit: Emit) -> None:
    scratch_root = Path(tempfile.gettempdir())
    if disk.free_bytes(scratch_root) < BASE_NEEDS:
        raise LimitReached(
            f"The base image needs {BASE_NEEDS / 2**30:.0f} GiB of free space in {scratch_root}.",
            hint="Free some, or set TMPDIR to a folder on another disk.",
        )
    with tempfile.TemporaryDirectory(prefix="treedock-") as scratch:
        # mmdebstrap gives up its rights and has to reach the folder as another user.
        Path(scratch).chmod(0o755)
        tarball = Path(scratch) / "base.tar"
        debian.build_root(tarball, lambda line: emit(Output("", line)))
        with tarball.open("rb") as file:
            engine.import_image(file, name)


@contextmanager
def _building(name: str, emit: Emit) -> Iterator[None]:
    """Hold the lock of this image: two first starts at once build it once."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    path = Path(state) / "treedock" / "locks" / f"image-{name.replace('/', '-')}.lock"
    with locks.hold(path, waiting=lambda who: emit(Said("", f"waiting for {who} to build {name}"))):
        yield


def _extract(file: BinaryIO, target: Path) -> None:
    """Unpack a tar that git wrote: it holds no path that leaves it."""
    target.mkdir()
    with tarfile.open(fileobj=file) as tar:
        if hasattr(tarfile, "tar_filter"):  # Python 3.11.4 and newer, and Debian's
            tar.extractall(target, filter="tar")
        else:
            tar.extractall(target)
