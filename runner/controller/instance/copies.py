"""Which ignored files of the main checkout a new instance gets a copy of: decided once, before
anything is made."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from runner.adapters.files import untrusted
from runner.controller.project import Project
from runner.domain.errors import ConfigError
from runner.domain.frozen import dataclass
from runner.domain.text import below_each_other, listed

INCLUDE_FILE = ".worktreeinclude"
FOLDER_FILES = 2000  # ignored files of one folder in env.copy
FOLDER_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Copies:
    """What is copied, as paths in the checkout. `files` are regular ones, or links of the person's
    own whose content is taken; `links` stay links, because they lead to what is copied too;
    `omitted` are links and repositories that are not copied. `faults` maps a path that is wanted
    and cannot be copied to the sentence that says why."""

    files: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    omitted: tuple[str, ...] = ()
    faults: Mapping[str, str] | None = None
    unread: bool = False
    """Whether `.worktreeinclude` is a link, which is not followed."""

    @property
    def remarks(self) -> list[str]:
        """What looks as if it were copied and is not, as sentences."""
        said = [f"{INCLUDE_FILE} is a link, so it is not read"] if self.unread else []
        if self.omitted:
            names = listed(self.omitted)
            said.append(f"links that lead elsewhere and repositories are not copied: {names}")
        return said

    def require_possible(self) -> None:
        """Raises ConfigError with everything that is wanted and cannot be copied."""
        if self.faults:
            raise fault(below_each_other(*self.faults.values()))


def fault(message: str) -> ConfigError:
    """The error that a file that is wanted cannot be copied."""
    return ConfigError(
        message, hint="Put a file in its place, delete it, or leave it out of env.copy."
    )


def copies_of(project: Project) -> Copies:
    """What instances of a project get a copy of today."""
    checkout, git = project.repository.checkout, project.repository.git
    wanted = project.config.env.copied
    tracked = git.tracked_here(checkout, wanted)
    files, folders, faults = list[str](), list[str](), dict[str, str]()
    for name in wanted:
        if name in tracked or not os.path.lexists(checkout / name):
            continue  # it comes from the branch, or there is none
        sentence = _fault_of(checkout, name)
        if sentence:
            faults[name] = sentence
        else:
            (folders if (checkout / name).is_dir() else files).append(name)
    found = list[str]()
    for name in folders:
        inside = git.ignored_below(checkout, name)
        if _is_too_much(checkout, inside):
            limit = f"{FOLDER_FILES} files or {FOLDER_BYTES // 2**20} MiB"
            faults[name] = f"{checkout / name} holds more than {limit} that git ignores."
        else:
            found += inside
    patterns = checkout / INCLUDE_FILE
    include = untrusted.kind(checkout, INCLUDE_FILE)
    if include == "file":
        found += git.ignored_matching(checkout, patterns)
    trees = project.worktrees_inside
    if trees:
        found = [name for name in found if not name.startswith(f"{trees}/")]
    sorted_out = _sorted_out(checkout, files, found, faults)
    return replace(sorted_out, unread=include == "symlink")


def _fault_of(checkout: Path, name: str) -> str | None:
    """Why what is listed cannot be copied."""
    path = checkout / name
    above = [str(parent) for parent in PurePosixPath(name).parents][:-1]
    if any((checkout / parent).is_symlink() for parent in above):
        return f"{path} lies behind a link, and git does not look there."
    if path.is_symlink() and not path.is_file():
        return f"{path} is a link to {path.readlink()}, which is no file."
    if not path.is_file() and not path.is_dir():
        return f"{path} is neither a file nor a folder."
    return None if os.access(path, os.R_OK) else f"{path} cannot be read: permission denied."


def _is_too_much(checkout: Path, names: list[str]) -> bool:
    return (
        len(names) > FOLDER_FILES
        or sum(untrusted.size(checkout / name) for name in names) > FOLDER_BYTES
    )


def _sorted_out(
    checkout: Path, files: list[str], found: list[str], faults: dict[str, str]
) -> Copies:
    kinds = {name: untrusted.kind(checkout, name) for name in found}
    regular = [name for name, kind in kinds.items() if kind == "file"]
    whole = dict.fromkeys([*files, *regular])
    links = [name for name, kind in kinds.items() if kind == "symlink" and name not in whole]
    kept = dict.fromkeys(_links_inside(checkout, set(links), whole))
    omitted = [name for name in kinds if name not in whole and name not in kept]
    return Copies(tuple(whole), tuple(kept), tuple(omitted), faults)


def _links_inside(checkout: Path, links: set[str], files: Iterable[str]) -> list[str]:
    """The relative links that lead to what is copied, be it by way of another such link."""
    there = {*files, *(str(parent) for name in files for parent in PurePosixPath(name).parents)}
    top = Path(os.path.realpath(checkout))
    kept = {
        link: target
        for link in sorted(links)
        if (target := _target(checkout, link)) is not None
        and _below(top, os.path.realpath(checkout / link)) in there
    }
    while dropped := [
        link
        for link, target in kept.items()
        if any(step in links and step not in kept for step in _steps(target))
    ]:
        for link in dropped:
            del kept[link]
    return list(kept)


def _target(checkout: Path, link: str) -> str | None:
    """Where a relative link leads, as a path in the checkout; None where it leaves that, or goes
    up after it went down, which another link on the way could turn into anything."""
    text = os.fspath((checkout / link).readlink())
    parts = [part for part in text.split("/") if part not in ("", ".")]
    names = [part for part in parts if part != ".."]
    if text.startswith("/") or parts[len(parts) - len(names) :] != names:
        return None
    target = os.path.normpath(f"{PurePosixPath(link).parent}/{text}")
    return None if target.startswith("..") else target


def _steps(path: str) -> Iterator[str]:
    yield path
    yield from (str(parent) for parent in PurePosixPath(path).parents)


def _below(top: Path, path: str) -> str | None:
    return str(Path(path).relative_to(top)) if Path(path).is_relative_to(top) else None
