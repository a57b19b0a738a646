"""The engine's API over its local socket, without docker-py: importing that takes longer than most
of what treedock asks."""

import contextlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from runner.adapters.engine.execs import Connection
from runner.adapters.engine.protocol import HINT
from runner.domain.errors import EngineFailed, EngineUnavailable

SOCKET = Path("/var/run/docker.sock")  # where docker-py looks unless DOCKER_HOST says otherwise
TIMEOUT = 120.0  # seconds, as for docker-py
OK, NOT_FOUND = 200, 404


def engine_socket(environment: Mapping[str, str]) -> Path | None:
    """The socket of the engine that docker-py will ask, or None where that is no local socket."""
    address = environment.get("DOCKER_HOST") or f"unix://{SOCKET}"
    scheme, _, path = address.partition("://")
    return Path(path) if scheme in ("unix", "http+unix") and path else None


class UnixClient:
    """Requests to the engine that listens at `path`, each with a connection of its own. Raises
    EngineUnavailable where none answers."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def ask(self, target: str, body: object = None) -> tuple[int, Any]:
        """(status, JSON or None) of a GET, or with a `body` of a POST."""
        with self._sent(target, body, "") as (_, reader):
            return _status_of(reader), _json_of(reader)

    def required(self, target: str, body: object = None) -> Any:
        """The answer alone. Raises EngineFailed where the engine refuses."""
        status, found = self.ask(target, body)
        return required(status, found)

    @contextlib.contextmanager
    def upgraded(self, target: str, body: object) -> Iterator[Connection]:
        """The connection that a POST becomes. Raises EngineFailed where the engine refuses."""
        upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n"
        with self._sent(target, body, upgrade) as (connection, reader):
            status = _status_of(reader)
            if status not in (OK, 101):
                required(status, _json_of(reader))
            yield Connection(connection, reader)

    @contextlib.contextmanager
    def _sent(
        self, target: str, body: object, head: str
    ) -> Iterator[tuple[socket.socket, BinaryIO]]:
        """HTTP/1.0, so that an answer, a refused upgrade's too, ends with the connection."""
        data = b"" if body is None else json.dumps(body).encode()
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        method = "GET" if body is None else "POST"
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


class UnixExecCalls:
    """ExecCalls over the local socket."""

    def __init__(self, client: UnixClient) -> None:
        self._client = client

    def create(self, container: str, wanted: Mapping[str, Any]) -> str:
        return str(self._client.required(f"/containers/{container}/exec", dict(wanted))["Id"])

    def started(self, made: str) -> contextlib.AbstractContextManager[Connection]:
        return self._client.upgraded(f"/exec/{made}/start", {"Detach": False, "Tty": False})

    def start_detached(self, made: str) -> None:
        self._client.required(f"/exec/{made}/start", {"Detach": True, "Tty": False})

    def inspect(self, made: str) -> Mapping[str, Any]:
        return cast(Mapping[str, Any], self._client.required(f"/exec/{made}/json"))


def unavailable() -> EngineUnavailable:
    return EngineUnavailable("The container engine does not answer.", hint=HINT)


def _status_of(reader: BinaryIO) -> int:
    """The status of an answer, read up to the end of its head."""
    try:
        status = int(reader.readline(2**16).split(b" ", 2)[1])
        while reader.readline(2**16).strip():
            pass
    except OSError as error:
        raise unavailable() from error
    except (ValueError, IndexError) as error:
        raise EngineUnavailable("The container engine broke off.", hint=HINT) from error
    return status


def _json_of(reader: BinaryIO) -> Any:
    try:
        body = reader.read()
        return json.loads(body) if body.strip() else None
    except OSError as error:
        raise unavailable() from error
    except ValueError as error:
        raise EngineUnavailable("The container engine broke off.", hint=HINT) from error


def required(status: int, found: Any) -> Any:
    """What was found. Raises EngineFailed for the status of a refusal."""
    if status >= 300:
        message = found.get("message", found) if isinstance(found, dict) else found
        raise EngineFailed(f"The engine refused: {message}")
    return found
