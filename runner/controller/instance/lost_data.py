"""Data of sidecars whose volumes are gone. `docker volume prune` removes what no container has, and
`docker system prune` first removes the containers that are down."""

from collections.abc import Collection
from pathlib import Path

from runner.adapters.engine.protocol import Filter
from runner.adapters.files import untrusted
from runner.controller.instance.sidecars import data_of, sidecar_key, unreadable
from runner.controller.operation import Operation
from runner.controller.volumes.layers import labels
from runner.domain.cache.produces import done_keys, products_of
from runner.domain.instance.names import own_volume


def forget_lost_data(operation: Operation) -> None:
    """Name the volumes with data that the record has and the engine lacks, and forget what the
    record says of the data in them: `up` makes the database again. Raises Refused where another
    volume of that name is there, or where what the instance wrote itself is there but not the
    golden state below it."""
    kept = {data_of(operation, name): name for name in operation.config.sidecars}
    was = {*operation.record.data_volumes} & kept.keys() | {
        volume
        for volume, name in kept.items()  # a record of an older treedock does not name them
        if operation.record.sidecars.get(name) == sidecar_key(operation.config.sidecars[name])
    }
    known = sorted(volume for volume in was if volume)
    there = operation.engine.volumes(Filter(repository=operation.repository.key)) if known else []
    gone = [volume for volume in known if volume not in there]
    lost = [volume for volume in gone if not _put_back(operation, volume, there)]
    for volume in lost:
        operation.engine.ensure_volume(
            volume, labels(operation)
        )  # raises for one that is not treedock's
        operation.engine.remove_volume(volume)
        operation.warn(
            f"the volume {volume} with the data of {kept[volume]} is gone; it begins empty"
        )
    if lost:
        lowers = {
            key: value for key, value in operation.record.data_lowers.items() if key not in lost
        }
        left = tuple(volume for volume in operation.record.data_volumes if volume not in lost)
        operation.change(data_lowers=lowers, data_volumes=left)
        _forget_reset(operation, {name for volume, name in kept.items() if volume in lost})


def _put_back(operation: Operation, volume: str, there: Collection[str]) -> bool:
    """Whether a layer above a golden state can be mounted again, because what was written to it is
    there still."""
    lower = operation.record.data_lowers.get(volume)
    if lower is None or own_volume(volume) not in there:
        return False
    if lower not in there:
        raise unreadable(operation, lower)
    operation.engine.ensure_overlay(volume, lower, own_volume(volume), labels(operation))
    return True


def _forget_reset(operation: Operation, lost: Collection[str]) -> None:
    """Let `up` reset the database if it was in one of these sidecars, or nothing of any is left;
    and run the set-up steps again that may have written to them."""
    database, steps = operation.config.database, operation.config.setup
    read = untrusted.reader(Path(operation.record.worktree))
    known = zip(done_keys(steps, read), products_of(steps, read), strict=True)
    stay = tuple(key for key, product in known if product and key in operation.record.setup_done)
    operation.change(setup_done=stay, ready=False)
    if database is None or operation.record.reset_key is None:
        return
    if database.beside in lost or lost == {
        n for n, s in operation.config.sidecars.items() if s.data
    }:
        operation.change(reset_key=None, reset_at=None, reset_begun=False, golden=None)
    elif database.engine == "command" and database.beside not in operation.config.sidecars:
        operation.warn(
            f"if the database was there, renew it with: treedock db reset {operation.id}"
        )
