"""The engine's API over its local socket, without docker-py: importing that takes longer than most
of what treedock asks."""

import contextlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from runner.adapters.engine.calls import (
    TIMEOUT,
    Connection,
    broke_off,
    encoded,
    required,
    unavailable,
)

SOCKET = Path("/var/run/docker.sock")  # where docker-py looks unless DOCKER_HOST says otherwise
STARTED = (200, 101)


def engine_socket(environment: Mapping[str, str]) -> Path | None:
    """The socket of the engine that docker-py will ask, or None where that is no local socket."""
    address = environment.get("DOCKER_HOST") or f"unix://{SOCKET}"
    scheme, _, path = address.partition("://")
    return Path(path) if scheme in ("unix", "http+unix") and path else None


class UnixCalls:
    """Calls to the engine that listens at `path`, each over a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def ask(self, method: str, target: str, body: object = None) -> tuple[int, Any]:
        with self._sent(method, target, body) as (_, reader):
            return _status_of(reader), _json_of(reader)

    @contextlib.contextmanager
    def opened(self, target: str) -> Iterator[Connection]:
        with self._sent("GET", target) as (connection, reader):
            _require(_status_of(reader) == STARTED[0], reader)
            connection.settimeout(None)
            yield Connection(connection, reader)

    @contextlib.contextmanager
    def started(self, made: str, *, tty: bool) -> Iterator[Connection]:
        body = {"Detach": False, "Tty": tty}
        upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n"
        with self._sent("POST", f"/exec/{made}/start", body, upgrade) as (connection, reader):
            _require(_status_of(reader) in STARTED, reader)
            yield Connection(connection, reader)

    @contextlib.contextmanager
    def _sent(
        self, method: str, target: str, body: object = None, head: str = ""
    ) -> Iterator[tuple[socket.socket, BinaryIO]]:
        """HTTP/1.0, so that an answer, a refused upgrade's too, ends with the connection."""
        data, kind = encoded(body)
        if method != "GET":
            head += f"Content-Type: {kind}\r\nContent-Length: {len(data)}\r\n"
        request = f"{method} {target} HTTP/1.0\r\nHost: docker\r\n{head}\r\n".encode() + data
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT)
            try:
                connection.connect(os.fspath(self._path))
                connection.sendall(request)
            except OSError as error:
                raise unavailable() from error
            with connection.makefile("rb") as reader:
                yield connection, cast(BinaryIO, reader)


def _status_of(reader: BinaryIO) -> int:
    """The status of an answer, read up to the end of its head."""
    try:
        status = int(reader.readline(2**16).split(b" ", 2)[1])
        while reader.readline(2**16).strip():
            pass
    except OSError as error:
        raise unavailable() from error
    except (ValueError, IndexError) as error:
        raise broke_off() from error
    return status


def _json_of(reader: BinaryIO) -> Any:
    try:
        body = reader.read()
        return json.loads(body) if body.strip() else None
    except OSError as error:
        raise unavailable() from error
    except ValueError as error:
        raise broke_off() from error


def _require(accepted: bool, reader: BinaryIO) -> None:
    """Raises EngineFailed with what the engine says where it does not accept."""
    if not accepted:
        required(500, _json_of(reader))
