"""Removing what has landed, unless it has changed since."""

from dataclasses import replace
from pathlib import Path

from runner.controller.landing.candidates import is_going
from runner.controller.operation import Operation
from runner.controller.parallel import map_parallel
from runner.controller.sync.sync import sync
from runner.controller.sync.update import release_parent_branch
from runner.domain.errors import (
    RunnerError,
)
from runner.domain.landing.outcomes import Outcome
from runner.domain.text import sentences


def all_retired(
    operations: dict[str, Operation], outcomes: list[Outcome], base: str, *, push: bool
) -> list[Outcome]:
    """Remove what has landed, side by side; what another one started from, after that one."""

    def leave(outcome: Outcome) -> Outcome:
        try:
            return _retired(operations[outcome.id], outcome, base, push=push)
        except (RunnerError, OSError) as error:
            way_out = f"Remove it: treedock clean {outcome.id}"
            return replace(outcome, notes=(sentences(f"{outcome.id} stays:", str(error), way_out),))

    records = [operation.record for operation in operations.values()]
    begun_from = {record.git.base for record in records}
    parents = {record.id for record in records if record.git.branch in begun_from}
    landed = [outcome for outcome in outcomes if outcome.state == "landed"]
    free = [outcome for outcome in landed if outcome.id not in parents]
    parents_last = [outcome for outcome in reversed(landed) if outcome.id in parents]
    gone = [*map_parallel(leave, free, locked=True), *map(leave, parents_last)]
    others = [outcome for outcome in outcomes if outcome.state != "landed"]
    return [*gone, *others]


def _retired(operation: Operation, outcome: Outcome, base: str, *, push: bool) -> Outcome:
    """Remove what has landed, unless something was committed or changed in it meanwhile."""
    record = operation.reread()
    if is_going(operation):
        return _removed(operation, outcome, [])
    try:
        synced = sync(operation)
        head, inside = synced.head, synced.inside
        dirty = operation.git.dirty(Path(record.worktree)) if Path(record.worktree).is_dir() else []
    except RunnerError as error:
        return replace(outcome, notes=(sentences(f"{operation.id} stays:", error.message),))
    base_head = operation.git.branch(base) or head
    elsewhere = inside and (inside.busy or inside.branch != record.git.branch)
    if dirty or elsewhere or not operation.git.is_ancestor(head, base_head):
        said = f"{operation.id} stays: it has changed while its commit was tested and landed"
        return replace(outcome, notes=(said,))
    notes = []
    leaning = [
        r
        for r in operation.records.all()
        if r.git.base == record.git.branch and r.id != operation.id
    ]
    for other in leaning:
        following = Operation(operation.project, other.id, operation.emit)
        lineage = replace(following.reread().git, base=base)
        following.change(git=lineage, leans_on=record.git.branch)
        notes.append(f"{other.id} started from it; bring it up to date: treedock update {other.id}")
    if leaning:
        stays = replace(record.git, created_branch=False)  # until they are
        operation.change(git=stays)
    elif push:
        notes += _delete_remote_branch(operation, head)
    release_parent_branch(operation, base_head)
    return _removed(operation, outcome, notes)


def _removed(operation: Operation, outcome: Outcome, notes: list[str]) -> Outcome:
    from runner.controller.cleanup.clean import retire

    try:
        retire(operation)
    except (RunnerError, OSError) as error:
        way_out = f"Complete it: treedock clean {operation.id}"
        notes.append(sentences(f"{operation.id} is not removed:", str(error), way_out))
    return replace(outcome, notes=tuple(notes))


def _delete_remote_branch(operation: Operation, head: str) -> list[str]:
    """Delete the branch at its remote if it is where ours is."""
    from runner.adapters.git import remotes

    branch = operation.record.git.branch
    remote = operation.git.remote_of(branch)
    if remote is None or operation.git.heads(branch)[1] is None:
        return []
    try:
        remotes.delete_branch(operation.git, remote, branch, head)
    except RunnerError as error:
        return [sentences(f"{branch} stays at {remote}:", error.message)]
    return []
