"""The cache: snapshots of what set-up steps and resets make, their sizes, and which may go."""

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from runner.adapters.engine.protocol import Filter
from runner.adapters.store import locks
from runner.adapters.store.snapshots import Snapshot
from runner.controller.project import Repository
from runner.domain.cache.cached import Cached
from runner.domain.errors import Damaged, EngineFailed, OtherVersion


def cached(repository: Repository) -> list[Cached]:
    """Every snapshot, the most recently used first."""
    found = repository.snapshots.all()
    sizes = repository.engine.volume_sizes() if found else {}
    return [_cached(repository, snapshot, sizes) for snapshot in found]


def prune(
    repository: Repository, *, older_than: float | None = None, max_size: int | None = None
) -> list[Cached]:
    """Remove what was not used for `older_than` seconds, and the least recently used until the
    rest has `max_size` bytes, with 0 all; never what an instance has mounted. Returns what went."""
    kept = cached(repository)
    total, gone = sum(one.size for one in kept), []
    now = time.time()
    for one in reversed(kept):
        old = older_than is not None and now - repository.snapshots.used_at(one.key) > older_than
        large = max_size is not None and (total > max_size or max_size == 0)
        if (old or large) and _remove(repository, one.key):
            total -= one.size
            gone.append(one)
    return gone


def leftover_volumes(repository: Repository) -> list[str]:
    """Volumes of snapshots that were never finished, or half removed, and that no process is at.
    Empty where a record cannot be read: it may name any of them."""
    if not _are_all_readable(repository):
        return []
    found = repository.engine.volumes(Filter(repository=repository.key, cache="snapshot"))
    # In this order: whoever makes one writes its record before it lets go of the lock.
    free = [name for name in sorted(found) if not _is_made(repository, name)]
    named = {v for one in repository.snapshots.all() for v in one.volumes.values()}
    for record in repository.records.all():  # also of a snapshot whose record was lost
        named |= {*record.lowers.values(), *record.data_lowers.values()}
    return [name for name in free if name not in named]


def remove_leftover_volumes(repository: Repository) -> None:
    for name in leftover_volumes(repository):
        with suppress(EngineFailed):  # in use by the container of one who just died
            repository.engine.remove_volume(name)
    snapshots = repository.snapshots
    for key in snapshots.keys_of_files():
        if not locks.is_held(snapshots.lock(key)) and key not in snapshots.recorded():
            snapshots.remove(key)


def _are_all_readable(repository: Repository) -> bool:
    """Whether every record of a snapshot and of an instance can be read."""
    snapshots, records = repository.snapshots, repository.records
    try:
        for key in snapshots.recorded():
            snapshots.require_readable(key)
        for instance in records.ids():
            records.read(instance)
    except (Damaged, OtherVersion):
        return False
    return True


def _cached(repository: Repository, snapshot: Snapshot, sizes: dict[str, int]) -> Cached:
    used = datetime.fromtimestamp(repository.snapshots.used_at(snapshot.key), UTC)
    return Cached(
        key=snapshot.key,
        step=snapshot.step,
        size=sum(sizes.get(volume, 0) for volume in snapshot.volumes.values())
        + repository.snapshots.file_size(snapshot.key),
        used_by=len(_users(repository, snapshot.key)),
        created_at=snapshot.created_at,
        used_at=used.strftime("%Y-%m-%dT%H:%M:%SZ"),
        unfit=snapshot.unfit,
    )


def _users(repository: Repository, key: str) -> set[str]:
    """The containers, running or not, for which it is claimed; a container has several folders."""
    found = repository.engine.volumes(Filter(repository=repository.key, lower=key))
    return {re.sub(r"\.[0-9a-f]{8}\.own$", "", name) for name in found}


def _remove(repository: Repository, key: str) -> bool:
    """Whether it went. Its record goes first: what is half removed counts for nothing."""
    snapshots = repository.snapshots
    if locks.is_held(snapshots.lock(key)):
        return False
    with locks.hold(snapshots.lock(key)):
        snapshot = snapshots.read(key)
        if snapshot is None or _users(repository, key):
            return False
        snapshots.remove(key)
        for volume in repository.engine.volumes(Filter(repository=repository.key, snapshot=key)):
            with suppress(EngineFailed):  # doctor finds what is left
                repository.engine.remove_volume(volume)
    return True


def _is_made(repository: Repository, volume: str) -> bool:
    """Whether someone is making the snapshot that this volume is for, right now."""
    part = re.search(r"-snapshot-([0-9a-f]{12})-", volume)
    return part is not None and any(map(locks.is_held, _locks(repository, part[1])))


def _locks(repository: Repository, part: str) -> Iterator[Path]:
    lock = repository.snapshots.lock(f"{part}*")
    return lock.parent.glob(lock.name)
