"""`doctor`: look at this machine and this repository; `--fix` takes the safe ways out."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from runner.adapters import disk, git, host, locks
from runner.adapters.engine import Engine, EngineInfo
from runner.controller import leftovers
from runner.controller.opening import Project, connect
from runner.domain import health
from runner.domain.errors import RunnerError
from runner.domain.events import Emit, Output, Said
from runner.domain.health import Ailment, Finding

_LOCK = Path("/run/treedock-engine.lock")  # of --fix as root, so that two do not install at once


def examine(project: Project | None, *, fix: bool, emit: Emit) -> list[Finding]:
    """Every check, in a fixed order; the repository's part only with a project.

    With `fix` the safe ways out are taken, and the findings tell what is left afterwards.
    """
    engine, findings = _engine(project, fix=fix, emit=emit)
    if engine:
        findings.append(_base_image(engine, fix=fix, emit=emit))
    findings = [_git(), *findings, _disk(project, engine), _ports(project), _exposed()]
    if project:
        findings.append(leftovers.stale_locks(project.repository, fix=fix))
        findings += leftovers.leftovers(project, engine, fix=fix, emit=emit)
    return findings


def _git() -> Finding:
    try:
        return health.git_finding(git.version())
    except RunnerError as error:
        return _failed("git", error)


def _engine(
    project: Project | None, *, fix: bool, emit: Emit
) -> tuple[Engine | None, list[Finding]]:
    """The engine, unless something is the matter with it, and what was found."""
    fixed = False
    ailment = _ailment()
    if ailment and fix and health.is_mendable(ailment, host.machine()):
        try:
            _mend_engine(emit)
        except RunnerError as error:
            return None, [_failed("engine", error)]
        ailment, fixed = _ailment(), True
    try:
        engine = None if ailment else (project.repository.engine if project else connect())
        info = engine.info() if engine else None
    except RunnerError:
        local = host.engine_socket(os.environ) == host.SOCKET
        engine, info, ailment = None, None, "silent" if local else "elsewhere"
    if engine is None or info is None:
        address = os.environ.get("DOCKER_HOST") or str(host.SOCKET)
        return None, [health.engine_finding(ailment or "silent", host.machine(), address)]
    return engine, [_version(info, fixed=fixed), *_docker_command()]


def _ailment() -> Ailment | None:
    """What keeps us from the engine's socket; None when it answers, or is not a local one."""
    socket = host.engine_socket(os.environ)
    state = host.socket_state(socket) if socket else "answers"
    if state == "answers":
        return None
    installed = host.machine().dockerd
    return health.ailment_of(state, own_socket=socket == host.SOCKET, installed=installed)
