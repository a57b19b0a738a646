"""Free space, watched while a verb is active: ext4 has no quota that a container would meet, so
whoever writes while the disk is almost full is paused."""

import contextlib
import threading
from collections.abc import Callable, Iterator

from runner.adapters import cgroups, disk
from runner.controller.opening import Project
from runner.domain.container import GATE_PREFIX
from runner.domain.errors import RunnerError
from runner.domain.events import Emit, Warned

INTERVAL = 5.0  # seconds


@contextlib.contextmanager
def space_watched(
    project: Project,
    emit: Emit,
    interval: float = INTERVAL,
    written: Callable[[str], int] = cgroups.written,
) -> Iterator[None]:
    """Until the block ends, pause the container that wrote most since the last look whenever less
    than limits.disk_free is left. Its paused state is what `status` shows; `up` starts it anew.

    `interval` in seconds; `written` gives the bytes that a container has written.
    """
    ended = threading.Event()

    def watch() -> None:
        before = _written(project, written)
        while not ended.wait(interval):
            now = _written(project, written)
            if disk.free_bytes(project.repository.checkout) < project.config.limits.disk_free:
                grown = {c: count - before.get(c, 0) for c, count in now.items()}
                _pause(project, emit, grown)
            before = now

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    finally:
        ended.set()
        watching.join()


def _written(project: Project, written: Callable[[str], int]) -> dict[str, int]:
    """By id what this repository's running containers have written, throwaway ones too."""
    with contextlib.suppress(RunnerError, OSError):  # the verb itself meets the engine's errors
        found = project.repository.engine.containers(repository=project.repository.key)
        return {c.id: written(c.id) for c in found if c.status == "running"}
    return {}


def _pause(project: Project, emit: Emit, grown: dict[str, int]) -> None:
    most = max(grown, key=lambda container: grown[container], default=None)
    if most is None or grown[most] <= 0:
        return
    with contextlib.suppress(RunnerError, OSError):
        engine = project.repository.engine
        found = engine.containers(repository=project.repository.key)
        names = {c.id: c.owner for c in found}
        if names.get(most, "").startswith(GATE_PREFIX):
            engine.remove(most)  # of a test: who waits for it sees that it has ended
        else:
            engine.pause(most)
        left = f"only {disk.free_bytes(project.repository.checkout) / 2**30:.1f} GiB are free"
        emit(Warned(names.get(most, ""), f"paused: {left}, and it wrote most"))
