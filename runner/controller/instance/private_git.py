"""The instance's own git directory: made by `up`, mounted, and what git inside has to be told."""

from collections.abc import Mapping
from pathlib import Path

from runner.adapters.files import disk
from runner.adapters.git.private import (
    ATTRIBUTES,
    IGNORE,
    SETTINGS,
    OwnGit,
    Places,
    Start,
    rules_at,
    rules_text,
)
from runner.adapters.git.repository import Git
from runner.controller.operation import ProjectWork, Work
from runner.domain.errors import NotFound, Refused
from runner.domain.instance import container as names
from runner.domain.instance.container import Mount


def settings(values: Mapping[str, str]) -> dict[str, str]:
    """The environment in which git has these settings, whatever its files say."""
    found = {"GIT_CONFIG_COUNT": str(len(values))}
    for n, (key, value) in enumerate(values.items()):
        found |= {f"GIT_CONFIG_KEY_{n}": key, f"GIT_CONFIG_VALUE_{n}": value}
    return found


# Said again for every git that treedock runs inside, whatever code there wrote into its config.
ENVIRONMENT = {
    **settings(rules_at(names.RULES)),
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_DIR": names.GIT,
    "GIT_WORK_TREE": names.WORKSPACE,
    "GIT_ALTERNATE_OBJECT_DIRECTORIES": names.OBJECTS,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_EDITOR": "true",
    "LC_ALL": "C.UTF-8",
}
# git that treedock itself runs inside runs no hooks: they could end a merge, or change it.
OWN = {**ENVIRONMENT, **settings({**rules_at(names.RULES), "core.hooksPath": "/dev/null"})}


def own_git(work: Work) -> OwnGit:
    return OwnGit(work.records.folder(work.id) / "git", work.git)


def kept_ref(work: Work, name: str) -> str:
    """The full name of a ref that keeps something of this instance in the main repository."""
    return f"refs/treedock/{work.id}/{name}"


def ensure_own_git(work: ProjectWork, *, head: str | None = None) -> bool:
    """Make the own git directory where it is missing or broken, from `head` or else from the
    branch as it is here. Returns whether it did: a container that runs has the one of before.

    Raises Refused for a base with submodules and ConfigError for a partial clone.
    """
    own = own_git(work)
    made = not own.is_whole()
    if made:
        with work.step("making its own git directory"):
            _make(work, own, head or work.git.branch(work.record.branch))
    hand_in_rules(work)
    return made


def require_no_submodules(git: Git, commit: str, name: str) -> None:
    """Raises Refused where a commit, which people know as `name`, has submodules."""
    if git.has_gitlinks(commit):
        raise Refused(
            f"{name} has submodules, and instances cannot have them yet.",
            hint="Put their files into the repository itself (git subtree), or use another base.",
        )


def hand_in_rules(work: Work) -> None:
    """Have git inside see the attributes, ignore rules and line ends that git on this side sees:
    those of the person, and those of the main repository's own folder. Those of the system count
    on neither side."""
    folder, own, common = work.records.folder(work.id), own_git(work), work.repository.common_dir
    if not (Path(work.record.worktree) / ".git").exists():
        return
    person = work.git.personal_rules(Path(work.record.worktree))
    # A folder is mounted: a container would go on showing a file that was replaced.
    files = {ATTRIBUTES: person.attributes, IGNORE: person.ignore}
    for name, data in {**files, SETTINGS: rules_text(person.settings)}.items():
        path = folder / "rules" / name
        if not path.exists() or path.read_bytes() != data:
            disk.write_atomically(path, data)
    for name in ("exclude", "attributes"):
        path = common / "info" / name
        own.keep(f"info/{name}", path.read_bytes() if path.exists() else b"")


def git_mounts(work: Work) -> list[Mount]:
    """The own git directory, and the objects that it borrows, read-only. What these in turn
    borrow from is beside them; their own lists of that hold paths of the host and are covered."""
    own = own_git(work)
    objects = work.repository.common_dir / "objects"
    shown = [Mount(str(own.folder), names.GIT), Mount(str(objects), names.OBJECTS, read_only=True)]
    empty = str(work.records.folder(work.id) / "no-alternates")
    shown += [Mount(str(a.source), a.target, read_only=True) for a in own.alternates(names.OBJECTS)]
    covers = [
        Mount(empty, f"{mount.target}/info/alternates", read_only=True)
        for mount in shown[1:]
        if (Path(mount.source) / "info/alternates").exists()
    ]
    return shown + covers


def rules_mount(work: Work) -> Mount:
    """What hand_in_rules() keeps, read-only."""
    return Mount(str(work.records.folder(work.id) / "rules"), names.RULES, read_only=True)


def _make(work: ProjectWork, own: OwnGit, head: str | None) -> None:
    record, git = work.record, work.git
    base = git.newest(record.base)[0] or record.base_commit
    if head is None:
        raise NotFound(f"{work.id}: there is no branch {record.branch}.")
    require_no_submodules(git, head, record.branch)
    with work.repository_locked():
        kept = git.refs(kept_ref(work, "base"), kept_ref(work, "head"))
        wanted = {kept_ref(work, "base"): base, kept_ref(work, "head"): head}
        git.update_refs({name: (new, kept.get(name)) for name, new in wanted.items()})
    start = Start(record.branch, head, record.base, base)
    places = Places(names.WORKSPACE, names.OBJECTS, names.RULES)
    for sentence in own.make(start, Path(record.worktree), places):
        work.warn(sentence)
