"""Opening a project: which repository a folder belongs to, and what its configuration says."""

import difflib
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

from runner.adapters import disk, git
from runner.adapters.engine import Engine
from runner.adapters.git import Git
from runner.adapters.lazy_engine import LazyEngine
from runner.adapters.records import Records
from runner.adapters.snapshots import Snapshots
from runner.domain.errors import ConfigError, NotFound, Refused
from runner.domain.instance import Record, check_id

if TYPE_CHECKING:  # pydantic is not paid for by `list`
    from runner.controller.copies import Copies
    from runner.domain.config import Config, UserConfig

CONFIG_FILE = "treedock.yaml"


def connect() -> Engine:
    """The engine of this host; it is asked, and may be missing, at the first call."""
    return cast(Engine, LazyEngine())


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
        self.git = Git(common_dir)
        self.records = Records(common_dir)
        self.snapshots = Snapshots(self.records.root)
        self._connect = connect

    @cached_property
    def engine(self) -> Engine:
        return self._connect()

    @cached_property
    def key(self) -> str:
        """Whose a container is: two clones may bear one name, but not one git directory."""
        return hashlib.sha256(os.fsencode(self.common_dir)).hexdigest()[:12]

    def record(self, instance: str) -> Record:
        """The record of an instance that has to exist. Raises NotFound."""
        record = self.records.read(check_id(instance))
        if record is None:
            known = self.records.ids()
            near = difflib.get_close_matches(instance, known, n=1)
            hint = f"There are: {', '.join(known)}." if known else "There are none yet."
            raise NotFound(
                f"There is no instance {instance!r}.",
                hint=f"{hint} Did you mean {near[0]!r}?" if near else hint,
            )
        return record


@dataclass(frozen=True)
class Project:
    """A repository with its configuration."""

    repository: Repository
    config: "Config"
    user: "UserConfig"

    @property
    def name(self) -> str:
        from runner.domain.config import project_name

        return self.config.name or project_name(self.repository.checkout.name)

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
                    hint=f"There are: {', '.join(branches)}.",
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
            hint=f"Write one of {', '.join(rest)} as `base:` into {CONFIG_FILE}.",
        )

    def _own_branches(self) -> set[str]:
        return {record.branch for record in self.repository.records.all()}

    @cached_property
    def copies(self) -> "Copies":
        """What a new instance gets a copy of."""
        from runner.controller.copies import copies_of

        return copies_of(self)

    @property
    def worktrees(self) -> Path:
        """The folder that holds the worktrees."""
        return self.repository.checkout / self.config.worktrees


def open_repository(
    folder: Path | None = None, *, connect: Callable[[], Engine] = connect
) -> Repository:
    """The repository that `folder` (default: where we are) belongs to.

    Raises NotFound outside of a repository and Refused in a bare one.
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
            return Repository(Path(record.checkout), common_dir, here=record.id, connect=connect)
    place = git.locate(around[0] if around else folder)
    if place is None:
        raise NotFound(
            f"{folder} is not in a git repository.",
            hint="Go to your repository, or make one with: git init",
        )
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
    return Repository(place.checkout, place.common_dir, connect=connect)


def open_project(repository: Repository) -> Project:
    """Read treedock.yaml of the main checkout and the user's own file. Raises ConfigError."""
    from runner.adapters import yaml_file
    from runner.domain import config

    path = repository.checkout / CONFIG_FILE
    if not path.exists():
        raise ConfigError(
            f"There is no {CONFIG_FILE} in {repository.checkout}.",
            hint="Write one with: treedock init",
        )
    disk.inside(repository.checkout, CONFIG_FILE, CONFIG_FILE)
    loaded = config.validate(yaml_file.load(path), CONFIG_FILE)
    worktrees = disk.inside(repository.checkout, loaded.worktrees, "worktrees")
    if worktrees.exists() and not worktrees.is_dir():
        raise ConfigError(
            f"{CONFIG_FILE}: worktrees: {worktrees} is not a folder.",
            hint="Move it away, or name another folder.",
        )
    return Project(repository, loaded, user_config())


def user_config_path() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "treedock" / "config.yaml"


def user_config() -> "UserConfig":
    """The user's own configuration; all defaults where there is no file. Raises ConfigError."""
    from runner.adapters import yaml_file
    from runner.domain import config

    path = user_config_path()
    return config.validate_user(yaml_file.load(path) if path.exists() else None, str(path))


def _worktree_around(folder: Path) -> tuple[Path, Path] | None:
    """(worktree, git common directory) of the linked worktree that holds `folder`, found without
    git, where treedock keeps anything about that repository.

    The outermost .git file decides: code in an instance can make a repository of its own, with a
    treedock.yaml and a git configuration of its own, deeper inside.
    """
    for candidate in reversed([folder, *folder.parents]):
        text = os.fsdecode(disk.read_untrusted(candidate / ".git", 4096) or b"")
        git_dir = Path(text.removeprefix("gitdir: ").removesuffix("\n"))
        if text.startswith("gitdir: ") and git_dir.parent.name == "worktrees":
            common_dir = git_dir.parent.parent.resolve()
            if Records(common_dir).root.is_dir():
                return candidate, common_dir
    return None
