"""Landing, so that a kill at any moment leaves base at the old commit or at the tested one, and
the next verb finishes or undoes the rest."""

from collections.abc import Callable

from runner.adapters.git import base_branch
from runner.adapters.git.repository import Git
from runner.adapters.store.runs import Journal, Landing, Move, Run
from runner.controller.operation import Operation
from runner.controller.project import Repository
from runner.domain.errors import Refused
from runner.domain.events import BaseMoved, Emit, Landed, Warned
from runner.domain.instance.record import LastMerge


def land(repository: Repository, landing: Landing, emit: Emit) -> None:
    """Move base to a tested candidate: intent, act, erase. The caller holds no lock.

    Raises BaseMoved where base is elsewhere by now, Refused where files are in the way; nothing
    is changed then.
    """
    _journalled(repository, landing, base_branch.land, emit)


def take_back(repository: Repository, landing: Landing, emit: Emit) -> None:
    """Move base back to an older commit, in the same way. Raises what `land` does."""
    _journalled(repository, landing, base_branch.put_back, emit)


def _journalled(
    repository: Repository,
    landing: Landing,
    act: Callable[[Git, str, str, str, base_branch.Begin], None],
    emit: Emit,
) -> None:
    with repository.locked():
        _settle(repository, emit)
        git, journal = repository.git, Journal(repository.records.root)
        move = (landing.base, landing.expected, landing.candidate)
        try:
            act(git, *move, lambda: journal.begin(landing))
        except Refused:  # nothing is half done, so nothing is to be undone
            _conclude(repository, landing, emit)
            journal.erase()
            raise
        except BaseException:
            _settle(repository, emit)
            raise
        _conclude(repository, landing, emit)
        journal.erase()


def settle(repository: Repository, emit: Emit) -> None:
    """Finish or undo a landing that was cut off. Raises Refused where a person has to look."""
    if Journal(repository.records.root).read():
        with repository.locked():
            _settle(repository, emit)


def _settle(repository: Repository, emit: Emit) -> None:
    journal = Journal(repository.records.root)
    landing = journal.read()
    if landing is None:
        return
    if base_branch.settle(repository.git, landing.base, landing.expected, landing.candidate):
        said = f"a landing on {landing.base} was cut off before it counted; it is undone"
        emit(Warned(said))
    _conclude(repository, landing, emit)
    journal.erase()


def _conclude(repository: Repository, landing: Landing, emit: Emit) -> None:
    """Write down that it landed, if it did."""
    git = repository.git
    head = git.branch(landing.base)
    if head is None or not (head == landing.candidate or git.is_ancestor(landing.candidate, head)):
        return
    for instance, commit in landing.heads.items():
        operation = Operation(repository, instance, emit)
        if operation.has_record():
            operation.change(merge=LastMerge("landed", commit, commit=landing.candidate))
            operation.tell(Landed(landing.run, landing.candidate, commit))
    run = Run(repository.records.root, landing.run)
    if run.path.exists():
        before = run.read().landed
        run.journal(emit(BaseMoved(landing.base, landing.expected, landing.candidate)))
        move = Move(landing.candidate, landing.expected, landing.base, landing.heads)
        if move not in before:
            run.write(landed=(*before, move))
