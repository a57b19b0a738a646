"""What the engine goes on saying: events, logs, and how much a container uses.

Docker's API: SystemEvents, ContainerLogs, ContainerStats.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from socket import SHUT_RDWR
from typing import Any

from runner.adapters import cancellation
from runner.adapters.engine.calls import Calls, Connection, broke_off, filters, required
from runner.adapters.engine.execs import frames
from runner.adapters.engine.protocol import EVERYTHING, EngineEvent, Filter, Stats

LINE = 2**16  # bytes of one line; what is longer comes in parts
EVENT = 2**20  # bytes of one event


class Streams:
    """The methods of an Engine that listen."""

    @property
    def calls(self) -> Calls:
        raise NotImplementedError

    def events(
        self, wanted: Filter = EVERYTHING, since: float | None = None
    ) -> AbstractContextManager[Iterator[EngineEvent]]:
        chosen = filters(type=["container"], label=wanted.words)
        begin = "" if since is None else f"&since={since:.9f}"
        return self._events(f"/events?{chosen}{begin}")

    @contextlib.contextmanager
    def _events(self, target: str) -> Iterator[Iterator[EngineEvent]]:
        with self.calls.opened(target) as connection:
            yield (_event_of(json.loads(line)) for line in _lines_of(connection))

    def last_lines(self, container: str, lines: int) -> list[str]:
        with self.calls.opened(_logs(container, lines)) as connection:
            return list(_log_lines(connection))

    @contextlib.contextmanager
    def follow_log(self, container: str, lines: int) -> Iterator[Iterator[str]]:
        with self.calls.opened(f"{_logs(container, lines)}&follow=1") as connection:
            yield _log_lines(connection)

    def stats(self, container: str) -> Stats:
        target = f"/containers/{container}/stats?stream=0&one-shot=1"
        found = required(*self.calls.ask("GET", target))
        memory = found.get("memory_stats") or {}
        return Stats(
            cpu_seconds=found["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9,
            memory=_used(memory),
            memory_limit=memory.get("limit", 0),
            pids=(found.get("pids_stats") or {}).get("current", 0),
        )


def _used(memory: Mapping[str, Any]) -> int:
    """Bytes without those that the kernel gives back when it wants to, as `docker stats` counts
    (cgroup v1 calls them total_inactive_file, v2 inactive_file)."""
    stats = memory.get("stats") or {}
    spare = stats.get("total_inactive_file", stats.get("inactive_file", 0))
    return int(max(0, memory.get("usage", 0) - spare))


def _event_of(item: Mapping[str, Any]) -> EngineEvent:
    actor = item["Actor"]
    return EngineEvent(
        action=item["Action"].partition(":")[0],  # 'exec_start: sh -c ...'
        container=actor["ID"],
        labels=actor["Attributes"],
        at=item["timeNano"] / 1e9,
    )


def _lines_of(connection: Connection) -> Iterator[bytes]:
    """The lines of a body, until it ends. Raises Cancelled, and EngineUnavailable where the engine
    goes away."""
    try:
        with cancellation.ending(lambda: connection.socket.shutdown(SHUT_RDWR)):
            while line := connection.reader.readline(EVENT):
                if not line.endswith(b"\n"):
                    raise broke_off()
                yield line
    except OSError as error:
        raise broke_off() from error


def _logs(container: str, lines: int) -> str:
    return f"/containers/{container}/logs?stdout=1&stderr=1&tail={lines}"


def _log_lines(connection: Connection) -> Iterator[str]:
    """Whole lines of both streams as they come, and at the end what has no end of line."""
    begun = {1: b"", 2: b""}
    for kind, data in frames(connection, None):
        *whole, rest = (begun.get(kind, b"") + data).split(b"\n")
        if len(rest) > LINE:
            whole, rest = [*whole, rest], b""
        begun[kind] = rest
        yield from (line.decode(errors="replace") for line in whole)
    yield from (rest.decode(errors="replace") for rest in begun.values() if rest)
