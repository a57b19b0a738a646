"""`warm`: what the first `up` on base would have to make, made ahead of time."""

import os
from dataclasses import replace

from runner.controller.cache.dependencies import ensure_dependencies
from runner.controller.cache.prune import cached
from runner.controller.data.initial import decide
from runner.controller.instance import images
from runner.controller.instance.bring_up import Stage
from runner.controller.instance.throwaway import dispose, gate_project, lay_out
from runner.controller.lifecycle.bring_up import bring_up
from runner.controller.operation import Operation
from runner.controller.project import Project
from runner.domain.cache.cached import Cached
from runner.domain.data.initial import Run, Share
from runner.domain.errors import Refused
from runner.domain.events import Emit
from runner.domain.instance.names import throwaway


def warm(project: Project, emit: Emit) -> list[Cached]:
    """Make images, snapshots and the golden database for today's base; those that are there are
    left alone. Returns every snapshot."""
    repository = project.repository
    commit = repository.git.newest(project.base)[0]
    if commit is None:
        raise Refused(f"There is no commit of {project.base}.", hint="Commit something first.")
    repository.records.root.mkdir(mode=0o700, exist_ok=True)
    repository.claim()
    image = images.ensure_image_at(project, lambda: commit, emit)
    for sidecar in project.config.sidecars.values():
        images.ensure_sidecar_image(project, sidecar, emit)
    repository.engine.ensure_network()
    _make_snapshots(project, commit, image, emit)
    return cached(repository)


def _make_snapshots(project: Project, commit: str, image: str, emit: Emit) -> None:
    elsewhere = gate_project(project)
    elsewhere = replace(elsewhere, config=replace(elsewhere.config, verify=None))
    operation = Operation(elsewhere, throwaway(f"warm-{os.getpid()}"), emit)
    operation.image = image
    with operation.locked():
        try:
            lay_out(operation, commit)
            ensure_dependencies(operation)
            state = decide(operation, Share.MAKE)
            if isinstance(state, Run) and state.keep:
                bring_up(operation, until=Stage.DATA, share=Share.MAKE)
        finally:
            dispose(operation)
