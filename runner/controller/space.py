"""Free space, watched while a verb is active: ext4 has no quota that a container would meet, so
whoever writes while the disk is almost full is paused."""

import contextlib
import threading
from collections.abc import Iterator

from runner.adapters import cgroups, disk
from runner.adapters.engine import Container
from runner.controller.opening import Project
from runner.domain.errors import RunnerError
from runner.domain.events import Emit, Warned

INTERVAL = 5.0  # seconds


@contextlib.contextmanager
def space_watched(project: Project, emit: Emit, interval: float = INTERVAL) -> Iterator[None]:
    """Until the block ends, pause the container that wrote most whenever less than
    limits.disk_free is left. Its paused state is what `status` shows; `up` starts it anew."""
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(project, emit, interval, ended), daemon=True)
    watch.start()
    try:
        yield
    finally:
        ended.set()


def _watch(project: Project, emit: Emit, interval: float, ended: threading.Event) -> None:
    before: dict[str, int] = {}
    while not ended.wait(interval):
        with contextlib.suppress(RunnerError, OSError):  # the verb itself meets the engine's errors
            running = _running(project)
            written = {c.id: cgroups.written(c.id) for c in running}
            free = disk.free_bytes(project.repository.checkout)
            if free < project.config.limits.disk_free and running:
                most = max(running, key=lambda c: written[c.id] - before.get(c.id, 0))
                project.repository.engine.pause(most.id)
                left = f"only {free / 2**30:.1f} GiB are free"
                emit(Warned(most.instance, f"paused: {left}, and it wrote most"))
            before = written


def _running(project: Project) -> list[Container]:
    """This repository's running containers, throwaway ones too."""
    found = project.repository.engine.containers(repository=project.repository.key)
    return [container for container in found if container.status == "running"]
