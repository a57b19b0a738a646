"""sync, update."""

from runner.controller import choosing
from runner.controller.operation import Operation
from runner.controller.parallel import attempts
from runner.controller.project import Repository
from runner.domain.answers import results_of
from runner.domain.errors import RunnerError
from runner.domain.events import Emit
from runner.domain.git.synced import Synced
from runner.domain.requests.sync import Sync, Syncs, Update, Updates


def sync(repository: Repository, request: Sync, emit: Emit) -> Syncs:
    from runner.controller.sync.sync import sync

    chosen = choosing.several(repository, request.ids, everything=request.everything)

    def one(instance: str) -> Synced:
        operation = Operation(repository, instance, emit)
        repository.record(instance)
        with operation.locked():
            done = sync(operation, prefer=request.keep)
        return Synced(done.id, done.head, done.moved, done.refs, done.later)

    answers = attempts(one, chosen)
    done = tuple(answer for answer in answers if isinstance(answer, Synced))
    moved = [a if isinstance(a, RunnerError) else bool(a.moved or a.refs) for a in answers]
    return Syncs(synced=done, results=results_of(chosen, moved))


def update(repository: Repository, request: Update, emit: Emit) -> Updates:
    from runner.controller.sync.update import go_on, update

    chosen = choosing.one(repository, request.instance)
    repository.record(chosen)
    operation = Operation(repository, chosen, emit)
    done = go_on(operation, request.go) if request.go else update(operation, request.how)
    return Updates(updated=done, results=results_of([chosen], [done.changed]))
