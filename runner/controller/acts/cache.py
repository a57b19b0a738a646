"""warm, cache list, cache prune."""

from runner.controller.cache import prune
from runner.controller.project import Project, Repository, open_project
from runner.domain.events import Emit
from runner.domain.requests.cache import Cache, ListCache, Prune, Pruned, Warm


def warm(project: Project, request: Warm, emit: Emit) -> Cache:
    from runner.controller.lifecycle.warm import warm

    return Cache(cached=tuple(warm(project, emit)))


def cache_list(repository: Repository, request: ListCache, emit: Emit) -> Cache:
    return Cache(cached=tuple(prune.cached(repository)))


def cache_prune(repository: Repository, request: Prune, emit: Emit) -> Pruned:
    most = request.max_size
    if request.older_than is None and most is None:
        most = open_project(repository).config.limits.cache
    gone = prune.prune(repository, older_than=request.older_than, max_size=most)
    prune.remove_leftover_volumes(repository)
    return Pruned(pruned=tuple(gone))
