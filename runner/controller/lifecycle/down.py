"""`down`: stop containers and keep everything else.

Stop first: nothing that code inside does, no disk and no other operation may keep an instance
running. Then its commits come out, by treedock's own git.
"""

import contextlib

from runner.controller.instance.container import ensure_stopped
from runner.controller.operation import Operation
from runner.controller.project import Repository
from runner.controller.sync.attempt import attempt
from runner.domain.errors import (
    BothMoved,
    Busy,
    NotFound,
    NotSynced,
    Refused,
    RunnerError,
    unavailable,
)
from runner.domain.events import Down, Emit
from runner.domain.frozen import dataclass
from runner.domain.instance.record import check_id
from runner.domain.text import below_each_other, sentences

PATIENCE = 2.0  # seconds that another operation has to end, before and after the instance stops


@dataclass(frozen=True)
class Halted:
    """`stopped`: whether anything of the instance ran. `problem`: why its lock is not held."""

    stopped: bool
    problem: RunnerError | None


def down(repository: Repository, instance: str, emit: Emit) -> bool:
    """Stop an instance; its container, slot, worktree, branch and database stay.

    Returns whether it was running. Raises NotFound; NotSynced where it is stopped and its commits
    could not be brought out, which stay in its git directory; Unavailable for a damaged record.
    """
    operation = Operation(repository, check_id(instance), emit)
    operation.apart = True
    try:
        repository.record(instance)
    except NotFound:
        raise
    except RunnerError:  # a damaged record keeps nothing running
        ensure_stopped(operation)
        raise
    with contextlib.ExitStack() as held:
        halted = halt(operation, held)
        if halted.stopped:
            operation.tell(Down())
        problem = halted.problem or _bring_out(operation)
    if problem:
        raise NotSynced(
            sentences(
                f"{instance} is stopped, and its git directory stays as it is: what was committed "
                "inside could not be brought out.",
                problem.message,
            ),
            hint=below_each_other(problem.hint, f"Try again with: treedock sync {instance}"),
        ) from problem
    return halted.stopped


def halt(operation: Operation, held: contextlib.ExitStack) -> Halted:
    """Stop the instance, if possible with its lock, which `held` keeps.

    An operation that holds the lock for longer than PATIENCE is told; its commands end with the
    container, and it ends with Stopped.
    """
    problem = _lock(operation, held)
    stopped = False
    if problem:
        operation.records.tell_stopped(operation.id)
        stopped = ensure_stopped(operation)
        problem = _lock(operation, held)
    stopped = ensure_stopped(operation) or stopped
    return Halted(stopped, problem)


def _lock(operation: Operation, held: contextlib.ExitStack) -> RunnerError | None:
    """Take the instance's lock; returns why that is impossible."""
    try:
        held.enter_context(operation.locked(PATIENCE))
    except Busy as other:
        return Refused(
            f"{other.holder} is at work on {operation.id} and does not end.",
            hint=f"Wait for it, or end it: {other.holder}.",
        )
    except OSError as error:
        return unavailable(error)
    return None


def _bring_out(operation: Operation) -> RunnerError | None:
    """Sync; returns why that is impossible. Where both sides moved, which a person has to
    decide, that is only said."""
    problem = attempt(operation)
    if isinstance(problem, BothMoved):
        operation.warn(sentences(problem.message, problem.hint))
        return None
    return problem
