"""What set-up steps make, as snapshots: which one fits, and having it in an instance."""

import os
import platform
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from runner.adapters.engine.protocol import Filter
from runner.adapters.files import disk, untrusted
from runner.adapters.store import locks
from runner.adapters.store.snapshots import Snapshot
from runner.controller.operation import Operation
from runner.controller.project import Repository
from runner.controller.volumes.layers import claim, copy_into, ensure_layers
from runner.domain.cache.managers import lead_here
from runner.domain.cache.produces import (
    Product,
    Read,
    below_home,
    done_key,
    kin_key,
    products_of,
    snapshot_key,
)
from runner.domain.config.sections import Step
from runner.domain.frozen import dataclass


@dataclass(frozen=True)
class Steps:
    """The set-up steps as the files in a checkout decide them. `ground` is what they run on."""

    steps: list[Step]
    products: list[Product | None]
    read: Read
    shared: str

    def key(self, number: int) -> str:
        """The snapshot of what that step makes."""
        return snapshot_key(self.steps, number, self.products, self.read, self.shared)

    def kin(self, number: int) -> str:
        """What snapshots have in common that differ in lock files only."""
        return kin_key(self.steps[number], self.product(number), self.shared)

    def done(self, number: int) -> str:
        """What the record says when the step needs not run."""
        return done_key(self.steps[number], self.product(number), self.read)

    def product(self, number: int) -> Product:
        product = self.products[number]
        assert product is not None
        return product


def steps_read(operation: Operation, read: Read) -> Steps:
    """The steps with the files that `read` gives."""
    steps = operation.config.setup
    user = f"{os.getuid()}:{os.getgid()}"
    given = sorted(operation.config.env.set_.items())
    shared = f"{operation.engine.image(operation.image)} {platform.machine()} {user} {given}"
    products = products_of(steps, read)
    if lead_here({**operation.env_file(), **operation.config.env.set_}):
        named = (step.produces is not None for step in steps)
        products = [one if it else None for one, it in zip(products, named, strict=True)]
    return Steps(steps, products, read, shared)


def steps_of(operation: Operation) -> Steps:
    """The steps with the instance's files as they are now."""
    return steps_read(operation, untrusted.reader(Path(operation.record.worktree)))


def open_numbers(operation: Operation, steps: Steps) -> Iterator[int]:
    """The steps for which it is open where their product comes from: nothing is mounted there,
    and nothing lies there that a mount would hide. What a copy that was cut off left is nothing."""
    worktree = Path(operation.record.worktree)
    for number, product in enumerate(steps.products):
        if product and not set(product.paths) & operation.record.mounts.keys():
            paths = set(product.paths) - set(operation.record.copying)
            kinds = {untrusted.kind(worktree, path) for path in paths}
            filled = any(untrusted.holds_anything(worktree / path, worktree) for path in paths)
            if kinds <= {"absent", "folder"} and not filled:
                yield number


def whole(repository: Repository, key: str) -> Snapshot | None:
    """The snapshot if the engine still has all of it, and it is this repository's: a copy of a
    repository has records of the other's."""
    found = repository.snapshots.read(key)
    if found is None:
        return None
    there = repository.engine.volumes(Filter(repository=repository.key, snapshot=key))
    return found if set(found.volumes.values()) <= set(there) else None


def take(operation: Operation, snapshot: Snapshot, supplied: str | None) -> None:
    """Have the snapshot in the instance: from now on it is in use. The snapshot's lock is held.

    `supplied` is the step that need not run for it; None where it is only somewhere to start.
    """
    record = operation.record
    free = snapshot.volumes.keys() - record.mounts.keys()  # steps may share a download cache
    mounts = {path: claim(operation, path, snapshot.key) for path in sorted(free)}
    lowers = {mounts[path]: snapshot.volumes[path] for path in mounts}
    operation.repository.snapshots.touch(snapshot.key)
    operation.change(
        mounts=record.mounts | mounts,
        lowers=record.lowers | lowers,
        supplied=(*record.supplied, *([supplied] if supplied else [])),
    )


def take_copy(operation: Operation, snapshot: Snapshot, supplied: str | None) -> None:
    """The same, with the folders of the worktree as copies there, for everybody to see."""
    copied = {path: v for path, v in snapshot.volumes.items() if below_home(path) is None}
    operation.change(copying=tuple(copied))
    with operation.step(f"copying {' and '.join(copied)}"):
        copy_into(operation, copied)
    rest = {path: v for path, v in snapshot.volumes.items() if path not in copied}
    take(operation, replace(snapshot, volumes=rest), supplied)
    operation.change(copying=())


def take_known(operation: Operation, steps: Steps) -> None:
    """Have every snapshot in the instance that is there already."""
    snapshots = operation.repository.snapshots
    for number in open_numbers(operation, steps):
        with locks.hold(snapshots.lock(steps.key(number))):
            found = whole(operation.repository, steps.key(number))
            if found and not found.unfit:
                take(operation, found, steps.done(number))


def ensure_mounted(operation: Operation) -> None:
    """The mount points in the worktree and the volumes. Raises Refused where something else lies
    there."""
    for path in operation.record.mounts:
        home = below_home(path)
        if home is None:
            disk.ensure_folder_below(Path(operation.record.worktree), path)
        else:
            disk.ensure_folder_below(operation.folder.home, home)
    ensure_layers(operation)
