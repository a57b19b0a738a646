"""The branch and worktree of an instance: made once, repaired when an `up` was killed."""

from collections.abc import Iterable
from pathlib import Path

from runner.adapters.store.records import now
from runner.controller.instance.env_files import exclude_patterns
from runner.controller.instance.ports import choose_ports, ranges_of
from runner.controller.instance.private_git import require_no_submodules
from runner.controller.instance.sidecars import require_no_leftover_volumes
from runner.controller.operation import Operation, require_not_moved
from runner.controller.project import Project
from runner.domain.errors import BranchExists, ConfigError, GitFailed, LimitReached, Refused
from runner.domain.events import Created, Emit, Warned
from runner.domain.frozen import dataclass
from runner.domain.instance.container import Container
from runner.domain.instance.record import Lineage, Record, lands_in
from runner.domain.text import listed, sentences

FETCH_TIMEOUT = 10.0  # seconds


@dataclass(frozen=True)
class InstanceRequest:
    """One instance to bring up. `base` is a branch or any name of a commit; `attach` takes an
    existing branch; `purpose` is what the instance is for."""

    id: str
    base: str | None = None
    attach: bool = False
    purpose: str | None = None


def fetch_bases(project: Project, requests: list[InstanceRequest], emit: Emit) -> None:
    """Bring the branches of remotes that new instances start from up to date; a failure is a
    warning."""
    git, default = project.repository.git, project.base
    for base in sorted({request.base or default for request in requests}):
        if git.remote_of(base) is None or (base != default and git.heads(base)[1] is None):
            continue  # a tag, a commit id, or a branch that is only here
        try:
            git.fetch(base, FETCH_TIMEOUT)
        except GitFailed as error:
            emit(Warned(sentences("going on with what is here:", error.message)))


def ensure_record(
    operation: Operation, request: InstanceRequest, containers: list[Container]
) -> None:
    """The record of a new instance, after everything that could refuse it. Nothing else is
    touched: whoever kills us now leaves a record that the next `up` completes."""
    with operation.repository.locked():
        if operation.has_record():
            _require_same(operation, request)
            if request.purpose and request.purpose != operation.record.purpose:
                operation.change(purpose=request.purpose)
            _follow_ranges(operation, containers)
            return
        project = operation.project
        _require_room(operation)
        base, commit = _start_point(operation, request)
        branch = project.names(request.id).branch(project.config.branch)
        existing, is_here = _require_free_branch(operation, branch, attach=request.attach)
        require_no_submodules(operation.git, existing or commit, branch if existing else base)
        worktree = project.worktrees / request.id
        if worktree.exists() or worktree.is_symlink():
            raise Refused(
                f"{worktree} exists already and is no instance.",
                hint="Move it away or choose another id.",
            )
        require_no_leftover_volumes(operation)
        slot, ports = choose_ports(operation, containers)
        operation.save(
            Record(
                id=request.id,
                project=project.name,
                git=Lineage(branch, base, existing or commit, created_branch=not is_here),
                checkout=str(project.repository.checkout),
                worktree=str(worktree),
                created_at=now(),
                ports=ports,
                slot=slot,
                ranges=ranges_of(operation),
                purpose=request.purpose,
            )
        )
        operation.tell(Created(branch, base, commit, slot, ports))


def ensure_worktree(operation: Operation) -> bool:
    """Branch, worktree and files, whatever of them is missing. Returns whether the worktree was."""
    record = operation.record
    path = Path(record.worktree)
    missing = not (path / ".git").exists()
    with operation.repository.locked():
        operation.git.exclude(exclude_patterns(operation))
        if missing:
            require_not_moved(operation)
            _require_empty(operation, path)
            # No one else's: a program that an instance marks setuid would be one for them.
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            branch_there = operation.git.branch(record.git.branch) is not None
            with operation.step("adding the worktree"):
                commit = None if branch_there else record.git.base_commit
                operation.git.add_worktree(path, record.git.branch, commit)
    if missing or not record.checked_out:
        _check_out(operation, path)
    elif not operation.git.is_checked_out(path):
        operation.say("its index was missing and is made anew; the files stay as they are")
        operation.git.rebuild_index(path)
    return missing


def _check_out(operation: Operation, path: Path) -> None:
    """Write the files, unless an `up` that was cut off did so already."""
    if not operation.git.is_checked_out(path):
        with operation.step("checking out the files"):
            fill(operation)
    hooks = operation.git.shield_hooks(path)
    if hooks:
        operation.say(
            f"core.hooksPath is {hooks}: a branch could bring hooks, so git on this machine runs "
            f"none in {path}"
        )
    operation.change(checked_out=True)


def fill(operation: Operation) -> None:
    """Check the files of its worktree out, with what git-lfs may download for them."""
    worktree, git = Path(operation.record.worktree), operation.git
    base = lands_in(operation.record, operation.records.all())
    download = git.is_lfs_of(worktree, git.newest(base)[0])
    if not download:
        operation.warn(
            f".lfsconfig is not that of {base}: files of Git LFS that are not on this machine yet "
            "stay pointers, so that no branch decides where it sends requests"
        )
    git.check_out(worktree, download=download)


def _require_empty(operation: Operation, path: Path) -> None:
    if path.is_symlink() or (path.exists() and not (path.is_dir() and not any(path.iterdir()))):
        raise Refused(
            f"The worktree {path} has lost its .git file, but not everything in it.",
            hint="Move away what you need of it, delete the folder, then: treedock up "
            f"{operation.id}",
        )


def _follow_ranges(operation: Operation, containers: list[Container]) -> None:
    """Other ports, as near to the old ones as can be, where the ranges in treedock.yaml moved."""
    record, ranges = operation.record, operation.config.ports
    kept = {name: port for name, port in record.ports.items() if name in ranges}
    fits = kept.keys() == ranges.keys() and all(
        record.slot is None or port == ranges[name].first + record.slot
        for name, port in kept.items()
    )
    if fits and len(kept) == len(record.ports):
        if record.ranges != ranges_of(operation):
            operation.change(ranges=ranges_of(operation))
        return
    slot, ports = choose_ports(operation, containers, preferred=record.slot)
    operation.say(
        f"the port ranges have changed: it moves to {', '.join(map(str, ports.values()))}"
    )
    operation.change(slot=slot, ports=ports, ranges=ranges_of(operation))


def _require_same(operation: Operation, request: InstanceRequest) -> None:
    record = operation.record
    if record.cleaning:
        raise Refused(
            f"A clean of {request.id!r} was interrupted.",
            hint=f"Complete it with: treedock clean {request.id}",
        )
    if request.base and request.base not in (record.git.base, record.git.base_commit):
        raise Refused(
            f"The instance {request.id!r} exists already and started from {record.git.base}.",
            hint=f"Leave out --base, or start anew: treedock clean {request.id}",
        )
    checkout = operation.project.repository.checkout
    if record.checkout != str(checkout):
        raise Refused(
            f"The instance {request.id!r} belongs to the checkout {record.checkout}.",
            hint=f"Run this there, or choose another id than {request.id!r}.",
        )


def _require_room(operation: Operation) -> None:
    limit = operation.config.limits.instances
    ids = [record.id for record in operation.records.all()]
    if len(ids) >= limit:
        raise LimitReached(
            f"The limit of {limit} instances is reached: {listed(ids)}.",
            hint="Clean one (treedock clean ID) or raise limits.instances in treedock.yaml.",
        )


def _require_free_branch(
    operation: Operation, branch: str, *, attach: bool
) -> tuple[str | None, bool]:
    """The head of the branch to attach to, or None where one is to be made; and whether there is
    such a branch here, and not only at its remote."""
    there = f"refs/remotes/{operation.git.tracking(branch)}"
    known = operation.git.refs("refs/heads", there)
    local = known.get(f"refs/heads/{branch}")
    head = local or known.get(there)
    if attach and head is None:
        raise Refused(
            f"There is no branch {branch} to attach to.", hint="Leave out --attach to create it."
        )
    if head is None:
        _require_possible(branch, known)
        return None, False
    if not attach:
        where = "" if local else f" at {operation.git.remote_of(branch)}"
        raise BranchExists(
            f"The branch {branch} exists already{where}.",
            hint=f"Work on it with: treedock up {operation.id} --attach",
        )
    holder = next((w.path for w in operation.git.worktrees() if w.branch == branch), None)
    if holder and holder != operation.project.worktrees / operation.id:
        raise BranchExists(
            f"The branch {branch} is checked out in {holder}.",
            hint="Switch that checkout to another branch first.",
        )
    return head, local is not None


def _require_possible(branch: str, known: Iterable[str]) -> None:
    """git keeps branches as files: where there is `a`, there cannot be `a/b`. `known` are the
    full names of refs."""
    branches = [name.removeprefix("refs/heads/") for name in known]
    in_the_way = [b for b in branches if branch.startswith(f"{b}/") or b.startswith(f"{branch}/")]
    if in_the_way:
        raise BranchExists(
            f"The branch {branch} cannot be made while there is a branch {in_the_way[0]}.",
            hint="Rename that one, or set `branch:` in treedock.yaml.",
        )


def _start_point(operation: Operation, request: InstanceRequest) -> tuple[str, str]:
    """(base branch, commit to start from): origin's base when that is ahead of the local one,
    which is said."""
    git = operation.git
    name = request.base or operation.project.base
    local, remote = git.heads(name)
    start, diverged = git.newer(local, remote)
    if request.base and start is None:
        commit = None if request.base.startswith("-") else git.commit(request.base)
        if commit is None:
            raise ConfigError(
                f"--base: there is no branch or commit {request.base!r}.",
                hint=f"Branches are: {listed(git.branches()[0])}.",
            )
        return operation.project.base, commit
    there = git.tracking(name)
    if diverged:
        operation.warn(
            f"{name} and {there} have diverged; {operation.id} starts from the local one"
        )
    if start is None:
        raise ConfigError(f"There is no branch {name!r}.", hint="Set `base:` in treedock.yaml.")
    if local and not diverged and local != start:
        behind = git.ahead_behind(local, start)[1]
        operation.say(f"{name} is {behind} behind {there}; {operation.id} starts from {there}")
    return name, start
