"""merge, review, conflicts, pr."""

from runner.controller import choosing
from runner.controller.project import Project, Repository
from runner.domain.answers import results_of
from runner.domain.errors import BadRequest
from runner.domain.events import Emit
from runner.domain.requests.landing import (
    Compare,
    Comparison,
    Look,
    Merge,
    Merges,
    OpenPullRequest,
    PullRequest,
    Reviewed,
    Undo,
    Undone,
)


def merge(project: Project, request: Merge, emit: Emit) -> Merges:
    from runner.controller.landing.merge import merge

    if request.no_gate and request.gates:
        raise BadRequest("More gates and no gate at all exclude each other.")
    if request.width is not None and request.width < 1:
        raise BadRequest(f"The width has to be at least 1, not {request.width}.")
    repository = project.repository
    chosen = choosing.several(repository, request.ids, everything=request.everything)
    return Merges(queues=tuple(merge(project, chosen, request, emit)))


def merge_undo(project: Project, request: Undo, emit: Emit) -> Undone:
    from runner.controller.landing.undo import undo

    return Undone(run=request.run, done=undo(project, request.run, emit))


def review(repository: Repository, request: Look, emit: Emit) -> Reviewed:
    from runner.controller.landing.review import review

    chosen = choosing.one(repository, request.instance)
    return Reviewed(review=review(repository, chosen, emit, patches=request.patches))


def conflicts(project: Project, request: Compare, emit: Emit) -> Comparison:
    from runner.controller.landing.conflicts import conflicts

    chosen = list(dict.fromkeys(request.ids)) or project.repository.records.ids()
    bases = conflicts(project, chosen, emit)
    errors = {one.id: one.error for base in bases for one in base.compared}
    return Comparison(
        bases=tuple(bases),
        results=results_of(chosen, [errors.get(instance) for instance in chosen]),
    )


def pr(repository: Repository, request: OpenPullRequest, emit: Emit) -> PullRequest:
    from runner.controller.landing.pr import pr

    chosen = choosing.one(repository, request.instance)
    opened = pr(
        repository, chosen, emit, title=request.title, body=request.body, labels=request.labels,
        draft=request.draft, no_gate=request.no_gate,
    )  # fmt: skip
    return PullRequest(pull_request=opened)
