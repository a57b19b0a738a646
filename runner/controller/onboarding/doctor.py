"""`doctor`: look at this machine and this repository; `--fix` takes the safe ways out."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from runner.adapters.engine import unix
from runner.adapters.engine.protocol import Engine, EngineInfo
from runner.adapters.files import disk
from runner.adapters.git.process import version
from runner.adapters.host import machine as host
from runner.adapters.host import sockets
from runner.adapters.store import locks
from runner.controller.cleanup import orphans
from runner.controller.instance.hooks import omitted_hooks
from runner.controller.instance.ports import slots_of
from runner.controller.landing.recovery import unfinished
from runner.controller.lifecycle.preflight import obstacles
from runner.controller.onboarding.damaged import damaged
from runner.controller.onboarding.git_locks import git_locks
from runner.controller.onboarding.moved import moved
from runner.controller.project import Project, connect
from runner.controller.volumes.layers import engine_name
from runner.domain.errors import RunnerError
from runner.domain.events import Emit, Output, Said
from runner.domain.instance import health
from runner.domain.instance.health import Ailment, Finding

_LOCK = Path("/run/treedock-engine.lock")  # of --fix as root, so that two do not install at once


def examine(project: Project | None, *, fix: bool, emit: Emit) -> list[Finding]:
    """Every check, in a fixed order; the repository's part only with a project.

    With `fix` the safe ways out are taken, and the findings tell what is left afterwards.
    """
    findings = [_git()]
    engine, info, found = _engine(project, fix=fix, emit=emit)
    findings += found
    if engine:
        findings.append(_base_image(engine, fix=fix, emit=emit))
    findings += [_disk(project, info), _watches(project), _ports(project), _exposed()]
    if project:
        findings += [*_repository(project), _hooks(project)]
        findings += damaged(project.repository, fix=fix)
        findings += moved(project.repository, engine, fix=fix)
        findings.append(_failing("git-locks", lambda: git_locks(project.repository, fix=fix)))
        findings.append(orphans.stale_locks(project.repository, fix=fix))
        findings += orphans.leftovers(project, engine, fix=fix, emit=emit)
        if engine and info:
            findings += orphans.network(project, engine, fix=fix)
            findings.append(_slots(project, engine))
            findings += unfinished(project, fix=fix, emit=emit)
            snapshots = project.repository.snapshots
            operations = snapshots.overlays(engine_name(info))
            findings += health.overlay_findings(operations)
            if fix and operations is False:
                snapshots.forget_overlays()
    return findings


def _git() -> Finding:
    try:
        return health.git_finding(version())
    except RunnerError as error:
        return _failed("git", error)


def _engine(
    project: Project | None, *, fix: bool, emit: Emit
) -> tuple[Engine | None, EngineInfo | None, list[Finding]]:
    """The engine and what it says of itself, unless something is the matter with it."""
    fixed = False
    ailment = _ailment()
    if ailment and fix and health.is_repairable(ailment, host.machine()):
        try:
            _repair_engine(emit)
        except RunnerError as error:
            return None, None, [_failed("engine", error)]
        ailment, fixed = _ailment(), True
    if ailment is None:
        try:
            engine = project.repository.engine if project else connect()
            info = engine.info()
        except RunnerError:
            ailment = "silent" if _is_own_socket() else "elsewhere"
        else:
            more = health.rootless_findings(info.rootless)
            more += health.capability_findings(limits=info.limits, userns=info.userns)
            return engine, info, [_version(info, fixed=fixed), *more, *_docker_command()]
    address = os.environ.get("DOCKER_HOST") or str(unix.SOCKET)
    return None, None, [health.engine_finding(ailment, host.machine(), address)]


def _ailment() -> Ailment | None:
    """What keeps us from the engine's socket; None when it answers, or is not a local one."""
    socket = unix.engine_socket(os.environ)
    state = host.socket_state(socket) if socket else "answers"
    if state == "answers":
        return None
    installed = host.machine().dockerd
    return health.ailment_of(state, own_socket=_is_own_socket(), installed=installed)


def _is_own_socket() -> bool:
    return unix.engine_socket(os.environ) == unix.SOCKET


def _repair_engine(emit: Emit) -> None:
    """Install the engine if need be, and start it. Raises Unavailable."""

    def say(line: str) -> None:
        emit(Output(line))

    with locks.hold(_LOCK, waiting=lambda who: emit(Said(f"waiting for {who}"))):
        machine = host.machine()
        if not machine.dockerd:
            emit(Said("installing the engine (docker.io)"))
            host.install_engine(say, systemd=machine.systemd)
        if _ailment() is None:
            return  # the package started it, or whoever we waited for
        emit(Said("starting the engine"))
        start = host.start_by_systemd if machine.systemd else host.start_own
        start(say)


def _version(info: EngineInfo, *, fixed: bool) -> Finding:
    found = health.version_finding(f"{info.name} {info.version}", info.api_version)
    if not fixed or found.status != "ok":
        return found
    return Finding("engine", "ok", f"{found.message}; it runs now", fixed=True)


def _docker_command() -> list[Finding]:
    """Only a terminal in `exec` and `shell` needs the docker command."""
    if shutil.which("docker"):
        return []
    return [
        Finding(
            "docker-command",
            "warning",
            "There is no docker command; exec and shell need it on a terminal.",
            "Install it (Debian: docker.io up to 12, docker-cli from 13).",
        )
    ]


def _base_image(engine: Engine, *, fix: bool, emit: Emit) -> Finding:
    """Missing it is no problem: the first `up` makes it. Failing to make it is one."""
    from runner.controller.instance import images

    name = images.base_name()
    try:
        missing = engine.image(name) is None
        if missing and fix:
            images.ensure_base(engine, emit)
    except RunnerError as error:
        return _failed("base-image", error)
    if missing and not fix:
        return Finding(
            "base-image",
            "warning",
            f"The base image {name} is not there yet.",
            "The first treedock up makes it, and so does: treedock doctor --fix",
        )
    return Finding("base-image", "ok", name, fixed=missing)


def _disk(project: Project | None, info: EngineInfo | None) -> Finding:
    """The disk of the repository and, where it is another one on this host, the engine's."""
    from runner.domain.config.sections import Limits

    here = project.repository.checkout if project else Path.cwd()
    places = {here: str(here)}
    if project and host.device(project.worktrees) != host.device(here):
        places[project.worktrees] = f"the worktrees ({project.worktrees})"
    root = info.data_root if info else None
    if root and host.device(Path(root)) != host.device(here):
        places[Path(root)] = f"the engine ({root})"
    free = {name: disk.free_bytes(path) for path, name in places.items()}
    return health.disk_finding(free, (project.config.limits if project else Limits()).disk_free)


def _watches(project: Project | None) -> Finding:
    """All instances run as one user, and share what the kernel lets that one watch."""
    instances = len(project.repository.records.ids()) if project else 0
    return health.watches_finding(host.watch_limit(), instances)


def _repository(project: Project) -> list[Finding]:
    """What of the repository itself keeps new instances from working."""
    try:
        errors = list(obstacles(project))
    except RunnerError as error:  # without a base
        errors = [error]
    found = [_failed("repository", error) for error in errors]
    noexec = disk.noexec_mount(project.worktrees)
    if noexec:
        message, _, way_out = health.noexec_sentence(noexec).partition(". ")
        found.append(Finding("repository", "warning", f"{message}.", way_out))
    return found or [Finding("repository", "ok", "instances can be made of it")]


def _hooks(project: Project) -> Finding:
    omitted = omitted_hooks(project)
    if omitted is None:
        return Finding("hooks", "ok", "no hooks of .git/hooks are missed inside")
    return Finding("hooks", "warning", *omitted)


def _slots(project: Project, engine: Engine) -> Finding:
    config = project.config
    try:
        containers = engine.containers()
    except RunnerError as error:
        return _failed("slots", error)
    slots = slots_of(project.repository, config.ports, containers, sockets.is_free)
    return health.slots_finding(slots, dynamic=config.overflow == "dynamic")


def _ports(project: Project | None) -> Finding:
    from runner.domain.config.project import Config

    ranges = (project.config if project else Config()).ports
    return health.ports_finding(ranges, health.parse_ephemeral(host.ephemeral_range()))


def _exposed() -> Finding:
    found = health.exposed(sockets.listening_tables())
    names = host.processes_of({inode for inodes in found.values() for inode in inodes})
    ports = {
        port: ", ".join(sorted({names[inode] for inode in inodes if inode in names}))
        for port, inodes in found.items()
    }
    return health.exposed_finding(ports)


def _failing(check: str, look: Callable[[], Finding]) -> Finding:
    """What a check finds; that it cannot look is a finding, too."""
    try:
        return look()
    except RunnerError as error:
        return _failed(check, error)


def _failed(check: str, error: RunnerError) -> Finding:
    return Finding(check, "problem", error.message, error.hint)
