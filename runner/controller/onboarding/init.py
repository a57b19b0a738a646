"""`treedock init`: look at the checkout and write a treedock.yaml to begin with."""

import os
import stat
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from runner import resources
from runner.adapters.files import disk, untrusted, yaml_file, yaml_tree
from runner.controller.project import CONFIG_FILE, Repository, open_repository
from runner.domain.detect import ComposeFile, Findings, Listing, detect
from runner.domain.detect.compose import NAMES as COMPOSE_NAMES
from runner.domain.detect.compose_merge import merged, override_names
from runner.domain.errors import ConfigError, Refused
from runner.domain.rendering.starter import render_starter
from runner.domain.text import sentences

READ_AT_MOST = 2**20  # bytes of one file; what is looked for stands near its beginning


@dataclass(frozen=True)
class Found:
    """The file that was written, what was found ("x → key: value"), what asks for a look, and
    what a Compose file has beyond that."""

    path: Path
    found: tuple[str, ...]
    unsure: tuple[str, ...]
    omitted: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """All of it, for a person to read."""
        return (
            *(f"found {line}" for line in self.found),
            *(f"left out of {line}" for line in self.omitted),
            *(f"look at this: {line}" for line in self.unsure),
        )


def init(checkout: Path, *, force: bool) -> Found:
    """Write treedock.yaml into the main checkout that `checkout` belongs to.

    Raises Refused where there is one, unless `force`; NotFound outside of a repository.
    """
    from runner.domain.config.project import project_name

    repository = open_repository(checkout)
    path = repository.checkout / CONFIG_FILE
    _require_free(path, force)
    listing = _look(repository)
    findings = detect(listing, _compose(listing))
    starter = (resources.templates() / CONFIG_FILE).read_text(encoding="utf-8")
    text = render_starter(starter, project_name(repository.checkout.name), findings)
    disk.write_atomically(path, text.encode())
    _require_loads(path)
    unsure = (*findings.unsure, *_shown_by_git(repository, findings))
    return Found(path, findings.said, unsure, findings.omitted)


def _require_free(path: Path, force: bool) -> None:
    if os.path.lexists(path) and not force:
        raise Refused(
            f"There is a {path} already.",
            hint="Edit it, or write a new one over it with: treedock init --force",
        )


def _require_loads(path: Path) -> None:
    """What init wrote has to be right; where it is not, that is a bug and looks like one."""
    from runner.domain.config.validate import validate

    validate(yaml_file.load(path), path.name)


def _look(repository: Repository) -> Listing:
    """The files that git does not ignore; their contents are read when they are asked for."""
    checkout = repository.checkout

    def read(file: str) -> str:
        data = untrusted.read(checkout / file, READ_AT_MOST) or b""
        return data.decode(errors="replace")

    def is_executable(file: str) -> bool:
        mode = (checkout / file).lstat().st_mode
        return stat.S_ISREG(mode) and bool(mode & stat.S_IXUSR)

    # A name that is not printable could not be written into a file for people.
    names = (name for name in repository.git.files(checkout, untracked=True) if name.isprintable())
    files = frozenset(name for name in names if os.path.lexists(checkout / name))
    return Listing(files, read, is_executable)


def _compose(listing: Listing) -> ComposeFile | None:
    """The Compose file at the top, the one that Compose itself would take, with its override."""
    name = next((name for name in COMPOSE_NAMES if name in listing.files), None)
    if name is None:
        return None
    override = next((other for other in override_names(name) if other in listing.files), None)
    names = [name, override] if override else [name]
    try:
        documents = [yaml_tree.parse(listing.read(each), each) for each in names]
    except ConfigError as error:
        return ComposeFile(name, problem=sentences(error.message, "Nothing was taken from it."))
    return ComposeFile(name, reduce(merged, documents))


def _shown_by_git(repository: Repository, findings: Findings) -> list[str]:
    """What set-up and services write and git does not ignore."""
    # A folder that is not there yet is ignored when something in it would be.
    probes = {path + "x" if path.endswith("/") else path: path for path in findings.leaves}
    ignored = repository.git.ignored(repository.checkout, list(probes))
    return [
        f"{path} is not ignored by git: add it to .gitignore, or every instance counts as changed"
        for probe, path in probes.items()
        if probe not in ignored
    ]
