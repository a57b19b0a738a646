"""Data of sidecars whose volumes are gone. `docker volume prune` removes what no container has, and
`docker system prune` first removes the containers that are down."""

from collections.abc import Collection
from pathlib import Path

from runner.adapters.files import disk
from runner.controller.instance.sidecars import data_of, sidecar_key, unreadable
from runner.controller.operation import ProjectWork
from runner.controller.volumes.layers import labels, own_name
from runner.domain.cache.produces import done_keys, products_of


def forget_lost_data(work: ProjectWork) -> None:
    """Name the volumes with data that the record has and the engine lacks, and forget what the
    record says of the data in them: `up` makes the database again. Raises Refused where another
    volume of that name is there, or where what the instance wrote itself is there but not the
    golden state below it."""
    kept = {data_of(work, name): name for name in work.config.sidecars}
    was = {*work.record.data_volumes} & kept.keys() | {
        volume
        for volume, name in kept.items()  # a record of an older treedock does not name them
        if work.record.sidecars.get(name) == sidecar_key(work.config.sidecars[name])
    }
    known = sorted(volume for volume in was if volume)
    there = work.engine.volumes(repository=work.repository.key) if known else []
    gone = [volume for volume in known if volume not in there]
    lost = [volume for volume in gone if not _put_back(work, volume, there)]
    for volume in lost:
        work.engine.ensure_volume(volume, labels(work))  # raises for one that is not treedock's
        work.engine.remove_volume(volume)
        work.warn(f"the volume {volume} with the data of {kept[volume]} is gone; it begins empty")
    if lost:
        lowers = {key: value for key, value in work.record.data_lowers.items() if key not in lost}
        left = tuple(volume for volume in work.record.data_volumes if volume not in lost)
        work.change(data_lowers=lowers, data_volumes=left)
        _forget_reset(work, {name for volume, name in kept.items() if volume in lost})


def _put_back(work: ProjectWork, volume: str, there: Collection[str]) -> bool:
    """Whether a layer above a golden state can be mounted again, because what was written to it is
    there still."""
    lower = work.record.data_lowers.get(volume)
    if lower is None or own_name(volume) not in there:
        return False
    if lower not in there:
        raise unreadable(work, lower)
    work.engine.ensure_overlay(volume, lower, own_name(volume), labels(work))
    return True


def _forget_reset(work: ProjectWork, lost: Collection[str]) -> None:
    """Let `up` reset the database if it was in one of these sidecars, or nothing of any is left;
    and run the set-up steps again that may have written to them."""
    database, steps = work.config.database, work.config.setup
    read = disk.reader(Path(work.record.worktree))
    known = zip(done_keys(steps, read), products_of(steps, read), strict=True)
    stay = tuple(key for key, product in known if product and key in work.record.setup_done)
    work.change(setup_done=stay, ready=False)
    if database is None or work.record.reset_key is None:
        return
    if database.beside in lost or lost == {n for n, s in work.config.sidecars.items() if s.data}:
        work.change(reset_key=None, reset_at=None, reset_begun=False, golden=None)
    elif database.engine == "command" and database.beside not in work.config.sidecars:
        work.warn(f"if the database was there, renew it with: treedock db reset {work.id}")
