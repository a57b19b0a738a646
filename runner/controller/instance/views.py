"""The view of one instance that a verb is at work on."""

from pathlib import Path

from runner.controller.operation import Operation
from runner.controller.world import services
from runner.domain.instance.record import View
from runner.domain.instance.world import view


def describe(operation: Operation) -> View:
    """What its parts add up to, the verb itself left out."""
    record, container = operation.record, operation.container()
    up = container is not None and container.status == "running"
    engine = operation.config.database.engine if operation.config.database else None
    return view(
        record,
        container,
        operation.sidecars().values() if operation.config.sidecars else (),
        services(operation.records, record, up=up),
        busy=False,
        has_worktree=(Path(record.worktree) / ".git").exists(),
        database=engine,
    )
