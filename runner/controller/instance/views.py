"""Turning what the world says about instances into Views."""

from collections.abc import Iterable
from pathlib import Path

from runner.adapters.store import locks
from runner.adapters.store.records import Records
from runner.adapters.store.run_folder import RunFolder
from runner.controller.operation import ProjectOperation
from runner.domain.instance import container as names
from runner.domain.instance.container import Container
from runner.domain.instance.record import (
    DatabaseView,
    Failure,
    Record,
    ServiceView,
    View,
    preview_of,
    state_of,
    urls_of,
)
from runner.domain.instance.service import service_process, view_of


def describe(operation: ProjectOperation) -> View:
    """The view of the instance that a verb is at work on."""
    engine = operation.config.database.engine if operation.config.database else None
    sidecars = list(operation.sidecars().values()) if operation.config.sidecars else []
    return view(
        operation.records,
        operation.record,
        operation.container(),
        sidecars,
        busy=False,
        database=engine,
    )


def view(
    records: Records,
    record: Record,
    container: Container | None,
    sidecars: Iterable[Container] = (),
    *,
    busy: bool | None = None,
    database: str | None = None,
) -> View:
    """What record, engine and run folder say, without asking git. `busy`: a verb is at work."""
    status = container.status if container else "absent"
    up = status == "running"
    services = _services(records, record.id, record.services, up=up)
    beside = [_sidecar(one) for one in sidecars]
    lost = sorted(record.sidecars.keys() - {one.name for one in beside}) if container else []
    beside += [ServiceView(name, "missing") for name in lost]
    if busy is None:
        busy = locks.is_held(records.lock(record.id))
    error = record.error
    if container and not (record.ready or busy or error):
        error = Failure(
            "interrupted", "Its last `up` was interrupted.", f"Go on with: treedock up {record.id}"
        )
    urls = urls_of({n: p for n, p in record.ports.items() if n not in record.sidecar_ports})
    return View(
        id=record.id,
        branch=record.branch,
        base=record.base,
        worktree=record.worktree,
        state=state_of(
            status, services + beside, ready=record.ready, failed=error is not None, busy=busy
        ),
        slot=record.slot,
        ports=record.ports,
        urls=urls,
        preview=urls.get(preview_of(urls, record.served), ""),
        services=services,
        sidecars=sorted(beside, key=lambda one: one.name),
        database=DatabaseView(database, record.reset_at) if database else None,
        dirty=None,
        ahead=None,
        behind=None,
        created_at=record.created_at,
        purpose=record.purpose,
        container=container.id[:12] if container else None,
        error=error,
        merge=record.merge,
        missing=[
            *([] if (Path(record.worktree) / ".git").exists() else ["worktree"]),
            *(f"sidecar {name}" for name in lost),
        ],
    )


def _sidecar(container: Container) -> ServiceView:
    up = container.status == "running"
    name = container.labels.get(names.LABEL_SIDECAR, "")
    return ServiceView(name, "running" if up else "stopped")


def _services(
    records: Records, instance: str, services: Iterable[str], *, up: bool
) -> list[ServiceView]:
    folder = RunFolder(records.folder(instance) / "run")
    return [view_of(name, folder.process(service_process(name)), up=up) for name in services]
