"""The .git file of a worktree, which is covered inside."""

import os
from pathlib import Path

from runner.controller.instance.container import ensure_stopped
from runner.controller.operation import Operation
from runner.domain.errors import Refused
from runner.domain.events import Tampered
from runner.domain.text import sentences


def require_cover(operation: Operation) -> None:
    """The worktree's .git file has to be what git wrote: it is covered inside, and nothing on the
    host renames over it. Where it is not, the cover is off: stops the container, raises Refused.
    """
    worktree = Path(operation.record.worktree)
    if not os.path.lexists(worktree / ".git"):
        return
    try:
        operation.git.worktree_dir(worktree)
    except Refused as error:
        stopped = "Its container was stopped." if ensure_stopped(operation) else ""
        operation.tell(Tampered(error.message))
        said = sentences(f"{operation.id}:", error.message, stopped)
        raise Refused(said, hint=error.hint) from error
