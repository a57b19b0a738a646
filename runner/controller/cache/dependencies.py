"""What a new instance starts with of what its set-up steps make: the snapshot of a clean run,
mounted copy-on-write, so that the step need not run."""

from contextlib import suppress

from runner.adapters.store import locks
from runner.adapters.store.snapshots import Snapshot
from runner.controller.cache.build import made_clean
from runner.controller.cache.prune import prune
from runner.controller.operation import Operation
from runner.controller.volumes.layers import drop_layers, is_lost
from runner.controller.volumes.snapshots import (
    Steps,
    ensure_mounted,
    open_numbers,
    steps_of,
    take,
    take_copy,
    whole,
)
from runner.domain.errors import EngineFailed


def ensure_dependencies(operation: Operation) -> None:
    """Ensure that what the container mounts of snapshots is there, before it is made.

    Which they are is decided for a new instance, once; a lock file that changes later has the
    step run in the instance, whose writes stay its own.
    """
    if not operation.config.setup:
        return
    if is_lost(operation):
        operation.warn("volumes with its dependencies are gone; they are made anew")
        drop_layers(operation)
    if not operation.record.setup_done:
        steps = steps_of(operation)
        for number in open_numbers(operation, steps):
            supplied = _supplied(operation, number, steps)
            # Not a gate: pip and poetry remove nothing that the nearest has too much.
            if not supplied and not operation.throwaway:
                _start_near(operation, number, steps)
        if operation.record.copying:  # of a step that does not copy any more: what is there stays
            operation.change(copying=())
    ensure_mounted(operation)


def _supplied(operation: Operation, number: int, steps: Steps) -> bool:
    """Take the snapshot that fits exactly, made now where there is none. Whoever waited while
    another one tried in vain does not try again. False where there may be one to start from."""
    snapshots, key = operation.repository.snapshots, steps.key(number)
    waited: list[str] = []
    with locks.hold(snapshots.lock(key), waiting=waited.append):
        there = found = whole(operation.repository, key)
        if found is None and not waited:
            found = made_clean(operation, number, steps)
        if found and not found.unfit:
            _have(operation, number, steps, found, steps.done(number))
    if found and not there:
        with suppress(EngineFailed):  # it counts for one at a time; the next one prunes
            prune(operation.repository, max_size=operation.config.limits.cache)
    return found is not None


def _start_near(operation: Operation, number: int, steps: Steps) -> None:
    """The step will run in the instance; let it begin with what another lock file gave."""
    snapshots, kin = operation.repository.snapshots, steps.kin(number)
    for near in snapshots.all():
        if near.kin == kin and not near.unfit:
            with locks.hold(snapshots.lock(near.key)):
                found = whole(operation.repository, near.key)
                if found:
                    _have(operation, number, steps, found, None)
                    return


def _have(
    operation: Operation,
    number: int,
    steps: Steps,
    found: Snapshot,
    supplied: str | None,
) -> None:
    if steps.steps[number].visible and not operation.throwaway:
        take_copy(operation, found, supplied)
    else:
        take(operation, found, supplied)
