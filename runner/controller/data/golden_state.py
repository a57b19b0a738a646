"""Golden states that all instances share: what `database.reset` made at a commit of base, in an
instance in which nothing else had run. A new instance whose reset would read the same begins with
it, copy-on-write where the database lies in a volume, and does not run the command.
"""

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from runner.adapters.files import disk, untrusted
from runner.adapters.git.first_parents import is_newest_of
from runner.adapters.store import locks
from runner.adapters.store.records import now
from runner.adapters.store.snapshots import Snapshot
from runner.controller.cache.build import snapshot_labels
from runner.controller.cache.prune import prune
from runner.controller.data.database import required_adapter, site_of
from runner.controller.data.golden_key import golden_key, inputs, is_personal
from runner.controller.instance import images
from runner.controller.instance.setup import named
from runner.controller.instance.sidecars import await_ready, data_of, wanted_sidecar
from runner.controller.operation import ProjectOperation
from runner.controller.volumes.layers import COPY, can_overlay, copying
from runner.controller.volumes.snapshots import whole
from runner.domain.cache.produces import products_of
from runner.domain.config.sections import Database
from runner.domain.errors import CommandFailed, EngineFailed, Refused, RunnerError
from runner.domain.git.hooks import installs_hooks
from runner.domain.instance import container as names
from runner.domain.instance.container import VolumeMount
from runner.domain.text import sentences

STOP_TIMEOUT = 60  # seconds; what is copied has to be whole
FROM = "/run/treedock/from"


@dataclass(frozen=True)
class InitialData:
    """The first reset of an instance: of which `key`, the state `found` that it need not run for,
    whether what it makes is kept for others, and why its data is its `own`."""

    key: str = ""
    found: Snapshot | None = None
    keeps: bool = False
    own: str = ""


@contextlib.contextmanager
def first_reset(
    operation: ProjectOperation, authority: Path | None, *, untouched: bool, fresh: bool = False
) -> Iterator[InitialData]:
    """What the first reset has to begin with. Of several instances at once that would make the
    same one does, and the others wait for it. `untouched`: nothing has run in this one yet;
    `fresh`: the command is to run whatever is known. The instance's container runs."""
    database = operation.config.database
    if database is None or database.reset is None or operation.record.reset_key is not None:
        yield InitialData()
        return
    why = _own(operation, database)
    if why or fresh:
        yield InitialData(own="" if fresh else f"its data is its own: {why}")
        return
    server = _server(operation, database, authority)
    snapshots, key = operation.repository.snapshots, golden_key(operation, database, server)
    found = _whole(operation, key)
    if found or not (untouched and _is_base(operation, database)):
        yield InitialData(key, found, own="" if found else "no golden state for this database yet")
        return
    waited: list[str] = []

    def wait(who: str) -> None:
        waited.append(who)
        operation.say(
            f"waiting for the database that another one makes for {operation.project.base}"
        )

    with contextlib.ExitStack() as held:
        held.enter_context(locks.hold(snapshots.lock(key), waiting=wait))
        found = _whole(operation, key)
        if found or waited:  # who waited while another one tried in vain does not try again
            held.close()
        first = InitialData(key, found, keeps=found is None and not waited)
        yield first
    if first.keeps:
        with contextlib.suppress(EngineFailed):  # it counts for one at a time; the next one prunes
            prune(operation.repository, max_size=operation.config.limits.cache)


def begins_with(operation: ProjectOperation, database: Database, first: InitialData) -> bool:
    """Have the golden state as the data, if there is one. Returns whether it is."""
    if first.found is None:
        return False
    if operation.record.reset_begun or operation.record.reset_at is not None:
        return False  # somebody used it since, or has set something aside
    data = data_of(operation, database.beside)
    if data:  # it was mounted when the sidecar was made
        return operation.record.data_lowers.get(data) == first.found.volumes.get("")
    site, adapter = site_of(operation, _container(operation)), required_adapter(operation.config)
    golden, snapshots = adapter.golden_file(site), operation.repository.snapshots
    if golden is None or not snapshots.file(first.key).exists():
        return False
    golden.unlink(missing_ok=True)
    try:
        disk.copy_file(snapshots.file(first.key), golden)
        snapshots.touch(first.key)
        return adapter.reset(site)
    except (CommandFailed, Refused, OSError) as error:
        operation.warn(sentences("the golden state of the database cannot be taken:", str(error)))
        return False


def keep(operation: ProjectOperation, database: Database, first: InitialData) -> None:
    """Keep what the reset has made for other instances. The key's lock is held. That it cannot be
    kept is said, and changes nothing for this instance. Raises CommandFailed where its sidecar,
    which is stopped for the copy, does not come back."""
    data, volumes = data_of(operation, database.beside), {}
    if not _is_base(operation, database):
        operation.warn("its data is not shared: its files were changed meanwhile")
        return
    try:
        if data:
            with operation.step("keeping its golden state for all instances"):
                volumes[""] = _copied(operation, database.beside, data, first.key)
        elif not _copied_file(operation, first.key):
            return
        step = f"database: {database.reset}"
        operation.repository.snapshots.write(Snapshot(first.key, "database", step, volumes, now()))
    except (CommandFailed, EngineFailed, OSError) as error:
        not_kept = "the golden state of the database is not kept for others:"
        operation.warn(sentences(not_kept, str(error)))
    finally:
        there = operation.sidecars().get(database.beside) if data else None
        if there:
            operation.engine.start(there.id)
            await_ready(operation, _container(operation), database.beside)


def _own(operation: ProjectOperation, database: Database) -> str:
    """Why no golden state is shared with this one; empty where it is."""
    if database.engine == "command":
        return "treedock does not know where it is"
    if is_personal(operation, database):
        return "the reset reads what differs in every instance"
    sidecar = operation.config.sidecars.get(database.beside)
    if sidecar is None:
        return ""
    if not sidecar.data:
        return f"the sidecar {database.beside} has no volume"
    # They run beside a server that holds all that they did to it before.
    products = products_of(
        operation.config.setup, untrusted.reader(Path(operation.record.worktree))
    )
    for step, product in zip(operation.config.setup, products, strict=True):
        if product is None and not installs_hooks(step.run):
            return f"{named(step)} may write to it (`produces` and `key` tell that it does not)"
    container = operation.container()
    if container and not can_overlay(operation, container.image):
        return "the engine cannot mount overlays"
    return ""


def _server(operation: ProjectOperation, database: Database, authority: Path | None) -> str | None:
    """The image of the database's sidecar."""
    sidecar = operation.config.sidecars.get(database.beside)
    if sidecar is None:
        return None
    return images.ensure_sidecar_image(operation.engine, sidecar, authority, operation.emit)


def _whole(operation: ProjectOperation, key: str) -> Snapshot | None:
    snapshots = operation.repository.snapshots
    found = whole(operation.repository, key)
    return found if found and (found.volumes or snapshots.file(key).exists()) else None


def _copied_file(operation: ProjectOperation, key: str) -> bool:
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


def _copied(operation: ProjectOperation, sidecar: str, data: str, key: str) -> str:
    """A new volume with what a sidecar, which is stopped for that, has in its own."""
    there = operation.sidecars()[sidecar]
    volume = f"treedock-{operation.project.name}-snapshot-{key[:12]}-{secrets.token_hex(3)}.db"
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


def _run(operation: ProjectOperation, container: str, words: list[str]) -> None:
    try:
        operation.engine.start(container)
        failed = copying(operation.engine, container, COPY, words)
    finally:
        operation.engine.remove(container)
    if failed is not None:
        raise CommandFailed(failed.strip())


def _is_base(operation: ProjectOperation, database: Database) -> bool:
    """Whether the instance is at base's head, or at the newest of its first parents in which the
    reset reads the same, with nothing else in its files."""
    git, record = operation.git, operation.record
    worktree, base, here = Path(record.worktree), operation.project.base, record.base_commit
    if record.base != base or git.head_of(worktree) != here or git.dirty(worktree):
        return False
    heads = [head for head in git.heads(base) if head]
    read = inputs(operation, database)
    return here in heads or any(is_newest_of(git, here, head, read) for head in heads)


def _container(operation: ProjectOperation) -> str:
    found = operation.container()
    return found.id if found else ""
