"""list, status, logs, path, open, compose."""

from runner.controller import choosing
from runner.controller.observe.listing import look
from runner.controller.operation import Operation, require_running
from runner.controller.project import Project, Repository, open_project
from runner.domain.errors import NotFound, RunnerError
from runner.domain.events import Emit
from runner.domain.instance.record import preview_of
from runner.domain.requests.lifecycle import Instances
from runner.domain.requests.observe import (
    Compose,
    ComposeFile,
    List,
    Listing,
    LogLines,
    Logs,
    Open,
    Path,
    Place,
    Preview,
    Status,
)
from runner.domain.text import below_each_other


def list_(repository: Repository, request: List, emit: Emit) -> Listing:
    seen = look(repository, emit)
    return Listing(instances=tuple(seen.views), slots=seen.slots)


def status(project: Project, request: Status, emit: Emit) -> Instances:
    from runner.controller.observe.listing import status

    chosen = request.instance or project.repository.here
    return Instances(instances=tuple(status(project, [chosen] if chosen else [], emit)))


def logs(repository: Repository, request: Logs, emit: Emit) -> LogLines:
    from runner.controller.observe.logs import tails

    chosen, service = choosing.with_service(repository, request.instance, request.service)
    return LogLines(id=chosen, logs=tails(repository, chosen, service, request.tail, emit))


def path(repository: Repository, request: Path, emit: Emit) -> Place:
    record = repository.record(choosing.one(repository, request.instance))
    return Place(id=record.id, path=record.worktree)


def open_(repository: Repository, request: Open, emit: Emit) -> Preview:
    chosen, service = choosing.with_service(repository, request.instance, request.service)
    record = repository.record(chosen)
    browsed = [port for port in record.ports if port not in record.sidecar_ports]
    name = service or preview_of(browsed, record.served)
    if service and service not in record.ports:
        configured = open_project(repository).config.services.get(service)
        name = configured.port or "" if configured else ""
    if name not in record.ports:
        raise NotFound(
            f"{record.id} has no service {service!r} with a port.",
            hint=f"There are: {', '.join(record.ports)}.",
        )
    warning = ""
    try:
        require_running(Operation(repository, chosen, emit))
    except RunnerError as error:
        warning = below_each_other(error.message, error.hint)
    url = f"http://localhost:{record.ports[name]}"
    return Preview(id=chosen, service=name, url=url, running=not warning, warning=warning)


def compose(project: Project, request: Compose, emit: Emit) -> ComposeFile:
    from runner.controller.observe.compose_export import compose_file

    chosen = choosing.one(project.repository, request.instance)
    return ComposeFile(id=chosen, compose=compose_file(project, chosen))
