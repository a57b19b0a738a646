"""`warm`: what the first `up` on base would have to make, made ahead of time."""

import os
from pathlib import Path

from runner.controller.cache.dependencies import ensure_dependencies
from runner.controller.cache.prune import Cached, cached
from runner.controller.data.golden_state import first_reset
from runner.controller.data.reset import ensure_reset
from runner.controller.instance import images
from runner.controller.instance.container import ensure_running
from runner.controller.instance.setup import ensure_setup
from runner.controller.instance.sidecars import ensure_sidecars
from runner.controller.instance.throwaway import GateOperation, dispose, gate_project, lay_out
from runner.controller.project import Project
from runner.domain.errors import Refused
from runner.domain.events import Emit
from runner.domain.instance.container import GATE_PREFIX


def warm(project: Project, emit: Emit) -> list[Cached]:
    """Make images, snapshots and the golden database for today's base; those that are there are
    left alone. Returns every snapshot."""
    repository = project.repository
    commit = repository.git.newest(project.base)[0]
    if commit is None:
        raise Refused(f"There is no commit of {project.base}.", hint="Commit something first.")
    repository.engine.prepare()
    repository.records.root.mkdir(mode=0o700, exist_ok=True)
    repository.claim()
    authority = images.host_ca(project.config.network.ca)
    image = images.ensure_image_at(project, lambda: commit, authority, emit)
    for sidecar in project.config.sidecars.values():
        images.ensure_sidecar_image(repository.engine, sidecar, authority, emit)
    repository.engine.ensure_network()
    _make_snapshots(project, commit, image, authority, emit)
    return cached(repository)


def _make_snapshots(
    project: Project, commit: str, image: str, authority: Path | None, emit: Emit
) -> None:
    operation = GateOperation(gate_project(project), f"{GATE_PREFIX}warm-{os.getpid()}", emit)
    with operation.locked():
        try:
            lay_out(operation, commit)
            ensure_dependencies(operation, image, authority)
            _make_golden(operation, image, authority)
        finally:
            dispose(operation)


def _make_golden(operation: GateOperation, image: str, authority: Path | None) -> None:
    if operation.config.database is None or operation.config.database.reset is None:
        return
    running = ensure_running(operation, image, authority)
    with first_reset(operation, authority, untouched=True) as first:
        if first.keeps:
            ensure_sidecars(operation, running.id, fresh=running.fresh, authority=authority)
            ensure_setup(operation, running.id, running.env)
            ensure_reset(operation, running.id, running.env, first)
