"""The container of an instance: what it should be, and making it so."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from runner.adapters.database import variables_of
from runner.adapters.engine.protocol import ports_label
from runner.adapters.files import disk
from runner.adapters.host import sockets
from runner.adapters.store.run_folder import RunFolder
from runner.controller.instance.env_files import write_values
from runner.controller.instance.images import authority_of
from runner.controller.instance.ports import choose_ports, ranges_of
from runner.controller.instance.private_git import git_mounts, rules_mount
from runner.controller.instance.sidecars import stop_sidecars
from runner.controller.operation import Operation
from runner.domain.cache import managers
from runner.domain.cache.produces import below_home
from runner.domain.errors import ConfigError, EngineFailed, Stopped
from runner.domain.events import ContainerCreated
from runner.domain.frozen import dataclass
from runner.domain.instance import container as names
from runner.domain.instance.container import Container, ContainerSpec, Mount, VolumeMount
from runner.domain.instance.container import Limits as ContainerLimits
from runner.domain.instance.environment import ENV_FILE, PORTS_FILE

_FIXED = frozenset(names.CA_VARIABLES)  # what the container was made with counts


_WITH_IPV6 = frozenset({"0.0.0.0", "::", "::1"})


STOP_TIMEOUT = 2  # seconds; the idle process needs less than one


@dataclass(frozen=True)
class Running:
    """A running container. `changed` says that this bring-up started it, or anything in it; `env`
    goes to every exec."""

    id: str
    changed: bool
    env: Mapping[str, str]


def ensure_running(operation: Operation) -> Running:
    """Ensure that the wanted container runs: leave an equal one alone, else make it again.

    When a port turns out to be taken the instance moves to the next slot, and says so.
    """
    while True:
        spec = wanted(operation)
        env = {**spec.secrets, **spec.environment}
        found = operation.container()
        if found and found.labels.get(names.LABEL_SPEC) == spec.fingerprint:
            if found.status == "running":
                _warn_of_shadows(operation, spec)
                return Running(found.id, changed=False, env=env)
            if found.status == "paused":
                operation.engine.stop(found.id, STOP_TIMEOUT)
        else:
            found = _recreate(operation, spec, found)
        with operation.step("starting the container"):
            moved = not _start_or_move(operation, found.id)
        if not moved:
            return Running(found.id, changed=True, env=env)


def ensure_stopped(operation: Operation) -> bool:
    """Stop the instance's container and its sidecars. Returns whether any ran."""
    container = operation.container()
    if container is None or not container.is_up:
        return stop_sidecars(operation)
    with operation.step("stopping"):
        operation.engine.stop(container.id, STOP_TIMEOUT)
        stop_sidecars(operation)
    return True


def wanted(operation: Operation) -> ContainerSpec:
    """The container that today's configuration and the record ask for."""
    record, limits = operation.record, operation.config.limits
    sandbox = operation.project.user.sandbox
    published = not operation.throwaway
    authority = authority_of(operation.project)
    given = operation.env_file()
    environment = _environment(operation, given)
    if authority:
        environment |= dict.fromkeys(names.CA_VARIABLES, names.CA_BUNDLE)
    secrets = {k: v for k, v in given.items() if k not in environment}
    forwards = _forwards(operation) if published else {}
    ports = [port for port in record.ports.values() if port not in forwards.values()]
    return ContainerSpec(
        name=operation.names.container,
        image=operation.image,
        user=f"{os.getuid()}:{os.getgid()}",
        hostname=operation.names.host,
        ports=tuple(ports) if published else (),
        forwards=forwards,
        mounts=tuple(_mounts(operation, authority)),
        limits=ContainerLimits(limits.memory, limits.cpus, limits.pids),
        environment=environment,
        secrets=secrets,
        labels=_labels(operation),
        publish=sandbox.publish,
        capabilities=tuple(sandbox.capabilities),
        volumes=tuple(
            VolumeMount(name, _inside(path)) for path, name in sorted(record.mounts.items())
        ),
    )


def _mounts(operation: Operation, authority: Path | None) -> list[Mount]:
    """What of the host is shown inside. Raises Refused for a source that is not there."""
    record, folder = operation.record, operation.folder
    own = [
        Mount(record.worktree, names.WORKSPACE),
        Mount(str(folder.gitfile), f"{names.WORKSPACE}/.git", read_only=True),
        *git_mounts(operation),
        rules_mount(operation),
        Mount(str(folder.run), names.RUN),
        Mount(str(folder.home), names.HOME),
        Mount(str(folder.passwd), "/etc/passwd", read_only=True),
        Mount(str(folder.group), "/etc/group", read_only=True),
    ]
    mounts = [replace(mount, inode=_inode(mount.source)) for mount in own]
    extras = operation.project.user.sandbox.mounts
    mounts += [Mount(extra.source, extra.target, extra.read_only) for extra in extras]
    if operation.config.env.rewrite:
        mounts += _host_path(record.worktree, folder.host_links, [mount.target for mount in mounts])
    if authority:
        mounts.append(Mount(str(authority), names.CA_BUNDLE, read_only=True))
    for mount in mounts:
        require_source(mount.source, mount.target)
    return mounts


def _labels(operation: Operation) -> dict[str, str]:
    record = operation.record
    return {
        names.LABEL: "gate" if operation.throwaway else "instance",
        names.LABEL_PROJECT: operation.project.name,
        names.LABEL_REPOSITORY: operation.repository.key,
        names.LABEL_INSTANCE: operation.id,
        names.LABEL_SLOT: "" if record.slot is None else str(record.slot),
        names.LABEL_PORTS: ports_label({} if operation.throwaway else record.ports),
    }


def _forwards(operation: Operation) -> dict[int, int]:
    """The port of the host, by that of each sidecar which is published."""
    return {
        sidecar.port: operation.record.ports[sidecar.publish]
        for sidecar in operation.config.sidecars.values()
        if sidecar.publish and sidecar.port
    }


def _host_path(worktree: str, folder: Path, targets: list[str]) -> list[Mount]:
    """A folder with a link in it, so that the worktree's path on the host, which env.rewrite puts
    into files, leads to the worktree inside, too. Nothing where it would hide another mount or lie
    in one: the path is what it is then."""
    parent = str(Path(worktree).parent)
    if any(Path(one).is_relative_to(parent) or Path(parent).is_relative_to(one) for one in targets):
        return []
    return [Mount(str(folder), parent, read_only=True)]


def _inode(source: str) -> int:
    """0 for what is missing, which _require_source reports."""
    try:
        return Path(source).stat().st_ino
    except FileNotFoundError:
        return 0


def _inside(path: str) -> str:
    home = below_home(path)
    return f"{names.WORKSPACE}/{path}" if home is None else f"{names.HOME}/{home}"


def _environment(operation: Operation, given: Mapping[str, str]) -> dict[str, str]:
    """What treedock itself puts into the container's environment; where the database and a store
    of downloads are only as far as `.env`, which has `given`, does not say so itself."""
    app_environment = {
        **variables_of(operation.config),
        **managers.variables(operation.config.lines, names.HOME),
    }
    found = {k: v for k, v in app_environment.items() if k not in given}
    own = {"HOME": names.HOME, "USER": _user_name(), "LANG": "C.UTF-8"}
    own["GIT_ATTR_NOSYSTEM"] = "1"  # as on this side
    return found | own | operation.values()


def exec_env(operation: Operation) -> dict[str, str]:
    """What a command inside gets today, whatever the container was made with: the values of
    `.env` as they are now, and treedock's own above them."""
    given = operation.env_file()
    return {k: v for k, v in given.items() if k not in _FIXED} | _environment(operation, given)


def prepare_folder(operation: Operation) -> None:
    """Make what the container mounts from the instance's own folder."""
    folder = operation.folder
    for path in (folder.run, folder.home):
        path.mkdir(parents=True, exist_ok=True)
    user, uid, gid = _user_name(), os.getuid(), os.getgid()
    passwd = f"{user}:x:{uid}:{gid}:{user}:{names.HOME}:/bin/sh\n"
    group = f"{user}:x:{gid}:\n"
    if uid != 0:
        passwd = f"root:x:0:0:root:/root:/bin/sh\n{passwd}"
    if gid != 0:
        group = f"root:x:0:\n{group}"
    nobody = "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    _keep(folder.passwd, passwd + nobody)
    _keep(folder.group, f"{group}nogroup:x:65534:\n")
    _keep(folder.gitfile, f"gitdir: {names.GIT}\n")
    _keep(folder.no_alternates, "")
    link = folder.host_links / Path(operation.record.worktree).name
    if not link.is_symlink():
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(names.WORKSPACE)


def _recreate(operation: Operation, spec: ContainerSpec, found: Container | None) -> Container:
    if found:
        with operation.step("removing the container, which is out of date"):
            if found.status == "running":
                operation.engine.stop(found.id, STOP_TIMEOUT)
            operation.engine.remove(found.id)
    with operation.step("creating the container"):
        made = operation.engine.create(spec)
    operation.tell(ContainerCreated(made, spec.image))
    return Container(id=made, name=spec.name, status="created", labels=spec.labels)


def _start_or_move(operation: Operation, container: str) -> bool:
    """Start it; False when a port is taken and the record has another slot now.

    The engine is the arbiter of what it publishes, and what it says is prose, so the ports are
    probed. It does not look at ::1, where `localhost` leads first.
    """
    RunFolder(operation.folder.run).forget_all()
    operation.require_not_stopped()
    published = list(operation.record.ports.values()) if not operation.throwaway else []
    taken = [port for port in published if sockets.is_shadowed(port)]
    if not taken:
        taken = _start(operation, container, published)
        if not taken:
            _require_still_wanted(operation, container)
            return True
    operation.engine.remove(container)
    with operation.repository.locked():
        slot, ports = choose_ports(operation, operation.engine.containers())
        operation.change(slot=slot, ports=ports, ranges=ranges_of(operation))
    where = "free ports" if slot is None else f"slot {slot}"
    operation.warn(f"port {taken[0]} is taken by another process; {operation.id} moved to {where}")
    tracked = operation.git.tracked(Path(operation.record.worktree), [PORTS_FILE, ENV_FILE])
    write_values(operation, tracked)
    return False


def _start(operation: Operation, container: str, published: list[int]) -> list[int]:
    """Start it; returns the ports that another process has. Raises EngineFailed where it is not
    for a port, the second time: a port that is only probed is taken for a moment."""
    for attempt in (1, 2):
        try:
            operation.engine.start(container)
            break
        except EngineFailed:
            taken = [port for port in published if not sockets.is_free(port)]
            if taken:
                return taken
            if attempt == 2:
                raise
    return []


def _require_still_wanted(operation: Operation, container: str) -> None:
    """A `down` of another process looked for what runs just before this ran: raises Stopped, and
    it runs no more."""
    try:
        operation.require_not_stopped()
    except Stopped:
        operation.engine.stop(container, STOP_TIMEOUT)
        raise


def _warn_of_shadows(operation: Operation, spec: ContainerSpec) -> None:
    """What runs is left where it is, though another process may answer for it by now."""
    own = spec.publish in _WITH_IPV6  # the engine itself listens there
    for port in () if own else spec.ports:
        if sockets.is_shadowed(port):
            operation.warn(
                f"another process listens on [::1]:{port}, so localhost:{port} shows that one; "
                f"to move {operation.id}: treedock restart {operation.id}"
            )


def require_source(source: str, target: str) -> None:
    """Raises ConfigError where what is to be mounted is not there."""
    if not Path(source).exists():
        raise ConfigError(
            f"{source}, to be mounted at {target}, does not exist.",
            hint="Make it, or take it out of `sandbox: {mounts: ...}` in "
            "~/.config/treedock/config.yaml.",
        )


def _user_name() -> str:
    return "root" if os.getuid() == 0 else "dev"


def _keep(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        disk.write_atomically(path, text.encode())
