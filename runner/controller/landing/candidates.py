"""Which instances can land, and in which order: refused, warned of, or taken into the queue."""

from collections.abc import Container
from pathlib import Path

from runner.adapters.git import lfs
from runner.controller.cleanup.unsaved import require_committed
from runner.controller.operation import Operation
from runner.controller.parallel import map_parallel
from runner.controller.project import Project
from runner.controller.sync.sync import finish_hint, sync
from runner.domain.errors import (
    EngineUnavailable,
    NothingNew,
    Refused,
    RunnerError,
)
from runner.domain.events import Emit
from runner.domain.landing.outcomes import Outcome
from runner.domain.requests.landing import Merge
from runner.domain.text import printable


def prepare(
    operations: dict[str, Operation], base: str, wanted: Merge, remote: str | None
) -> tuple[list[str], dict[str, str], list[Outcome]]:
    """(landed before, head by id, what is refused)."""

    def look(operation: Operation) -> str | RunnerError | None:
        try:
            head = _ready(operation, base)
            if remote and head:
                lfs.require_here(operation.git, remote, head)
            return head
        except EngineUnavailable:
            raise
        except RunnerError as error:
            return error

    done, heads, refused = [], {}, []
    for id_, found in zip(
        operations, map_parallel(look, operations.values(), locked=True), strict=True
    ):
        if found is None:
            done.append(id_)
        elif isinstance(found, str):
            heads[id_] = found
        elif not wanted.everything or not isinstance(found, NothingNew):
            refused.append(Outcome(id_, "refused", found.message, hint=found.hint))
    refused += _without_their_base(operations, heads, base)
    return done, heads, refused


def _without_their_base(
    operations: dict[str, Operation], heads: dict[str, str], base: str
) -> list[Outcome]:
    """Take those out of `heads` whose own base neither has landed nor lands with them."""
    refused: list[Outcome] = []
    while True:
        before = len(refused)
        for id_ in list(heads):
            try:
                _require_base_landed(operations[id_], base, heads)
            except Refused as error:
                refused.append(Outcome(id_, "refused", error.message, hint=error.hint))
                del heads[id_]
        if len(refused) == before:
            return refused


def without_way(project: Project, base: str, heads: dict[str, str]) -> list[Outcome]:
    """Take those out of `heads` that could not land as things are now: no gate has to run for
    that to be known."""
    from runner.adapters.git.base_branch import foreseen

    found = foreseen(project.repository.git, project.base, base, heads)
    for id_ in found:
        del heads[id_]
    return [Outcome(id_, "refused", why.message, hint=why.hint) for id_, why in found.items()]


def _ready(operation: Operation, base: str) -> str | None:
    """The commit to merge; None where it has landed already. Raises Refused."""
    if is_going(operation):
        return None
    synced = sync(operation)
    record, git = operation.record, operation.git
    begun = {record.git.base_commit, *git.refs(operation.names.ref("base")).values()}
    said = record.has_landed
    is_held = git.is_ancestor(synced.head, base)
    in_base = is_held and synced.head not in begun
    if in_base and (said or not git.is_on_main_line(synced.head, base)):
        return None
    inside = synced.inside
    if inside and inside.busy:
        raise Refused(
            f"{operation.id}: a {inside.busy} is in progress inside.",
            hint=finish_hint(operation, inside.busy),
        )
    if inside and inside.branch != record.git.branch:
        raise Refused(
            f"{operation.id}: {printable(inside.branch or 'no branch')} is checked out inside, not "
            f"{record.git.branch}.",
            hint=f"treedock exec {operation.id} -- git switch {record.git.branch}",
        )
    worktree = Path(record.worktree)
    dirty = git.dirty(worktree) if worktree.is_dir() else []
    require_committed(operation, dirty, f"Commit or stash them: treedock shell {operation.id}")
    if is_held:
        raise NothingNew(
            f"{operation.id} has nothing that {operation.project.base} lacks.",
            hint=f"Commit something in it, or remove it: treedock clean {operation.id}",
        )
    if git.has_gitlinks(synced.head):
        raise Refused(
            f"{operation.id} brings a submodule: git would run what is planted there on this "
            "machine.",
            hint=f"Take it out inside: treedock exec {operation.id} -- git rm --cached PATH",
        )
    return synced.head


def is_going(operation: Operation) -> bool:
    """Whether it has landed, and a kill cut off its removal: its branch may be gone by now."""
    record = operation.record
    return record.cleaning and record.has_landed


def _require_base_landed(operation: Operation, base: str, together: Container[str | None]) -> None:
    """Merging must not land another instance's work that no one asked for."""
    other = operation.record.git.base
    owner = next((r.id for r in operation.records.all() if r.git.branch == other), None)
    head = operation.git.branch(other) if owner else None
    if head is None or operation.git.is_ancestor(head, base):
        return
    if owner not in together:
        raise Refused(
            f"{operation.id} started from {other}, which has not landed.",
            hint=f"Merge that first, or both: treedock merge {owner} {operation.id}",
        )


def warn_of_more(operation: Operation, base: str, head: str) -> None:
    """What it started from may hold commits that the branch it is to land in lacks."""
    git, record = operation.git, operation.record
    begun = (git.ref(operation.names.ref("base")), record.git.base_commit)
    known = next((commit for commit in begun if commit and git.is_ancestor(commit, head)), base)
    count = git.count(known, without=[base])
    if count:
        into = operation.project.base
        operation.warn(f"it also brings {count} commits of {record.git.base} that {into} lacks")


def ordered(
    project: Project, base: str, heads: dict[str, str], wanted: Merge, emit: Emit
) -> list[str]:
    """The ids in the order they are to land: an instance after the one that it started from."""
    if wanted.order == "auto" and len(heads) > 2:
        from runner.controller.landing.conflicts import recommended

        order = recommended(project.repository.git, base, heads)
    else:
        order = list(heads)
    branches = {r.git.branch: r.id for r in project.repository.records.all()}
    bases = {r.id: branches.get(r.git.base) for r in project.repository.records.all()}
    placed: list[str] = []

    def place(id_: str) -> None:
        parent = bases.get(id_)
        if id_ in placed:
            return
        if parent in heads and parent != id_ and parent is not None:
            bases[id_] = None  # each only once, should they lean on each other
            place(parent)
        placed.append(id_)

    for id_ in order:
        place(id_)
    return placed
