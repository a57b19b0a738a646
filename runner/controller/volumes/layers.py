"""An instance's own volumes above what it shares with others: what it writes there is its own."""

import io
import os
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from runner.adapters.engine.protocol import Engine, EngineInfo, Exec, Filter
from runner.adapters.engine.tar import folders
from runner.adapters.store import locks
from runner.controller.operation import Operation
from runner.controller.parallel import Grouped
from runner.controller.project import Repository
from runner.domain.errors import CommandFailed, EngineFailed
from runner.domain.instance import container as names
from runner.domain.instance.container import ContainerSpec, Limits, Mount, VolumeMount
from runner.domain.instance.names import own_volume
from runner.domain.instance.streams import Streams

COPY_TIMEOUT = 1800.0  # seconds
_LIMITS = Limits(memory=2**29, cpus=2, pids=64)
_OVERLAY = ("upper", "work")
_FILL = ".fill"  # the label of the container that fills volumes


def claim(operation: Operation, path: str, key: str) -> str:
    """Make the volume for what the instance writes at `path`; from then on the snapshot `key` is
    in use. Returns the name of the volume to be mounted."""
    name = operation.names.layer(path)
    claim_data(operation, name, key)
    return name


def ensure_layers(operation: Operation) -> None:
    """Ensure that each volume above a snapshot shows what that holds."""
    lowers = operation.record.lowers
    missing = [name for name in lowers if name not in operation.record.layered]
    if not missing:
        return
    if can_overlay(operation):
        put_folders(operation, {own_volume(name): _OVERLAY for name in missing})
        for name in missing:
            operation.engine.ensure_overlay(name, lowers[name], own_volume(name), labels(operation))
    else:
        with operation.step("copying what set-up makes"):
            for name in missing:
                operation.engine.ensure_volume(name, labels(operation))
                copy_volume(operation, lowers[name], name)
    operation.change(layered=tuple(lowers))


def claim_data(operation: Operation, name: str, key: str) -> None:
    """From now on the golden state `key` is in use, below the volume `name`."""
    operation.engine.ensure_volume(own_volume(name), {**labels(operation), names.LABEL_LOWER: key})


def make_data_layer(operation: Operation, name: str, lower: str) -> None:
    """Have the volume `name` show the golden state in the volume `lower`, which is claimed."""
    put_folders(operation, {own_volume(name): _OVERLAY})
    operation.engine.ensure_overlay(name, lower, own_volume(name), labels(operation))


def data_mounts(operation: Operation, name: str) -> tuple[VolumeMount, ...]:
    """What has to be mounted beside such a volume, so that no one takes it for unused: `docker
    volume prune` would delete the data."""
    lower = operation.record.data_lowers.get(name)
    if lower is None:
        return ()
    return (
        VolumeMount(lower, f"{names.LAYERS}/lower", read_only=True),
        VolumeMount(own_volume(name), f"{names.LAYERS}/own", read_only=True),
    )


def is_lost(operation: Operation) -> bool:
    """Whether someone removed volumes that the instance leans on (docker volume prune does)."""
    record = operation.record
    if not record.lowers:
        return False
    needed = {*record.lowers.values(), *map(own_volume, record.lowers), *record.layered}
    return not needed <= set(operation.engine.volumes(Filter(repository=operation.repository.key)))


def drop_layers(operation: Operation) -> None:
    """Remove what the instance has written above snapshots of set-up steps; these begin again."""
    if not operation.record.mounts and not operation.record.supplied:
        return
    container = operation.container()
    if container:
        operation.engine.remove(container.id)
    for name in operation.record.mounts.values():
        operation.engine.remove_volume(name)
        operation.engine.remove_volume(own_volume(name))
    operation.change(mounts={}, lowers={}, layered=(), copying=(), supplied=(), setup_done=())


def can_overlay(operation: Operation) -> bool:
    """Whether the engine mounts volumes above others: tried once, by a container with one."""
    engine, snapshots = (
        engine_name(operation.repository.engine_info),
        operation.repository.snapshots,
    )
    known = snapshots.overlays(engine)
    if known is not None:
        return known
    with locks.hold(snapshots.lock("engine")):
        known = snapshots.overlays(engine)
        if known is None:
            known = _tried(operation)
            snapshots.keep_overlays(engine, operations=known)
    return known


def engine_name(info: EngineInfo) -> str:
    """Which engine it was that was tried."""
    return f"{info.version} {info.data_root}{' rootless' if info.rootless else ''}"


def _tried(operation: Operation) -> bool:
    name = operation.names.beside("try")
    lower = f"{name}.lower"
    made = [name, lower, own_volume(name)]
    try:
        for volume in made[1:]:
            operation.engine.ensure_volume(volume, labels(operation))
        put_folders(operation, {own_volume(name): _OVERLAY})
        operation.engine.ensure_overlay(name, lower, own_volume(name), labels(operation))
        with _helper(operation, [name]) as container:
            operation.engine.start(container)
        return True
    except EngineFailed:
        return False
    finally:
        for volume in made:
            operation.engine.remove_volume(volume)


# Forced: a copy that was cut off is gone over again, and may have files without the right to write.
COPY = 'cp -af --reflink=auto "$1/." "$2" 2>/dev/null || cp -af "$1/." "$2"'
_REPLACING_COPY = f'rm -rf -- "$2" && mkdir -p -- "$2" && {{ {COPY}; }}'
_COPY_FOUND = f'[ ! -d "$1" ] || {{ mkdir -p -- "$2" && {{ {COPY}; }}; }}'


def copy_volume(operation: Operation, lower: str, name: str) -> None:
    """Never hard links: the instance could edit the snapshot in place. Raises CommandFailed."""
    with _helper(operation, [lower, name], sources=[lower]) as container:
        operation.engine.put(container, "/", folders(["v1"], uid=os.getuid(), gid=os.getgid()))
        operation.engine.start(container)
        _copy(operation, container, COPY, ["/v0", "/v1"])


def copy_folders(operation: Operation, lower: str, name: str, paths: Collection[str]) -> None:
    """Copy these folders of a volume, as far as they are there, into another. Raises
    CommandFailed."""
    with _helper(operation, [lower, name], sources=[lower]) as container:
        operation.engine.start(container)
        for path in paths:
            _copy(operation, container, _COPY_FOUND, [f"/v0/{path}", f"/v1/{path}"])


def copy_into(operation: Operation, volumes: Mapping[str, str]) -> None:
    """Have a copy of each volume in the worktree, at its path there, instead of what was there.
    Inside, where a symlink of the branch leads nowhere. Raises CommandFailed."""
    worktree = Mount(operation.record.worktree, names.WORKSPACE)
    from_ = volumes.values()
    with _helper(operation, from_, sources=from_, mounts=(worktree,)) as container:
        operation.engine.start(container)
        for at, path in enumerate(volumes):
            _copy(operation, container, _REPLACING_COPY, [f"/v{at}", f"{names.WORKSPACE}/{path}"])


def _copy(operation: Operation, container: str, script: str, words: list[str]) -> None:
    failed = copying(operation.engine, container, script, words)
    if failed is not None:
        raise CommandFailed(
            f"{operation.id}: what set-up makes could not be copied: {failed}",
            hint="The image needs `cp`; `produces: []` in a step of `setup` does without copies.",
        )


def copying(engine: Engine, container: str, script: str, words: list[str]) -> str | None:
    """Run a script that copies, in a container that runs; returns the end of what it said where
    that failed."""
    said = io.BytesIO()
    command = Exec(["sh", "-c", script, "sh", *words], timeout=COPY_TIMEOUT)
    code = engine.exec_attached(container, command, Streams(None, said, said))
    return said.getvalue().decode(errors="replace")[-300:] if code else None


def put_folders(operation: Operation, wanted: Mapping[str, Sequence[str]]) -> None:
    """Make folders of the user's in volumes, '' for the volume itself: what several instances want
    at once in one go.

    Nothing runs for that: the container that has the volumes is never started.
    """
    with _lock:
        grouped = _grouped.setdefault(operation.repository, Grouped(_put_folders))
    grouped((operation, wanted))


_Folders = tuple[Operation, Mapping[str, Sequence[str]]]
_grouped = WeakKeyDictionary[Repository, Grouped[_Folders]]()
_lock = threading.Lock()


def _put_folders(asked: list[_Folders]) -> None:
    wanted = [one for _, several in asked for one in several.items()]
    inside = [f"v{at}/{part}".rstrip("/") for at, (_, parts) in enumerate(wanted) for part in parts]
    operation = asked[0][0]
    with _helper(operation, [volume for volume, _ in wanted]) as container:
        operation.engine.put(container, "/", folders(inside, uid=os.getuid(), gid=os.getgid()))


def labels(operation: Operation) -> dict[str, str]:
    """Of everything that goes with the instance."""
    return {
        names.LABEL: "layer",
        names.LABEL_PROJECT: operation.project.name,
        names.LABEL_REPOSITORY: operation.repository.key,
        names.LABEL_BESIDE: operation.id,
    }


@contextmanager
def _helper(
    operation: Operation,
    volumes: Iterable[str],
    *,
    sources: Collection[str] = (),
    mounts: tuple[Mount, ...] = (),
) -> Iterator[str]:
    """A container with the volumes at /v0, /v1, ..., those that are `sources` read-only; it is not
    started, and goes with the block."""
    name = operation.names.beside("fill")
    operation.engine.remove(name)  # of a treedock that was killed
    made = operation.engine.create(
        ContainerSpec(
            name=name,
            image=operation.image,
            user=f"{os.getuid()}:{os.getgid()}",
            hostname="",
            ports=(),
            mounts=mounts,
            limits=_LIMITS,
            labels={**labels(operation), names.LABEL_SIDECAR: _FILL},
            volumes=tuple(
                VolumeMount(name, f"/v{at}", read_only=name in sources)
                for at, name in enumerate(volumes)
            ),
            network="none",
        )
    )
    try:
        yield made
    finally:
        operation.engine.remove(made)
