"""Golden states that all instances share: what `database.reset` made at a commit of base, in an
instance in which nothing else had run. A new instance whose reset would read the same begins with
it, copy-on-write where the database lies in a volume, and does not run the command.
"""

import contextlib
import secrets
from dataclasses import replace
from pathlib import Path

from runner.adapters.files import disk
from runner.adapters.git.first_parents import is_newest_of
from runner.adapters.store.records import now
from runner.adapters.store.snapshots import Snapshot
from runner.controller.cache.build import snapshot_labels
from runner.controller.data.database import required_adapter, site_of
from runner.controller.data.golden_key import inputs
from runner.controller.instance.sidecars import await_ready, data_of, wanted_sidecar
from runner.controller.operation import Operation
from runner.controller.volumes.layers import COPY, copying
from runner.controller.volumes.snapshots import whole
from runner.domain.config.sections import Database
from runner.domain.data.initial import Restore
from runner.domain.errors import CommandFailed, EngineFailed, Refused, RunnerError
from runner.domain.instance import container as names
from runner.domain.instance.container import VolumeMount
from runner.domain.instance.names import snapshot_volumes
from runner.domain.text import sentences

STOP_TIMEOUT = 60  # seconds; what is copied has to be whole
FROM = "/run/treedock/from"


def find(operation: Operation, key: str) -> str | None:
    """The volume with the golden state `key`, '' for one in a file; None where it is not whole."""
    found = whole(operation.repository, key)
    if found is None or not (found.volumes or operation.repository.snapshots.file(key).exists()):
        return None
    return found.volumes.get("", "")


def restored(operation: Operation, database: Database, state: Restore) -> bool:
    """Have the golden state as the data. Returns whether it is; a copy that fails is reported."""
    data = data_of(operation, database.beside)
    if data:  # it was mounted when the sidecar was made
        return operation.record.data_lowers.get(data) == state.volume
    site, adapter = site_of(operation, _container(operation)), required_adapter(operation.config)
    golden, snapshots = adapter.golden_file(site), operation.repository.snapshots
    if golden is None or not snapshots.file(state.key).exists():
        return False
    golden.unlink(missing_ok=True)
    try:
        disk.copy_file(snapshots.file(state.key), golden)
        snapshots.touch(state.key)
        return adapter.reset(site)
    except (CommandFailed, Refused, OSError) as error:
        operation.warn(sentences("the golden state of the database cannot be taken:", str(error)))
        return False


def keep(operation: Operation, database: Database, key: str) -> None:
    """Keep what the reset has made for other instances as `key`, whose lock is held. A failure to
    keep it is reported, and changes nothing for this instance. Raises CommandFailed where its
    sidecar, which is stopped for the copy, does not come back."""
    data, volumes = data_of(operation, database.beside), {}
    if not is_base(operation, database):
        operation.warn("its data is not shared: its files were changed meanwhile")
        return
    try:
        if data:
            with operation.step("keeping its golden state for all instances"):
                volumes[""] = _copied(operation, database.beside, data, key)
        elif not _copied_file(operation, key):
            return
        step = f"database: {database.reset}"
        operation.repository.snapshots.write(Snapshot(key, "database", step, volumes, now()))
    except (CommandFailed, EngineFailed, OSError) as error:
        not_kept = "the golden state of the database is not kept for others:"
        operation.warn(sentences(not_kept, str(error)))
    finally:
        there = operation.sidecars().get(database.beside) if data else None
        if there:
            operation.engine.start(there.id)
            await_ready(operation, _container(operation), database.beside)


def _copied_file(operation: Operation, key: str) -> bool:
    """Whether there was a golden state in a file, which is copied now."""
    golden = required_adapter(operation.config).golden_file(
        site_of(operation, _container(operation))
    )
    if golden is None or not golden.exists():
        return False
    target = operation.repository.snapshots.file(key)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    disk.copy_file(golden, target)
    return True


def _copied(operation: Operation, sidecar: str, data: str, key: str) -> str:
    """A new volume with what a sidecar, which is stopped for that, has in its own."""
    there = operation.sidecars()[sidecar]
    volume = f"{snapshot_volumes(operation.project.name, key, secrets.token_hex(3))}db"
    target = operation.config.sidecars[sidecar].data or ""
    operation.engine.ensure_volume(volume, snapshot_labels(operation, key))
    try:
        operation.engine.stop(there.id, STOP_TIMEOUT)
        like = wanted_sidecar(operation, sidecar, _container(operation), there.image)
        spec = replace(
            like, name=f"{like.name}.fill", inside=None, network="none", command=None, user="",
            labels={**like.labels, names.LABEL_SIDECAR: ".fill"},
            volumes=(VolumeMount(data, FROM, read_only=True), VolumeMount(volume, target)),
        )  # fmt: skip
        _run(operation, operation.engine.create(spec), [FROM, target])
    except RunnerError:
        with contextlib.suppress(RunnerError):
            operation.engine.remove_volume(volume)
        raise
    return volume


def _run(operation: Operation, container: str, words: list[str]) -> None:
    try:
        operation.engine.start(container)
        failed = copying(operation.engine, container, COPY, words)
    finally:
        operation.engine.remove(container)
    if failed is not None:
        raise CommandFailed(failed.strip())


def is_base(operation: Operation, database: Database) -> bool:
    """Whether the instance is at base's head, or at the newest of its first parents in which the
    reset reads the same, with nothing else in its files."""
    git, record = operation.git, operation.record
    worktree, base, here = Path(record.worktree), operation.project.base, record.git.base_commit
    if record.git.base != base or git.head_of(worktree) != here or git.dirty(worktree):
        return False
    heads = [head for head in git.heads(base) if head]
    read = inputs(operation, database)
    return here in heads or any(is_newest_of(git, here, head, read) for head in heads)


def _container(operation: Operation) -> str:
    found = operation.container()
    return found.id if found else ""
