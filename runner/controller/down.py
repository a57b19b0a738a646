"""`down`: stop containers and keep everything else."""

import contextlib

from runner.controller.containers import ensure_stopped
from runner.controller.opening import Repository
from runner.controller.sync import sync
from runner.controller.work import Work
from runner.domain.errors import Refused
from runner.domain.events import Emit


def down(repository: Repository, instance: str, emit: Emit) -> bool:
    """Stop an instance; its container, slot, worktree, branch and database stay.

    Returns whether it was running. Raises NotFound.
    """
    repository.record(instance)
    work = Work(repository, instance, emit)
    with work.locked():
        with contextlib.suppress(Refused):  # the next verb that looks at commits says it
            sync(work)
        stopped = ensure_stopped(work)
        if stopped:
            work.note("down")
        return stopped
