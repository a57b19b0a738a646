"""Free space, watched while a verb is active: ext4 has no quota that a container would meet, so
the instance that fills an almost full disk is paused."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from runner.adapters.engine import cgroups
from runner.adapters.engine.protocol import Filter
from runner.adapters.files import disk
from runner.adapters.store.records import Records
from runner.controller.project import Project
from runner.controller.world import observe
from runner.domain.errors import RunnerError
from runner.domain.events import Emit, Warned
from runner.domain.frozen import dataclass
from runner.domain.instance.names import is_throwaway
from runner.domain.instance.world import World

INTERVAL = 5.0  # seconds between two looks at the free space
GAP = 1.0  # seconds in which it is seen who writes, once there is too little of it
PATIENCE = 20.0  # seconds to count what an instance has on the disk
QUIET = 16 * 2**20  # bytes that a machine at rest may write between two looks

Written = Mapping[str, int | None]
"""Bytes by instance, throwaway ones too; None is unknown."""


@dataclass(frozen=True)
class Look:
    """`free`: bytes on the disk; `written`: by every instance that runs."""

    free: int
    written: Written


@contextlib.contextmanager
def space_watched(
    project: Project,
    emit: Emit,
    interval: float = INTERVAL,
    written: Callable[[Project], Written] | None = None,
    free: Callable[[], int] | None = None,
) -> Iterator[None]:
    """Until the block ends, pause the instance that writes most whenever less than
    limits.disk_free is left. Its paused state is what `status` shows; `up` starts it again.

    `interval` in seconds; `written` and `free` measure.
    """
    ended = threading.Event()
    measure = written or written_by_instances
    left = free or (lambda: disk.free_bytes(project.repository.checkout))

    def look() -> Look:
        with contextlib.suppress(RunnerError, OSError):  # the verb itself meets such errors
            return Look(left(), measure(project))
        return Look(0, {})

    def watch() -> None:
        while not ended.wait(interval):
            if left() >= project.config.limits.disk_free:
                continue
            before = look()
            if not ended.wait(min(interval, GAP)):
                _pause(project, emit, blamed(before, look()), left())

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    finally:
        ended.set()
        watching.join()


@dataclass(frozen=True)
class Blame:
    """Which instances are to be paused, and why; none of them where nothing is being written."""

    instances: tuple[str, ...]
    why: str


def blamed(before: Look, now: Look) -> Blame:
    """The instance that wrote most, where what they wrote is at least half of what the disk lost;
    else all of them, as any could be the one."""
    lost = before.free - now.free
    shares = {
        name: max(0, count - earlier)
        for name, count in now.written.items()
        if count is not None and (earlier := before.written.get(name)) is not None
    }
    most = max(shares, key=lambda name: shares[name], default=None)
    if most and shares[most] and 2 * sum(shares.values()) >= lost:
        return Blame((most,), "and it wrote most")
    if lost > QUIET:
        return Blame(tuple(sorted(now.written)), "no instance explains the loss, so all are paused")
    return Blame((), "")


def written_by_instances(project: Project) -> Written:
    """What counts the dead too: the kernel's own count where it has one for the container, else
    the size of all that an instance can write to."""
    engine, world = project.repository.engine, observe(project.repository)
    if world.silent:
        raise world.silent
    running = world.running()
    counts = {name: [cgroups.written(c.id) for c in its] for name, its in running.items()}
    known = {name: [n for n in count if n is not None] for name, count in counts.items()}
    if all(len(known[name]) == len(count) for name, count in counts.items()):
        return {name: sum(count) for name, count in known.items()}
    layers, volumes = engine.layer_sizes(), engine.volume_sizes()
    return {
        name: _size(project, name, world, [layers.get(c.id, 0) for c in its], volumes)
        for name, its in running.items()
    }


def _size(
    project: Project, instance: str, world: World, layers: list[int], volumes: Mapping[str, int]
) -> int | None:
    """Bytes of the worktree, treedock's folder, the layers and the volumes of an instance."""
    repository = project.repository
    own = repository.engine.volumes(Filter(repository=repository.key, beside=instance))
    files = disk.used_bytes(_folders(project, instance, world), PATIENCE)
    if files is None:
        return None
    return files + sum(layers) + sum(volumes.get(name, 0) for name in own)


def _folders(project: Project, instance: str, world: World) -> list[Path]:
    records = project.repository.records
    if is_throwaway(instance):  # its worktree is in there
        return [Records(project.repository.common_dir, "gates").folder(instance)]
    record = world.records.get(instance)
    return [records.folder(instance), *([Path(record.worktree)] if record else ())]


def _pause(project: Project, emit: Emit, blame: Blame, free: int) -> None:
    engine = project.repository.engine
    for name in blame.instances:
        with contextlib.suppress(RunnerError, OSError):
            for container in observe(project.repository).of(name):
                if is_throwaway(name):
                    engine.remove(container.id)  # of a test: who waits for it sees the end
                elif container.status == "running":
                    engine.pause(container.id)
            emit(Warned(f"paused: only {free / 2**30:.1f} GiB are free, {blame.why}"), name)
