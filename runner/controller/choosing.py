"""Which instances a request is about."""

from runner.controller.project import Repository
from runner.domain.errors import BadRequest
from runner.domain.text import listed


def one(repository: Repository, instance: str | None) -> str:
    """The named instance, or the one whose worktree we stand in. Raises BadRequest."""
    found = instance or repository.here
    if found is None:
        ids = repository.records.ids()
        raise BadRequest(
            "Name an instance, or stand in its worktree.",
            hint=f"There are: {listed(ids)}." if ids else "There are none yet.",
        )
    return found


def with_service(
    repository: Repository, instance: str | None, service: str | None
) -> tuple[str, str | None]:
    """(instance, service) of `[ID] [SERVICE]`: in a worktree one word may be the service. Raises
    BadRequest."""
    if instance and service is None and repository.here:
        names = repository.records.ids()
        services = repository.record(repository.here).services
        if instance not in names and instance in services:
            return repository.here, instance
    return one(repository, instance), service


def several(repository: Repository, ids: tuple[str, ...], *, everything: bool = False) -> list[str]:
    """The named instances (each once), all of them, or the one we stand in. Raises BadRequest."""
    if everything and ids:
        raise BadRequest("Name instances or ask for all of them, not both.")
    if everything:
        return repository.records.ids()
    return list(dict.fromkeys(ids)) or [one(repository, None)]
