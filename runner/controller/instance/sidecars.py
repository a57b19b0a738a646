"""Sidecars: containers in an instance's network namespace, and the volumes that hold their data.

Their life follows the instance's container: a namespace is gone with the container that owns it,
so whatever joined it has to start anew together with it.
"""

import contextlib
import hashlib
import json
import shlex
import time
from pathlib import Path

from runner.adapters.engine.protocol import Container
from runner.adapters.store import locks
from runner.adapters.store.snapshots import Snapshot
from runner.controller.instance import images
from runner.controller.operation import ProjectWork, Work
from runner.controller.parallel import side_by_side
from runner.controller.volumes.layers import claim_data, data_mounts, make_data_layer
from runner.controller.volumes.snapshots import whole
from runner.domain.config.model import Sidecar
from runner.domain.errors import CommandFailed, EngineFailed, Refused
from runner.domain.instance import container as names
from runner.domain.instance.container import ContainerSpec, VolumeMount
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


def require_own_data(work: ProjectWork) -> None:
    """Two servers on the same data would spoil it: raises Refused where a container that is no
    sidecar of the instance's runs on what one of them left."""
    kept = [name for name in work.record.sidecars if name in work.config.sidecars]
    running = {name for name, one in work.sidecars().items() if one.is_up} if kept else set()
    for name in (name for name in kept if name not in running):
        others = work.engine.users(f"{work.container_name}.{name}")
        if others:
            raise Refused(
                f"{work.id}: the data of {name} is in use by the container {others[0]}.",
                hint="Did Compose start it? Stop that first (docker compose down), then: "
                f"treedock up {work.id}",
            )


def require_nothing_left(work: Work) -> None:
    """Data of an earlier instance of this name, which its `clean` could not remove, goes before a
    new one could take it for its own. Raises Refused where somebody uses it."""
    if volumes_of(work):
        remove_sidecars(work)
    for name in volumes_of(work):
        raise Refused(
            f"There is data of an earlier {work.id} that cannot be removed: the volume {name}.",
            hint=f"See who uses it: docker ps --all --filter volume={name}. Or take another id.",
        )


def require_nobody_else(work: Work) -> None:
    """Raises Refused where a container that is not the instance's runs on its data."""
    container = work.container()
    own = {one.name for one in (container, *work.sidecars().values()) if one}
    for name in volumes_of(work):
        others = [user for user in work.engine.users(name) if user not in own]
        if others:
            raise Refused(
                f"{work.id}: its data is in use by the container {others[0]}.",
                hint="Did Compose start it? Stop that first: docker compose down",
            )


def ensure_sidecars(
    work: ProjectWork,
    owner: str,
    *,
    fresh: bool,
    authority: Path | None,
    golden: Snapshot | None = None,
) -> bool:
    """See to it that the wanted sidecars run in the namespace of the container `owner` and are
    ready; others go, their data stays. `fresh`: the owner has just been started. `golden` is what
    the database begins with, where it has no data yet.

    Returns whether any was started. Raises CommandFailed for one that ends or stays silent.
    """
    wanted, found = work.config.sidecars, work.sidecars()
    published = tuple(sidecar.publish for sidecar in wanted.values() if sidecar.publish)
    keys = {name: sidecar_key(sidecar) for name, sidecar in wanted.items()}
    for name in found.keys() - wanted.keys():
        with work.step(f"removing {name}"):
            work.engine.remove(found[name].id)
    started: dict[str, str] = {}
    for name, sidecar in wanted.items():
        image = images.ensure_sidecar_image(work.engine, sidecar, authority, work.emit)
        if work.config.database and work.config.database.beside == name:
            _ensure_layer(work, name, golden, image)
        spec = wanted_sidecar(work, name, owner, image)
        there = found.get(name)
        if there and there.labels.get(names.LABEL_SPEC) == spec.fingerprint:
            if there.status == "running" and not fresh:
                continue
            if there.is_up:
                work.engine.stop(there.id, STOP_TIMEOUT)
            started[name] = there.id
        else:
            if sidecar.data and work.record.sidecars.get(name, keys[name]) != keys[name]:
                work.say(
                    f"{name} has changed; its data stays, with the users, passwords and databases "
                    f"in it (new ones: treedock clean {work.id}, then up)"
                )
            started[name] = _recreate(work, spec, there)
    made = tuple(sorted(filter(None, (data_of(work, name) for name in wanted))))
    if work.record.data_volumes != made:
        work.change(data_volumes=made)
    for name, container in started.items():
        with work.step(f"starting {name}"):
            work.engine.start(container)
    if (work.record.sidecars, work.record.sidecar_ports) != (keys, published):
        work.change(sidecars=keys, sidecar_ports=published)
    for name in started if work.record.ready else wanted:
        await_ready(work, owner, name)
    return bool(started)


def data_of(work: ProjectWork, name: str) -> str | None:
    """The volume with the data of a sidecar, None where it keeps none or is none."""
    sidecar = work.config.sidecars.get(name)
    return f"{work.container_name}.{name}" if sidecar and sidecar.data else None


def _ensure_layer(work: ProjectWork, name: str, golden: Snapshot | None, image: str) -> None:
    """Have the data of a sidecar that has none yet above the golden state, if there is one."""
    volume = data_of(work, name)
    if volume is None or volume in volumes_of(work):
        return
    lower = _claimed(work, volume, golden) if golden else None
    others = {key: value for key, value in work.record.data_lowers.items() if key != volume}
    lowers = others | ({volume: lower} if lower else {})
    if lowers != work.record.data_lowers:
        work.change(data_lowers=lowers)
    if lower:
        with work.step("taking the golden state"):
            make_data_layer(work, volume, lower, image)


def _claimed(work: ProjectWork, volume: str, golden: Snapshot) -> str | None:
    """The volume of the golden state, which nobody removes any more; None where it is gone."""
    snapshots = work.repository.snapshots
    with locks.hold(snapshots.lock(golden.key)):
        found = whole(work.repository, golden.key)
        if found is None or "" not in found.volumes:
            return None
        claim_data(work, volume, golden.key)
        snapshots.touch(golden.key)
        return found.volumes[""]


def sidecar_key(sidecar: Sidecar) -> str:
    """Changes exactly when a sidecar would have to be made anew."""
    text = json.dumps(sidecar.model_dump(exclude={"ready"}), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def stop_sidecars(work: Work) -> bool:
    """Stop those that run. Returns whether any did."""
    running = [one.id for one in work.sidecars().values() if one.is_up]
    side_by_side(lambda one: work.engine.stop(one, DOWN_TIMEOUT), running)
    return bool(running)


def restart_sidecar(work: ProjectWork, owner: str, name: str) -> None:
    """Stop and start one of a running instance, and wait until it is ready; its data stays.
    Raises Refused where there is none yet, CommandFailed."""
    there = work.sidecars().get(name)
    if there is None:
        raise Refused(
            f"The sidecar {name} of {work.id} is not there yet.",
            hint=f"Start it with: treedock up {work.id}",
        )
    with work.step(f"restarting {name}"):
        work.engine.stop(there.id, STOP_TIMEOUT)
        work.engine.start(there.id)
    await_ready(work, owner, name)


def remove_sidecars(work: Work) -> list[str]:
    """Remove all of them and their data; returns what was removed."""
    removed = []
    for one in work.sidecars().values():
        work.engine.remove(one.id)
        removed.append(f"container {one.name}")
    for name in volumes_of(work):
        with contextlib.suppress(EngineFailed):  # in use by a container that is no sidecar
            work.engine.remove_volume(name)
            removed.append(f"volume {name}")
    return removed


def volumes_of(work: Work) -> list[str]:
    """The volumes that go with it: its sidecars' data, and what it wrote above snapshots."""
    return sorted(work.engine.volumes(repository=work.repository.key, beside=work.id))


def wanted_sidecar(work: ProjectWork, name: str, owner: str, image: str) -> ContainerSpec:
    """The container that today's configuration asks for, beside the container `owner`."""
    sidecar, limits = work.config.sidecars[name], work.config.limits
    command = sidecar.command or []
    labels = {
        names.LABEL: "sidecar",
        names.LABEL_PROJECT: work.project.name,
        names.LABEL_REPOSITORY: work.project.repository.key,
        names.LABEL_BESIDE: work.id,
        names.LABEL_SIDECAR: name,
    }
    volume = f"{work.container_name}.{name}"
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
        volumes=(VolumeMount(volume, sidecar.data), *data_mounts(work, volume))
        if sidecar.data
        else (),
        inside=owner,
        command=tuple(shlex.split(command) if isinstance(command, str) else command),
    )


def _recreate(work: ProjectWork, spec: ContainerSpec, found: Container | None) -> str:
    if found:
        if found.is_up:
            work.engine.stop(found.id, STOP_TIMEOUT)
        work.engine.remove(found.id)
    below = {volume.name for volume in spec.volumes if volume.read_only}
    lost = below - set(work.engine.volumes(repository=work.repository.key)) if below else ()
    for name in sorted(lost):
        raise unreadable(work, name)
    for volume in spec.volumes:
        if volume.name not in below:
            work.engine.ensure_volume(volume.name, spec.labels)
    return work.engine.create(spec)


def unreadable(work: ProjectWork, lower: str) -> Refused:
    """The golden state in the volume `lower` is gone from below the instance's data."""
    return Refused(
        f"{work.id}: the volume {lower}, above which its data lies, is gone.",
        hint=f"That data cannot be read without it. Begin again: treedock clean {work.id}, then up",
    )


def await_ready(work: ProjectWork, owner: str, name: str) -> None:
    """Wait until it can be used. Raises CommandFailed."""
    sidecar = work.config.sidecars[name]
    with work.step(f"waiting for {name}"):
        deadline = time.monotonic() + sidecar.ready.timeout
        while True:
            there = work.sidecars().get(name)
            if there is None or there.status != "running":
                raise _failed(work, there, name, "ended")
            if _is_ready(work, owner, there, sidecar):
                return
            if time.monotonic() > deadline:
                said = f"was not ready within {sidecar.ready.timeout:g} s"
                raise _failed(work, there, name, said)
            time.sleep(GLANCE)


def _is_ready(work: ProjectWork, owner: str, there: Container, sidecar: Sidecar) -> bool:
    if sidecar.is_own:
        try:
            return work.engine.exec(there.id, [READY]).exit_code == 0
        except EngineFailed:  # it ended meanwhile, which the next look tells
            return False
    if sidecar.port is None:
        return True
    tables = work.engine.exec(owner, ["cat", "/proc/net/tcp", "/proc/net/tcp6"]).output
    return any(port == sidecar.port for _, port in listeners(tables.decode(errors="replace")))


def _failed(work: ProjectWork, there: Container | None, name: str, what: str) -> CommandFailed:
    lines = work.engine.last_lines(there.id, LAST_LINES) if there else []
    return CommandFailed(
        with_last_lines(f"{work.id}: the sidecar {name} {what}.", lines),
        hint=f"The whole log: treedock logs {work.id} {name}. Fix sidecars.{name} in "
        f"treedock.yaml and run again: treedock up {work.id}",
    )
