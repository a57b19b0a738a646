"""`down`: stop containers and keep everything else."""

from runner.controller.containers import STOP_TIMEOUT
from runner.controller.opening import Repository
from runner.controller.work import Work
from runner.domain.events import Emit


def down(repository: Repository, instance: str, emit: Emit) -> bool:
    """Stop an instance; its container, slot, worktree, branch and database stay.

    Returns whether it was running. Raises NotFound.
    """
    repository.record(instance)
    work = Work(repository, instance, emit)
    with work.locked():
        container = work.container()
        if container is None or container.status not in ("running", "paused"):
            return False
        with work.step("stopping"):
            work.engine.stop(container.id, STOP_TIMEOUT)
        work.note("down")
        return True
