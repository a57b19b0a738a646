"""The one bring-up: from the files of an instance to its services. Every stage may be repeated."""

from dataclasses import replace

from runner.controller.cache.dependencies import ensure_dependencies
from runner.controller.data.initial import ensure_data, initial_data
from runner.controller.instance.bring_up import Before, Stage, bring_up_to_set_up, nothing
from runner.controller.instance.container import Running
from runner.controller.instance.services import ensure_services
from runner.controller.instance.setup import ensure_verified
from runner.controller.operation import Operation
from runner.domain.data.initial import Restore, Share


def bring_up(
    operation: Operation,
    *,
    until: Stage,
    share: Share,
    before: Before = nothing,
) -> Running:
    """Bring up an instance whose worktree is there, through the stage `until`. Returns its
    container, `changed` where anything was started or ran. Raises CommandFailed for a command of
    the project that fails, EngineFailed."""
    before(Stage.DEPENDENCIES)
    ensure_dependencies(operation)
    with initial_data(operation, share) as data:
        golden = data.key if isinstance(data, Restore) else ""
        running = bring_up_to_set_up(operation, golden=golden, before=before)
        changed = ensure_verified(operation, running)
        before(Stage.DATA)
        changed |= ensure_data(operation, running, data)
    if until >= Stage.SERVICES:
        before(Stage.SERVICES)
        changed |= ensure_services(operation, running)
    return replace(running, changed=running.changed or changed)
