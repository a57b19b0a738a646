"""`logs`: what services, set-up steps and resets printed."""

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from runner.adapters.engine.protocol import Engine, Filter
from runner.adapters.files import untrusted
from runner.adapters.store.folder import Folder
from runner.adapters.store.run_folder import RunFolder
from runner.controller.operation import Operation
from runner.controller.project import Repository
from runner.controller.stream import Stream
from runner.domain.errors import EngineFailed, NotFound
from runner.domain.events import Emit, Said
from runner.domain.instance.container import Container
from runner.domain.instance.service import service_process
from runner.domain.text import listed

LONGEST_LINE = 2**20  # bytes; a longer one is shown in pieces
GLANCE = 0.2  # seconds between two looks at a followed log
MOST = 30  # logs that are shown without being named
LOOK = 1.0  # seconds between two looks at who writes it
BETWEEN = 2000  # lines


def tails(
    repository: Repository, instance: str, name: str | None, lines: int, emit: Emit
) -> dict[str, list[str]]:
    """The last lines of one log, or of every service's (of every process's where no service has
    one): of at most `MOST`, as code inside can make any number.

    Raises NotFound without the instance or the log.
    """
    folder, services = _folder(repository, instance), repository.record(instance).services
    found = {_short(process): process for process in folder.logs(services)}
    if name is not None:
        sidecar = None if name in found else _sidecar(repository, instance, name)
        if sidecar:
            return {name: repository.engine.last_lines(sidecar.id, lines)}
        if name not in found:
            there = [*found, *_sidecars(repository, instance)]
            raise NotFound(
                f"{instance} has no log of {name!r}.",
                hint=f"There are: {listed(there) or 'none yet'}.",
            )
        found = {name: found[name]}
    else:
        found = {
            n: process for n, process in found.items() if process == service_process(n)
        } or found
        first = sorted(found, key=lambda one: one not in services)
        if len(first) > MOST:
            emit(Said(f"{len(first) - MOST} more logs are not shown; name one"), instance)
        found = {one: found[one] for one in first[:MOST]}
    return {shown: folder.last_lines(process, lines) for shown, process in found.items()}


def follow(
    repository: Repository, instance: str, names: list[str]
) -> Iterator[tuple[str, list[str]]]:
    """(name, new lines) of these logs, without end; of a log that begins again all of it. Raises
    EngineUnavailable where the engine goes, NotFound where the instance does."""
    folder, services = _folder(repository, instance), repository.record(instance).services
    processes = {_short(process): process for process in folder.logs(services)}
    readers: dict[str, _Reader | _SidecarReader] = {}
    for name in names:
        sidecar = None if name in processes else _sidecar(repository, instance, name)
        if name in processes:
            readers[name] = _Reader(folder.log(processes[name]))
        elif sidecar:
            readers[name] = _SidecarReader(repository.engine, sidecar.name)
    looked = time.monotonic()
    while True:
        for name, reader in readers.items():
            lines = reader.new_lines()
            if lines:
                yield name, lines
        if time.monotonic() > looked + LOOK:
            _require_source(repository, instance)
            looked = time.monotonic()
        time.sleep(GLANCE)


def _require_source(repository: Repository, instance: str) -> None:
    """That something can still be added: an instance, be it down, and an engine to run it."""
    repository.record(instance)
    repository.engine.containers(Filter(repository=repository.key))


class _Reader:
    """Reads what is added to a log, from its present end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode, self._at = self._stat()
        self._rest = b""

    def new_lines(self) -> list[str]:
        inode, size = self._stat()
        if inode != self._inode or size < self._at:
            self._inode, self._at, self._rest = inode, 0, b""
        descriptor = untrusted.open_file(self._path) if size > self._at else None
        if descriptor is None:
            return []
        with os.fdopen(descriptor, "rb") as file:
            file.seek(self._at)
            data = file.read(2**20)
        self._at += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            lines, self._rest = [*lines, self._rest], b""
        return [line.decode(errors="replace") for line in lines]

    def _stat(self) -> tuple[int, int]:
        try:
            found = self._path.lstat()
        except OSError:
            return 0, 0
        return found.st_ino, found.st_size


class _SidecarReader:
    """Reads what a container prints; of more than `BETWEEN` lines between two looks, the last."""

    def __init__(self, engine: Engine, container: str) -> None:
        self._engine, self._container = engine, container
        self._seen = engine.last_lines(container, BETWEEN)

    def new_lines(self) -> list[str]:
        try:
            now = self._engine.last_lines(self._container, BETWEEN)
        except EngineFailed:  # removed; one of the same name may come
            return []
        before, self._seen = self._seen, now
        return added(before, now)


def added(before: list[str], now: list[str]) -> list[str]:
    """What `now` ends with beyond `before`, both being the last lines of one log."""
    start = max(0, len(before) - len(now))
    known = next(
        (len(before) - at for at in range(start, len(before)) if _meet(before, at, now)), 0
    )
    return now[known:]


def _meet(before: list[str], at: int, now: list[str]) -> bool:
    return before[at:] == now[: len(before) - at]


def _sidecar(repository: Repository, instance: str, name: str) -> Container | None:
    """The sidecar of this name; its log is the engine's."""
    return _sidecars(repository, instance).get(name)


def _sidecars(repository: Repository, instance: str) -> Mapping[str, Container]:
    return Operation(repository, instance, Stream()).sidecars()


def _folder(repository: Repository, instance: str) -> RunFolder:
    record = repository.record(instance)
    return RunFolder(Folder(repository.records.folder(record.id)).run)


def _short(process: str) -> str:
    """'service.backend' is shown as 'backend', other processes as they are called."""
    return process.removeprefix("service.")
