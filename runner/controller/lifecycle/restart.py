"""`restart`: one service without the others, or the whole instance."""

from runner.controller.instance.container import exec_env
from runner.controller.instance.processes import LocalExecutor
from runner.controller.instance.services import await_ready, service_key, start_service
from runner.controller.instance.sidecars import restart_sidecar
from runner.controller.instance.views import describe
from runner.controller.instance.worktree import InstanceRequest
from runner.controller.lifecycle.down import down
from runner.controller.lifecycle.up import UpResult, up
from runner.controller.operation import Operation, require_running
from runner.controller.project import Project
from runner.domain.errors import NotFound, NotSynced
from runner.domain.events import Emit, Warned
from runner.domain.instance.record import View
from runner.domain.instance.service import service_process


def restart_service(project: Project, instance: str, service: str, emit: Emit) -> View:
    """Stop and start one service, or sidecar, and wait until it is ready. Raises NotFound, Refused
    where the instance does not run, CommandFailed."""
    operation = Operation(project, instance, emit)
    project.repository.record(instance)
    names = [*project.config.services, *project.config.sidecars]
    if service not in names:
        raise NotFound(
            f"There is no service {service!r} in treedock.yaml.",
            hint=f"There are: {', '.join(names) or 'none'}.",
        )
    with operation.locked():
        container = require_running(operation)
        if service in project.config.sidecars:
            restart_sidecar(operation, container.id, service)
            return describe(operation)
        with operation.step(f"restarting {service}"):
            LocalExecutor(operation, container.id).stop([service_process(service)])
            start_service(operation, container.id, service, exec_env(operation))
        keys = operation.record.services | {service: service_key(project.config.services[service])}
        operation.change(services=keys)
        await_ready(operation, container.id, service)
        return describe(operation)


def restart(project: Project, instance: str, emit: Emit) -> UpResult:
    """Stop and start the whole instance. Raises NotFound."""
    project.repository.record(instance)
    try:
        down(project.repository, instance, emit)
    except NotSynced as error:  # its git directory stays, and `up` tries again
        emit(Warned(error.message), instance)
    return up(project, [InstanceRequest(instance)], emit, fetch=False)[0]
