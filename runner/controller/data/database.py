"""The database of an instance: where it is, its client, and copies of it that are kept."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from runner.adapters.database import Adapter, Site, adapter_of
from runner.adapters.store.folder import Folder
from runner.controller.disk_watch import space_watched
from runner.controller.operation import Operation, require_running
from runner.controller.project import Project
from runner.controller.stream import Stream
from runner.domain.config.project import Config
from runner.domain.data.snapshot import Snapshot
from runner.domain.errors import ConfigError, NotFound, Refused
from runner.domain.events import Emit
from runner.domain.text import listed

_USUAL = {"postgres"}  # which servers have for clients that name none

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}")


def url_of(project: Project, instance: str) -> str:
    """The URL. Raises NotFound without the instance, Refused where the host cannot reach it."""
    record = project.repository.record(instance)
    adapter = adapter_of(project.config)
    url = adapter.url(record.ports, record.worktree) if adapter else None
    if url is None:
        raise Refused(
            f"The database of {instance} cannot be reached from this machine.",
            hint="Let its sidecar be published, e.g. publish: db and ports: {db: 9300-9314}; "
            f"inside it is $DATABASE_URL: treedock shell {instance}",
        )
    return url


def site_of(operation: Operation, container: str) -> Site:
    """Where its database is, of an instance that runs as `container`. Raises Refused where the
    sidecar that holds it does not."""
    database = operation.config.database
    beside = ""
    if database and database.beside in operation.config.sidecars:
        sidecar = operation.sidecars().get(database.beside)
        if sidecar is None or sidecar.status != "running":
            raise Refused(
                f"The sidecar {database.beside} of {operation.id} does not run.",
                hint=f"Start it with: treedock up {operation.id}",
            )
        beside = sidecar.id
    own, worktree = operation.folder, Path(operation.record.worktree)
    hidden = database and database.path and _is_mounted(operation, database.path)
    same = None if hidden else worktree
    return Site(operation.engine, container, beside, own.run, own.path, same)


def _is_mounted(operation: Operation, path: str) -> bool:
    """Whether it lies in a volume, which the host does not see."""
    return any(Path(path).is_relative_to(mounted) for mounted in operation.record.mounts)


def required_adapter(config: Config) -> Adapter:
    """The configured database. Raises ConfigError without one."""
    adapter = adapter_of(config)
    if adapter is None:
        raise ConfigError(
            "treedock.yaml does not say which database an instance has.",
            hint="Name it, e.g. database: {engine: sqlite, path: app.db}",
        )
    return adapter


def snapshot(project: Project, instance: str, name: str, emit: Emit) -> Snapshot:
    """Keep a copy of the database as it is now, until the instance is cleaned. Raises Refused for
    a name that is taken."""
    with _at_work(project, instance, emit) as (operation, adapter, site):
        target = _folder(operation, instance) / _checked(name)
        if target.exists():
            raise Refused(
                f"{instance} has a snapshot {name} already.",
                hint=f"Take another name, or delete that one: treedock db drop {instance} {name}",
            )
        target.parent.mkdir(mode=0o700, exist_ok=True)
        with operation.step(f"writing the snapshot {name}"):
            adapter.snapshot(site, target)
        more = sorted({one for kind, one in adapter.others(site) if kind == "database"} - _USUAL)
        if more:
            operation.say(f"not in the snapshot: the database {listed(more)} of the same server")
        return _snapshot(instance, target)


def restore(project: Project, instance: str, source: str, name: str, emit: Emit) -> None:
    """Make the database of `instance` what the snapshot `name` of `source` holds. Raises
    NotFound, and CommandFailed where it cannot be read in; the data stays as it is then."""
    with _at_work(project, instance, emit) as (operation, adapter, site):
        found = _folder(operation, source) / _checked(name)
        if not found.is_file():
            there = [one.name for one in snapshots_of(operation, source)]
            has = f"It has {listed(there)}." if there else "It has none."
            raise NotFound(
                f"{source} has no snapshot {name}.",
                hint=f"{has} Write one with: treedock db snapshot {source} {name}",
            )
        with operation.step(f"restoring the snapshot {name}"):
            adapter.restore(site, found)


def drop(project: Project, instance: str, name: str, emit: Emit) -> None:
    """Delete a snapshot. Raises NotFound."""
    operation = Operation(project, instance, emit)
    project.repository.record(instance)
    with operation.locked():
        try:
            (_folder(operation, instance) / _checked(name)).unlink()
        except FileNotFoundError as error:
            hint = f"See which it has: treedock db list {instance}"
            raise NotFound(f"{instance} has no snapshot {name}.", hint=hint) from error


def snapshots(project: Project, instance: str) -> list[Snapshot]:
    """Those of an instance, the oldest first. Raises NotFound without the instance."""
    project.repository.record(instance)
    return snapshots_of(Operation(project, instance, Stream()), instance)


@contextmanager
def _at_work(
    project: Project, instance: str, emit: Emit
) -> Iterator[tuple[Operation, Adapter, Site]]:
    operation = Operation(project, instance, emit)
    project.repository.record(instance)
    adapter = required_adapter(project.config)
    with operation.locked(), space_watched(project, emit):
        yield operation, adapter, site_of(operation, require_running(operation).id)


def snapshots_of(operation: Operation, instance: str) -> list[Snapshot]:
    """The same, whatever treedock.yaml says."""
    files = [path for path in _folder(operation, instance).glob("*") if _NAME.fullmatch(path.name)]
    found = [_snapshot(instance, path) for path in files if ".new-" not in path.name]
    return sorted(found, key=lambda one: one.created_at)


def _snapshot(instance: str, path: Path) -> Snapshot:
    seen = path.stat()
    made = datetime.fromtimestamp(seen.st_mtime, UTC).isoformat(timespec="seconds")
    return Snapshot(instance, path.name, seen.st_size, made)


def _folder(operation: Operation, instance: str) -> Path:
    if instance != operation.id:
        operation.repository.record(instance)
    return Folder(operation.records.folder(instance)).snapshots


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name) or ".new-" in name:
        raise ConfigError(
            f"{name!r} cannot be a snapshot's name.",
            hint="Use up to 61 letters, digits, '.', '_' and '-', the first a letter or digit.",
        )
    return name
