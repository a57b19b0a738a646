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
from runner.controller.instance.throwaway import GateWork, dispose, gate_project, lay_out
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
    work = GateWork(gate_project(project), f"{GATE_PREFIX}warm-{os.getpid()}", emit)
    with work.locked():
        try:
            lay_out(work, commit)
            ensure_dependencies(work, image, authority)
            _make_golden(work, image, authority)
        finally:
            dispose(work)


def _make_golden(work: GateWork, image: str, authority: Path | None) -> None:
    if work.config.database is None or work.config.database.reset is None:
        return
    running = ensure_running(work, image, authority)
    with first_reset(work, authority, untouched=True) as first:
        if first.keeps:
            ensure_sidecars(work, running.id, fresh=running.fresh, authority=authority)
            ensure_setup(work, running.id, running.env)
            ensure_reset(work, running.id, running.env, first)
