"""Sidecars: containers in an instance's network namespace, and the volumes that hold their data.

Their life follows the instance's container: a namespace is gone with the container that owns it,
so whatever joined it has to start again together with it.
"""

import contextlib
import hashlib
import json
import shlex
import time
from dataclasses import asdict

from runner.adapters import cancellation
from runner.adapters.engine.protocol import Exec, Filter
from runner.adapters.store import locks
from runner.controller.instance import images
from runner.controller.operation import Operation
from runner.controller.parallel import map_parallel
from runner.controller.volumes.layers import claim_data, data_mounts, make_data_layer
from runner.controller.volumes.snapshots import whole
from runner.domain.config.sections import Sidecar
from runner.domain.errors import CommandFailed, EngineFailed, Refused
from runner.domain.instance import container as names
from runner.domain.instance.container import Container, ContainerSpec, VolumeMount
from runner.domain.instance.container import Limits as ContainerLimits
from runner.domain.instance.listening import listeners
from runner.domain.text import with_last_lines

STOP_TIMEOUT = 10  # seconds; a database writes down what it has in memory
DOWN_TIMEOUT = 5  # seconds; `down` has ten for everything
GLANCE = 0.05  # seconds between two looks
LAST_LINES = 20
READY = "treedock-ready"  # in images of treedock's own: ends with 0 once it can be used

# What the entrypoints of registries' images need to give their data to a user of their own.
CAPABILITIES = ("CHOWN", "SETUID", "SETGID", "FOWNER", "DAC_OVERRIDE")


def require_own_data(operation: Operation) -> None:
    """Two servers on the same data would spoil it: raises Refused where a container that is no
    sidecar of the instance's runs on what one of them left."""
    kept = [name for name in operation.record.sidecars if name in operation.config.sidecars]
    running = {name for name, one in operation.sidecars().items() if one.is_up} if kept else set()
    for name in (name for name in kept if name not in running):
        others = operation.engine.users(operation.names.beside(name))
        if others:
            raise Refused(
                f"{operation.id}: the data of {name} is in use by the container {others[0]}.",
                hint="Did Compose start it? Stop that first (docker compose down), then: "
                f"treedock up {operation.id}",
            )


def require_no_leftover_volumes(operation: Operation) -> None:
    """Data of an earlier instance of this name, which its `clean` could not remove, goes before a
    new one could take it for its own. Raises Refused where someone uses it."""
    if volumes_of(operation):
        remove_sidecars(operation)
    for name in volumes_of(operation):
        raise Refused(
            f"There is data of an earlier {operation.id} that cannot be removed: the volume "
            f"{name}.",
            hint=f"See who uses it: docker ps --all --filter volume={name}. Or take another id.",
        )


def require_sole_user(operation: Operation) -> None:
    """Raises Refused where a container that is not the instance's runs on its data."""
    container = operation.container()
    own = {one.name for one in (container, *operation.sidecars().values()) if one}
    for name in volumes_of(operation):
        others = [user for user in operation.engine.users(name) if user not in own]
        if others:
            raise Refused(
                f"{operation.id}: its data is in use by the container {others[0]}.",
                hint="Did Compose start it? Stop that first: docker compose down",
            )


def ensure_sidecars(
    operation: Operation,
    owner: str,
    *,
    fresh: bool,
    golden: str = "",
) -> bool:
    """Ensure that the wanted sidecars run in the namespace of the container `owner` and are
    ready; others go, their data stays. `fresh`: the owner has just been started. `golden` is the
    key of the state that the database begins with, where it has no data yet.

    Returns whether any was started. Raises CommandFailed for one that ends or stays silent.
    """
    wanted, found = operation.config.sidecars, operation.sidecars()
    published = tuple(sidecar.publish for sidecar in wanted.values() if sidecar.publish)
    keys = {name: sidecar_key(sidecar) for name, sidecar in wanted.items()}
    for name in found.keys() - wanted.keys():
        with operation.step(f"removing {name}"):
            operation.engine.remove(found[name].id)
    started: dict[str, str] = {}
    for name, sidecar in wanted.items():
        image = images.ensure_sidecar_image(operation.project, sidecar, operation.emit)
        if operation.config.database and operation.config.database.beside == name:
            _ensure_layer(operation, name, golden)
        spec = wanted_sidecar(operation, name, owner, image)
        there = found.get(name)
        if there and there.labels.get(names.LABEL_SPEC) == spec.fingerprint:
            if there.status == "running" and not fresh:
                continue
            if there.is_up:
                operation.engine.stop(there.id, STOP_TIMEOUT)
            started[name] = there.id
        else:
            if sidecar.data and operation.record.sidecars.get(name, keys[name]) != keys[name]:
                operation.say(
                    f"{name} has changed; its data stays, with the users, passwords and databases "
                    f"in it (new ones: treedock clean {operation.id}, then up)"
                )
            started[name] = _recreate(operation, spec, there)
    made = tuple(sorted(filter(None, (data_of(operation, name) for name in wanted))))
    if operation.record.data_volumes != made:
        operation.change(data_volumes=made)
    for name, container in started.items():
        with operation.step(f"starting {name}"):
            operation.engine.start(container)
    if (operation.record.sidecars, operation.record.sidecar_ports) != (keys, published):
        operation.change(sidecars=keys, sidecar_ports=published)
    for name in started if operation.record.ready else wanted:
        await_ready(operation, owner, name)
    return bool(started)


def data_of(operation: Operation, name: str) -> str | None:
    """The volume with the data of a sidecar, None where it keeps none or is none."""
    sidecar = operation.config.sidecars.get(name)
    return operation.names.beside(name) if sidecar and sidecar.data else None


def _ensure_layer(operation: Operation, name: str, golden: str) -> None:
    """Have the data of a sidecar that has none yet above the golden state, if there is one."""
    volume = data_of(operation, name)
    if volume is None or volume in volumes_of(operation):
        return
    lower = _claimed(operation, volume, golden) if golden else None
    others = {key: value for key, value in operation.record.data_lowers.items() if key != volume}
    lowers = others | ({volume: lower} if lower else {})
    if lowers != operation.record.data_lowers:
        operation.change(data_lowers=lowers)
    if lower:
        with operation.step("taking the golden state"):
            make_data_layer(operation, volume, lower)


def _claimed(operation: Operation, volume: str, golden: str) -> str | None:
    """The volume of the golden state, which no one removes any more; None where it is gone."""
    snapshots = operation.repository.snapshots
    with locks.hold(snapshots.lock(golden)):
        found = whole(operation.repository, golden)
        if found is None or "" not in found.volumes:
            return None
        claim_data(operation, volume, golden)
        snapshots.touch(golden)
        return found.volumes[""]


def sidecar_key(sidecar: Sidecar) -> str:
    """Changes exactly when a sidecar would have to be made again."""
    text = json.dumps({**asdict(sidecar), "ready": None}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def stop_sidecars(operation: Operation) -> bool:
    """Stop those that run. Returns whether any did."""
    running = [one.id for one in operation.sidecars().values() if one.is_up]
    map_parallel(lambda one: operation.engine.stop(one, DOWN_TIMEOUT), running)
    return bool(running)


def restart_sidecar(operation: Operation, owner: str, name: str) -> None:
    """Stop and start one of a running instance, and wait until it is ready; its data stays.
    Raises Refused where there is none yet, CommandFailed."""
    there = operation.sidecars().get(name)
    if there is None:
        raise Refused(
            f"The sidecar {name} of {operation.id} is not there yet.",
            hint=f"Start it with: treedock up {operation.id}",
        )
    with operation.step(f"restarting {name}"):
        operation.engine.stop(there.id, STOP_TIMEOUT)
        operation.engine.start(there.id)
    await_ready(operation, owner, name)


def remove_sidecars(operation: Operation) -> list[str]:
    """Remove all of them and their data; returns what was removed."""
    removed = []
    for one in operation.sidecars().values():
        operation.engine.remove(one.id)
        removed.append(f"container {one.name}")
    for name in volumes_of(operation):
        with contextlib.suppress(EngineFailed):  # in use by a container that is no sidecar
            operation.engine.remove_volume(name)
            removed.append(f"volume {name}")
    return removed


def volumes_of(operation: Operation) -> list[str]:
    """The volumes that go with it: its sidecars' data, and what it wrote above snapshots."""
    return sorted(
        operation.engine.volumes(Filter(repository=operation.repository.key, beside=operation.id))
    )


def wanted_sidecar(operation: Operation, name: str, owner: str, image: str) -> ContainerSpec:
    """The container that today's configuration asks for, beside the container `owner`."""
    sidecar, limits = operation.config.sidecars[name], operation.config.limits
    command = sidecar.command or []
    labels = {
        names.LABEL: "sidecar",
        names.LABEL_PROJECT: operation.project.name,
        names.LABEL_REPOSITORY: operation.project.repository.key,
        names.LABEL_BESIDE: operation.id,
        names.LABEL_SIDECAR: name,
    }
    volume = operation.names.beside(name)
    return ContainerSpec(
        name=volume,
        image=image,
        user="",
        hostname="",
        ports=(),
        mounts=(),
        limits=ContainerLimits(limits.memory, limits.cpus, limits.pids),
        environment=sidecar.env,
        labels=labels,
        capabilities=() if sidecar.is_own else CAPABILITIES,
        volumes=(VolumeMount(volume, sidecar.data), *data_mounts(operation, volume))
        if sidecar.data
        else (),
        inside=owner,
        command=tuple(shlex.split(command) if isinstance(command, str) else command),
    )


def _recreate(operation: Operation, spec: ContainerSpec, found: Container | None) -> str:
    if found:
        if found.is_up:
            operation.engine.stop(found.id, STOP_TIMEOUT)
        operation.engine.remove(found.id)
    below = {volume.name for volume in spec.volumes if volume.read_only}
    lost = (
        below - set(operation.engine.volumes(Filter(repository=operation.repository.key)))
        if below
        else ()
    )
    for name in sorted(lost):
        raise unreadable(operation, name)
    for volume in spec.volumes:
        if volume.name not in below:
            operation.engine.ensure_volume(volume.name, spec.labels)
    return operation.engine.create(spec)


def unreadable(operation: Operation, lower: str) -> Refused:
    """The golden state in the volume `lower` is gone from below the instance's data."""
    return Refused(
        f"{operation.id}: the volume {lower}, above which its data lies, is gone.",
        hint=f"That data cannot be read without it. Begin again: treedock clean {operation.id}, "
        "then up",
    )


def await_ready(operation: Operation, owner: str, name: str) -> None:
    """Wait until it can be used. Raises CommandFailed."""
    sidecar = operation.config.sidecars[name]
    with operation.step(f"waiting for {name}"):
        deadline = time.monotonic() + sidecar.ready.timeout
        while True:
            there = operation.sidecars().get(name)
            if there is None or there.status != "running":
                raise _failed(operation, there, name, "ended")
            if _is_ready(operation, owner, there, sidecar):
                return
            if time.monotonic() > deadline:
                said = f"was not ready within {sidecar.ready.timeout:g} s"
                raise _failed(operation, there, name, said)
            cancellation.sleep(GLANCE)


def _is_ready(operation: Operation, owner: str, there: Container, sidecar: Sidecar) -> bool:
    if sidecar.is_own:
        try:
            return operation.engine.exec(there.id, Exec([READY])).exit_code == 0
        except EngineFailed:  # it ended meanwhile, which the next look tells
            return False
    if sidecar.port is None:
        return True
    tables = operation.engine.exec(owner, Exec(["cat", "/proc/net/tcp", "/proc/net/tcp6"])).output
    return any(port == sidecar.port for _, port in listeners(tables.decode(errors="replace")))


def _failed(operation: Operation, there: Container | None, name: str, what: str) -> CommandFailed:
    lines = operation.engine.last_lines(there.id, LAST_LINES) if there else []
    return CommandFailed(
        with_last_lines(f"{operation.id}: the sidecar {name} {what}.", lines),
        hint=f"The whole log: treedock logs {operation.id} {name}. Fix sidecars.{name} in "
        f"treedock.yaml and run again: treedock up {operation.id}",
    )
