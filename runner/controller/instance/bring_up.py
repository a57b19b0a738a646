"""The part of a bring-up that needs nothing but the instance: its container, what runs beside it,
and its set-up steps. Clean runs do no more."""

from collections.abc import Callable
from dataclasses import replace
from enum import IntEnum, auto

from runner.controller.instance.container import Running, ensure_running
from runner.controller.instance.setup import ensure_setup
from runner.controller.instance.sidecars import ensure_sidecars
from runner.controller.operation import Operation


class Stage(IntEnum):
    """The stages of a bring-up, in order."""

    DEPENDENCIES = auto()
    CONTAINER = auto()
    SIDECARS = auto()
    SET_UP = auto()
    DATA = auto()
    SERVICES = auto()


Before = Callable[[Stage], None]
"""Called before each stage; what it raises ends the bring-up."""


def nothing(stage: Stage) -> None:
    """Nothing happens before a stage."""


def bring_up_to_set_up(
    operation: Operation,
    *,
    golden: str = "",
    before: Before = nothing,
    steps: int | None = None,
) -> Running:
    """Bring up the container, its sidecars and the set-up steps before number `steps`. `golden` is
    the key of the state that the database begins with. Raises CommandFailed, EngineFailed."""
    before(Stage.CONTAINER)
    running = ensure_running(operation)
    before(Stage.SIDECARS)
    started = ensure_sidecars(operation, running.id, fresh=running.changed, golden=golden)
    before(Stage.SET_UP)
    ran = ensure_setup(operation, running, until=steps)
    return replace(running, changed=running.changed or started or ran)
