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
from runner.controller.operation import Operation
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


def own_git(operation: Operation) -> OwnGit:
    return OwnGit(operation.folder.git, operation.git)


def ensure_own_git(operation: Operation, *, head: str | None = None) -> bool:
    """Make the own git directory where it is missing or broken, from `head` or else from the
    branch as it is here. Returns whether it did: a container that runs has the one from before.

    Raises Refused for a base with submodules and ConfigError for a partial clone.
    """
    own = own_git(operation)
    made = not own.is_whole()
    if made:
        with operation.step("making its own git directory"):
            _make(operation, own, head)
    hand_in_rules(operation)
    return made


def require_no_submodules(git: Git, commit: str, name: str) -> None:
    """Raises Refused where a commit, which people know as `name`, has submodules."""
    if git.has_gitlinks(commit):
        raise Refused(
            f"{name} has submodules, and instances cannot have them yet.",
            hint="Put their files into the repository itself (git subtree), or use another base.",
        )


def hand_in_rules(operation: Operation) -> None:
    """Have git inside see the attributes, ignore rules and line ends that git on this side sees:
    those of the person, and those of the main repository's own folder. Those of the system count
    on neither side."""
    folder, own, common = (
        operation.folder,
        own_git(operation),
        operation.repository.common_dir,
    )
    if not (Path(operation.record.worktree) / ".git").exists():
        return
    person = operation.git.personal_rules(Path(operation.record.worktree))
    # A folder is mounted: a container would go on showing a file that was replaced.
    files = {ATTRIBUTES: person.attributes, IGNORE: person.ignore}
    for name, data in {**files, SETTINGS: rules_text(person.settings)}.items():
        path = folder.rules / name
        if not path.exists() or path.read_bytes() != data:
            disk.write_atomically(path, data)
    for name in ("exclude", "attributes"):
        path = common / "info" / name
        own.keep(f"info/{name}", path.read_bytes() if path.exists() else b"")


def git_mounts(operation: Operation) -> list[Mount]:
    """The own git directory, and the objects that it borrows, read-only. What these in turn
    borrow from is beside them; their own lists of that hold paths of the host and are covered."""
    own = own_git(operation)
    objects = operation.repository.common_dir / "objects"
    shown = [Mount(str(own.folder), names.GIT), Mount(str(objects), names.OBJECTS, read_only=True)]
    empty = str(operation.folder.no_alternates)
    shown += [Mount(str(a.source), a.target, read_only=True) for a in own.alternates(names.OBJECTS)]
    covers = [
        Mount(empty, f"{mount.target}/info/alternates", read_only=True)
        for mount in shown[1:]
        if (Path(mount.source) / "info/alternates").exists()
    ]
    return shown + covers


def rules_mount(operation: Operation) -> Mount:
    """What hand_in_rules() keeps, read-only."""
    return Mount(str(operation.folder.rules), names.RULES, read_only=True)


def _make(operation: Operation, own: OwnGit, head: str | None) -> None:
    record, git = operation.record, operation.git
    branch, base = f"refs/heads/{record.git.branch}", f"refs/heads/{record.git.base}"
    there = f"refs/remotes/{git.tracking(record.git.base)}"
    own_refs = {kind: operation.names.ref(kind) for kind in ("base", "head")}
    known = git.refs(branch, base, there, *own_refs.values())
    head = head or known.get(branch)
    base = git.newer(known.get(base), known.get(there))[0] or record.git.base_commit
    if head is None:
        raise NotFound(f"{operation.id}: there is no branch {record.git.branch}.")
    require_no_submodules(git, head, record.git.branch)
    with operation.repository.locked():
        wanted = {own_refs["base"]: base, own_refs["head"]: head}
        git.update_refs({name: (new, known.get(name)) for name, new in wanted.items()})
    start = Start(record.git.branch, head, record.git.base, base)
    places = Places(names.WORKSPACE, names.OBJECTS, names.RULES)
    for sentence in own.make(start, Path(record.worktree), places):
        operation.warn(sentence)
