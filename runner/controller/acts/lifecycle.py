"""up, down, restart."""

from collections.abc import Sequence
from dataclasses import replace

from runner.controller import choosing
from runner.controller.lifecycle.down import down as stop
from runner.controller.observe.listing import list_instances
from runner.controller.onboarding.moved import require_none_elsewhere
from runner.controller.parallel import STOPS, attempts
from runner.controller.project import Project, Repository
from runner.controller.stream import Stream
from runner.domain.answers import problem_of, results_of
from runner.domain.errors import BadRequest, RunnerError
from runner.domain.events import Emit
from runner.domain.instance.record import View
from runner.domain.requests.lifecycle import Down, Instances, Restart, Up


def up(project: Project, request: Up, emit: Emit) -> Instances:
    from runner.controller.instance.worktree import InstanceRequest
    from runner.controller.lifecycle.up import up

    repository = project.repository
    chosen = choosing.several(repository, request.ids)
    purposes: list[str | None] = [*request.purposes]
    if len(purposes) > len(chosen):
        raise BadRequest(
            f"{len(purposes)} purposes were given, but only {len(chosen)} instances.",
            hint="They belong to the ids in their order.",
        )
    purposes += [None] * (len(chosen) - len(purposes))
    requests = [
        InstanceRequest(instance, base=request.base, attach=request.attach, purpose=purpose)
        for instance, purpose in zip(chosen, purposes, strict=True)
    ]
    done = up(
        project, requests, emit, fetch=request.fetch, fresh=request.fresh,
        require_clean=request.require_clean,
    )  # fmt: skip
    answers = [one.error or one.changed for one in done]
    return _shown(repository, chosen, answers, [one.view for one in done])


def down(repository: Repository, request: Down, emit: Emit) -> Instances:
    chosen = choosing.several(repository, request.ids, everything=request.everything)
    answers = attempts(lambda instance: stop(repository, instance, emit), chosen, STOPS)
    done = _shown(repository, chosen, answers)
    if request.everything and not done.errors:
        try:
            require_none_elsewhere(repository)
        except RunnerError as error:
            return replace(done, error=problem_of(error))
    return done


def restart(project: Project, request: Restart, emit: Emit) -> Instances:
    from runner.controller.lifecycle.restart import restart, restart_service

    repository = project.repository
    chosen, service = choosing.with_service(repository, request.instance, request.service)
    if service:
        view: View | None = restart_service(project, chosen, service, emit)
        return _shown(repository, [chosen], [True], [view])
    done = restart(project, chosen, emit)
    return _shown(repository, [chosen], [done.error or True], [done.view])


def _shown(
    repository: Repository,
    ids: Sequence[str],
    answers: Sequence[object],
    seen: Sequence[View | None] = (),
) -> Instances:
    """These instances as they are now; `seen` are those that the verb has looked at already."""
    views = {view.id: view for view in seen if view}
    if not set(ids) <= views.keys():
        views = {view.id: view for view in list_instances(repository, Stream())} | views
    there = tuple(views[instance] for instance in ids if instance in views)
    return Instances(instances=there, results=results_of(ids, answers))
