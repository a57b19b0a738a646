"""Opening a project: which repository a folder belongs to, and what its configuration says."""

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from runner.adapters.engine.docker import DockerEngine
from runner.adapters.engine.protocol import Engine, EngineInfo, Filter
from runner.adapters.files import disk, untrusted
from runner.adapters.git import owners
from runner.adapters.git import repository as git
from runner.adapters.git.repository import Git
from runner.adapters.store import identity, locks
from runner.adapters.store.records import Records
from runner.adapters.store.snapshots import Snapshots
from runner.domain.errors import ConfigError, Damaged, NotFound, Refused, RunnerError
from runner.domain.frozen import dataclass
from runner.domain.instance.container import LABEL_REPOSITORY
from runner.domain.instance.names import Names
from runner.domain.instance.record import Record, check_id
from runner.domain.text import listed

if TYPE_CHECKING:  # pydantic is not paid for by `list`
    from runner.domain.config.project import Config, UserConfig
    from runner.domain.config.sections import Limits

CONFIG_FILE = "treedock.yaml"

Standing = Literal["own", "moved", "copied", "mounted"]
"""Whose an instance is that a record here describes: this repository's; also, but the repository
was somewhere else then; that of the repository that this one is a copy of; that of this one, which
is shown under a further path (a bind mount)."""


def connect() -> Engine:
    """The engine of this host; it is asked, and may be missing, at the first call."""
    return DockerEngine()


class Repository:
    """A repository and everything treedock keeps about it; nothing is read before it is asked.

    `checkout` is the main checkout, `here` the id of the instance whose worktree the command was
    given in.
    """

    def __init__(
        self,
        checkout: Path,
        common_dir: Path,
        *,
        here: str | None = None,
        connect: Callable[[], Engine] = connect,
    ) -> None:
        self.checkout = checkout
        self.common_dir = common_dir
        self.here = here
        self.git = Git(common_dir, checkout)
        self.records = Records(common_dir)
        self.snapshots = Snapshots(self.records.root)
        self._connect = connect
        self.unclean = set[str]()
        """Keys of snapshots for which a clean run has failed in this process."""

    @cached_property
    def engine(self) -> Engine:
        return self._connect()

    @cached_property
    def engine_info(self) -> EngineInfo:
        """Asked once: the engine counts all that it has for that, and twenty instances at once
        would wait for it."""
        return self.engine.info()

    @cached_property
    def key(self) -> str:
        """Whose a container is: two clones may bear one name, but not one git directory.

        Before `claim` it is one that nothing has: what another repository left at this place, or
        has at the place that this one is a copy of, is not ours. Where repository.json is damaged,
        the key of what mounts files of this place, so that `down` stops it.
        """
        try:
            known = self.known_as
        except Damaged:
            return self._key_of_mounts() or identity.key_of(self.common_dir)
        if known and known.common_dir == str(self.common_dir):
            return known.key
        from_before = known is None and Records(self.common_dir).folder("").is_dir()
        return identity.key_of(self.common_dir, "" if from_before else "unclaimed")

    @property
    def known_as(self) -> identity.Identity | None:
        """What this repository, or the one that it is a copy of, was known as when it was used
        last; None where it never was. Raises Damaged."""
        return identity.read(self.records.root)

    def standing(self, record: Record) -> Standing:
        """Whose the instance of a record is: no path in it is worth anything before that."""
        known, there = self.known_as, None
        if known and known.common_dir != str(self.common_dir):
            was = Path(known.common_dir)
            there = was if (was / "HEAD").exists() else None
        elif record.checkout == str(self.checkout):
            return "own"
        else:
            there = git.common_dir_of(Path(record.checkout))
        if there is None:
            return "moved"
        if there == self.common_dir:
            return "own"
        return "mounted" if there.samefile(self.common_dir) else "copied"

    def here_of(self, record: Record) -> Path:
        """Where the worktree of a record would lie if its checkout were this one."""
        worktree, was = Path(record.worktree), Path(record.checkout)
        inside = worktree.is_relative_to(was)
        return self.checkout / worktree.relative_to(was) if inside else worktree

    def require_own(self, record: Record, *, or_copied: bool = False) -> None:
        """Raises Refused where the instance is not this repository's, or this was moved."""
        match self.standing(record):
            case "moved":
                raise Refused(
                    f"This repository was moved: the instance {record.id!r} was made when it was "
                    f"{record.checkout}.",
                    hint="Repair its instances with: treedock doctor --fix",
                )
            case "copied" if not or_copied:
                raise Refused(
                    f"The instance {record.id!r} belongs to {record.checkout}, and "
                    f"{self.checkout} is a copy of that.",
                    hint="Work on it there. To forget it here, which touches nothing there: "
                    f"treedock clean {record.id} --force-unmerged",
                )
            case "mounted":
                raise Refused(
                    f"{self.checkout} is {record.checkout}, mounted at another place.",
                    hint=f"Run this there: cd {record.checkout}",
                )

    def record(self, instance: str, *, or_copied: bool = False) -> Record:
        """The record of an instance that has to exist. Raises NotFound, and Refused where it is
        not this repository's; `or_copied` it may be that of the one which this is a copy of."""
        record = self.records.read(check_id(instance))
        if record is None:
            import difflib  # late: only a name that is wrong pays for it

            known = self.records.ids()
            near = difflib.get_close_matches(instance, known, n=1)
            hint = f"There are: {listed(known)}." if known else "There are none yet."
            raise NotFound(
                f"There is no instance {instance!r}.",
                hint=f"{hint} Did you mean {near[0]!r}?" if near else hint,
            )
        self.require_own(record, or_copied=or_copied)
        return record

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Hold the lock for what changes refs, the worktree list or who has which slot."""
        return locks.hold(self.records.repository_lock)

    def claim(self) -> None:
        """Write down where this repository is, and as what the engine knows it: under a key that
        nothing there has yet. What makes containers or volumes calls this first. Raises
        Refused in a repository that was moved and not repaired."""
        for record in self.records.all():
            self.require_own(record, or_copied=True)
        known = self.known_as
        if known and known.common_dir == str(self.common_dir):
            return
        with self.locked():
            key = self.key
            if known or not self.records.ids():
                keys = (identity.key_of(self.common_dir, salt) for salt in _salts())
                key = next(key for key in keys if not self._is_used(key))
            self.be(key)

    def be(self, key: str) -> None:
        """Write down that the repository with this key is here. Repository lock."""
        identity.write(self.records.root, identity.Identity(str(self.common_dir), key))
        self.__dict__["key"] = key

    def _key_of_mounts(self) -> str | None:
        root = self.records.root
        for one in self.engine.containers():
            if one.instance and any(Path(source).is_relative_to(root) for source in one.sources):
                return one.labels.get(LABEL_REPOSITORY)
        return None

    def _is_used(self, key: str) -> bool:
        engine = self.engine
        return bool(
            engine.containers(Filter(repository=key)) or engine.volumes(Filter(repository=key))
        )


def _salts() -> Iterator[str]:
    yield ""
    yield from map(str, itertools.count(1))


@dataclass(frozen=True)
class Place:
    """Where a request comes from: a folder, in a repository or not."""

    folder: Path
    connect: Callable[[], Engine] = connect

    def repository(self) -> Repository:
        """The repository that it lies in; see open_repository."""
        return open_repository(self.folder, connect=self.connect)


@dataclass(frozen=True)
class Project:
    """A repository with its configuration."""

    repository: Repository
    config: "Config"
    user: "UserConfig"

    @property
    def name(self) -> str:
        from runner.domain.config.project import project_name

        return self.config.name or project_name(self.repository.checkout.name)

    def names(self, instance: str) -> Names:
        """What the parts of an instance are called that is made now."""
        return Names(self.name, instance, self.repository.key)

    @cached_property
    def base(self) -> str:
        """The branch that instances start from: configured, or the branch of origin/HEAD, or main,
        or the only branch. Raises Refused without commits, ConfigError when it cannot be told."""
        own = self._own_branches()
        branches, remote = self.repository.git.branches()
        configured = self.config.base
        if not branches:
            raise Refused(
                f"{self.repository.checkout} has no commits yet.",
                hint="Commit something, then try again.",
            )
        if configured:
            if configured not in branches and self.repository.git.heads(configured)[1] is None:
                raise ConfigError(
                    f"{CONFIG_FILE}: base: there is no branch {configured!r}.",
                    hint=f"There are: {listed(branches)}.",
                )
            return configured
        if remote:
            return remote
        # Asked before and after: a record is there for longer than its branch, so one of an
        # instance that another process makes or cleans meanwhile is seen at one of both times.
        own |= self._own_branches()
        rest = [branch for branch in branches if branch not in own]
        if "main" in rest or len(rest) == 1:
            return "main" if "main" in rest else rest[0]
        raise ConfigError(
            "It is not clear which branch instances start from.",
            hint=f"Write one of {listed(rest)} as `base:` into {CONFIG_FILE}.",
        )

    def _own_branches(self) -> set[str]:
        return {record.git.branch for record in self.repository.records.all()}

    def on(self, base: str) -> "Project":
        """The same project with another base."""
        config = replace(self.config, base=base)
        return Project(self.repository, config, self.user)

    def within(self, repository: Repository, base: str) -> "Project":
        """The same project with its instances in `repository`, and a base that is known to be a
        branch."""
        made = Project(repository, replace(self.config, base=base), self.user)
        made.__dict__["base"] = base
        return made

    @property
    def worktrees(self) -> Path:
        """The folder that holds the worktrees: the person's own choice counts first."""
        checkout = self.repository.checkout
        if self.user.worktrees is None:
            return checkout / self.config.worktrees
        return Path(os.path.realpath(checkout / self.user.worktrees.format(project=self.name)))

    @property
    def worktrees_inside(self) -> str | None:
        """The same, relative to the checkout; None where it lies elsewhere."""
        checkout = self.repository.checkout
        inside = self.worktrees.is_relative_to(checkout)
        return str(self.worktrees.relative_to(checkout)) if inside else None


def open_repository(
    folder: Path | None = None, *, connect: Callable[[], Engine] = connect
) -> Repository:
    """The repository that `folder` (default: where we are) belongs to.

    Raises NotFound outside of a repository, and Refused in a bare one and in another user's.
    """
    try:
        folder = (folder or Path.cwd()).absolute()
    except FileNotFoundError as error:
        raise NotFound("This folder is gone.", hint="Go to your repository with cd.") from error
    around = _worktree_around(folder)
    if around:
        worktree, common_dir = around
        record = Records(common_dir).of_worktree(worktree)
        if record:
            owners.require_own(Path(record.checkout), Records(common_dir).root)
            return Repository(Path(record.checkout), common_dir, here=record.id, connect=connect)
        _require_no_instance(worktree, common_dir)
    place = git.locate(around[0] if around else folder)
    if place is None:
        raise _not_opened(folder)
    if place.checkout is None and place.common_dir.name == ".git":
        raise Refused(
            f"{folder} lies in the repository's git directory, which is no checkout.",
            hint=f"Run treedock in the checkout: cd {place.common_dir.parent}",
        )
    if place.checkout is None:
        raise Refused(
            f"{place.common_dir} is a bare repository: it has no checkout to work from.",
            hint="Run treedock in a checkout of it (git worktree add ../main main).",
        )
    owners.require_own(place.checkout, Records(place.common_dir).root)
    return Repository(place.checkout, place.common_dir, connect=connect)


def open_project(repository: Repository) -> Project:
    """Read treedock.yaml of the main checkout and the user's own file. Raises ConfigError."""
    path = repository.checkout / CONFIG_FILE
    if not path.exists():
        raise ConfigError(
            f"There is no {CONFIG_FILE} in {repository.checkout}.",
            hint="Write one with: treedock init",
        )
    disk.inside(repository.checkout, CONFIG_FILE, CONFIG_FILE)
    project = Project(repository, *_checked(repository, path))
    _require_worktrees_possible(project)
    return project


def limits_of(repository: Repository) -> "Limits":
    """Those of treedock.yaml; the defaults where that is broken."""
    try:
        return open_project(repository).config.limits
    except RunnerError:
        from runner.domain.config.sections import Limits

        return Limits()


def _checked(repository: Repository, path: Path) -> "tuple[Config, UserConfig]":
    """Both files, checked now or earlier. Each is read once: what is kept under a key follows from
    the very bytes that the key does, also while an editor writes."""
    from runner.adapters.store import checked_config

    own = user_config_path()
    root, texts = repository.records.root, (_read(path), _read(own) if own.exists() else b"")
    key = checked_config.key_of([*texts])
    known = checked_config.read(root, key)
    if known:
        return known.config, known.user
    from runner.adapters.files import yaml_file
    from runner.domain.config.validate import validate, validate_user

    config = validate(yaml_file.parse(texts[0], str(path)), CONFIG_FILE)
    user = validate_user(yaml_file.parse(texts[1], str(own)), str(own))
    if root.is_dir():
        checked_config.write(root, checked_config.Checked(key, config, user))
    return config, user


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error}", hint="Fix the file.") from error


def _require_worktrees_possible(project: Project) -> None:
    own, folder = project.user.worktrees is not None, project.worktrees
    where = f"{user_config_path() if own else CONFIG_FILE}: worktrees: {folder}"
    if not own:
        disk.inside(project.repository.checkout, project.config.worktrees, "worktrees")
    elif project.repository.checkout.is_relative_to(folder):
        raise ConfigError(
            f"{where} holds the checkout itself.",
            hint="Name a folder of its own, such as ../{project}-trees.",
        )
    elif folder.is_relative_to(project.repository.common_dir):
        raise ConfigError(f"{where} lies in the git directory.", hint="Name another folder.")
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{where} is not a folder.", hint="Move it away, or name another folder.")


def user_config_path() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "treedock" / "config.yaml"


def _require_no_instance(worktree: Path, common_dir: Path) -> None:
    """Raises Refused in what is no checkout of the person's own: a copy of a worktree, and an
    instance's that was moved, where a treedock.yaml is not theirs."""
    own = Git(common_dir)
    if not own.owns(worktree):
        raise Refused(
            f"{worktree} is a copy of a worktree of {common_dir}, and not that worktree.",
            hint="Run treedock in the checkout that you mean.",
        )
    entry, head = own.worktree_dir(worktree), own.branch_in(worktree)
    for record in Records(common_dir).all():
        if record.git.branch == head or (
            record.id == entry.name and not Path(record.worktree).exists()
        ):
            raise was_moved(record, worktree)


def was_moved(record: Record, to: Path) -> Refused:
    """The error for a worktree that a person has moved."""
    return Refused(
        f"The worktree of {record.id}, {record.worktree}, was moved to {to}.",
        hint=f"Move it back: git -C {record.checkout} worktree move {to} {record.worktree}",
    )


def _not_opened(folder: Path) -> RunnerError:
    """Why git finds no repository that `folder` lies in."""
    for candidate in [folder, *folder.parents]:
        text = os.fsdecode(untrusted.read(candidate / ".git", 4096) or b"")
        named = Path(text.removeprefix("gitdir: ").removesuffix("\n"))
        if text.startswith("gitdir: ") and not (candidate / named).exists():
            return Refused(
                f"{candidate} is a worktree of the repository {named.parent.parent}, and there "
                "is none.",
                hint="If that was moved, run in its main checkout: treedock doctor --fix",
            )
    return owners.unreadable(folder)


def _worktree_around(folder: Path) -> tuple[Path, Path] | None:
    """(worktree, git common directory) of the linked worktree that holds `folder`, found without
    git, where treedock keeps anything about that repository.

    The outermost .git file decides: code in an instance can make a repository of its own, with a
    treedock.yaml and a git configuration of its own, deeper inside.
    """
    for candidate in reversed([folder, *folder.parents]):
        text = os.fsdecode(untrusted.read(candidate / ".git", 4096) or b"")
        git_dir = Path(text.removeprefix("gitdir: ").removesuffix("\n"))
        if text.startswith("gitdir: ") and git_dir.parent.name == "worktrees":
            common_dir = git_dir.parent.parent.resolve()
            if Records(common_dir).root.is_dir():
                return candidate, common_dir
    return None
