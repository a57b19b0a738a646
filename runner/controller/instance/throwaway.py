"""Throwaway instances: exactly one commit, nothing published, no slot, gone afterwards."""

from runner.adapters.engine.protocol import Filter
from runner.adapters.store import locks
from runner.adapters.store.records import Records, now
from runner.controller.instance.container import prepare_folder
from runner.controller.instance.copies import copies_of
from runner.controller.instance.env_files import exclude_patterns, write_files
from runner.controller.instance.private_git import ensure_own_git
from runner.controller.instance.sidecars import remove_sidecars
from runner.controller.instance.worktree import fill
from runner.controller.operation import Operation
from runner.controller.project import Project, Repository
from runner.controller.stream import Stream
from runner.domain.errors import OtherVersion
from runner.domain.instance.names import is_throwaway
from runner.domain.instance.record import Lineage, Record


def dispose(operation: Operation) -> None:
    """Remove everything of a throwaway instance; what is gone already is no error. Raises
    OtherVersion for one of another treedock."""
    operation.records.readable(operation.id)
    container = operation.container()
    if container:
        operation.engine.remove(container.id)
    remove_sidecars(operation)
    with operation.repository.locked():
        operation.git.remove_worktree(operation.folder.tree)
        kept = operation.git.refs(operation.names.refs)
        operation.git.update_refs({name: (None, commit) for name, commit in kept.items()})
    operation.records.remove(operation.id)


def abandoned(project: Project) -> list[Operation]:
    """Throwaway instances that no one works on: their treedock was killed. Those of another
    version of treedock are left to that."""
    elsewhere = gate_project(project)
    records = elsewhere.repository.records
    found = {id_ for id_ in records.ids() if is_throwaway(id_)}
    for container in project.repository.engine.containers(
        Filter(repository=project.repository.key)
    ):
        if is_throwaway(container.owner):
            found.add(container.owner)
    return [
        Operation(elsewhere, id_, Stream())
        for id_ in sorted(found)
        if not locks.is_held(records.lock(id_)) and _is_known(records, id_)
    ]


def _is_known(records: Records, instance: str) -> bool:
    try:
        records.readable(instance)
    except OtherVersion:
        return False
    return True


def gate_project(project: Project) -> Project:
    """The same project with its instances elsewhere, so that no verb takes one for the user's."""
    whole = project.repository
    repository = Repository(whole.checkout, whole.common_dir, connect=lambda: whole.engine)
    repository.records = Records(whole.common_dir, "gates")
    repository.git = whole.git
    # Said outright: their own records are on base's branch, which then looks like an instance's.
    return project.within(repository, project.base)


def lay_out(operation: Operation, commit: str) -> None:
    """Everything of a throwaway instance at `commit` but its container."""
    project = operation.project
    worktree = operation.folder.tree
    operation.save(
        Record(
            id=operation.id,
            project=project.name,
            git=Lineage(project.base, project.base, commit),
            checkout=str(project.repository.checkout),
            worktree=str(worktree),
            created_at=now(),
            ports={name: ports.first for name, ports in operation.config.ports.items()},
        )
    )
    with operation.repository.locked():
        operation.git.exclude(exclude_patterns(operation))
        operation.git.add_detached_worktree(worktree, commit)
    with operation.step("checking out the candidate"):
        fill(operation)
        operation.git.shield_hooks(worktree)
    prepare_folder(operation)
    write_files(operation, copies_of(project))
    ensure_own_git(operation, head=commit)
