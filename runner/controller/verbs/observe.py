"""list, status."""

from runner.controller.observe.listing import look
from runner.controller.project import Project, Repository
from runner.domain.events import Emit
from runner.domain.requests.lifecycle import Instances
from runner.domain.requests.observe import List, Listing, Status


def list_(repository: Repository, request: List, emit: Emit) -> Listing:
    seen = look(repository, emit)
    return Listing(instances=tuple(seen.views), slots=seen.slots)


def status(project: Project, request: Status, emit: Emit) -> Instances:
    from runner.controller.observe.listing import status

    chosen = request.instance or project.repository.here
    return Instances(instances=tuple(status(project, [chosen] if chosen else [], emit)))
