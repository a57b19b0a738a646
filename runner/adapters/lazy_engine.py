"""The engine, connected to when it is needed for more than a look.

`list` only asks which containers there are. Importing docker-py for that takes twice as long as
everything else it does, so that one question goes to the engine's local socket directly.
"""

import json
import os
import socket
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from runner.adapters.engine import Container, container_of
from runner.domain.container import LABEL
from runner.domain.errors import EngineFailed, EngineUnavailable

if TYPE_CHECKING:
    from runner.adapters.docker_engine import DockerEngine

SOCKET = Path("/var/run/docker.sock")  # where docker-py looks unless DOCKER_HOST says otherwise
TIMEOUT = 30.0  # seconds

HINT = "treedock doctor says why; treedock doctor --fix starts it where it can."


def engine_socket(environment: Mapping[str, str]) -> Path | None:
    """The socket of the engine that docker-py will ask, or None where that is no local socket."""
    address = environment.get("DOCKER_HOST") or f"unix://{SOCKET}"
    scheme, _, path = address.partition("://")
    return Path(path) if scheme in ("unix", "http+unix") and path else None


class LazyEngine:
    """An Engine: `containers` by itself, everything else through a DockerEngine made on demand."""

    def containers(self, **labels: str) -> list[Container]:
        path = engine_socket(os.environ)
        if path is None:  # a remote engine, perhaps with certificates
            return self._whole.containers(**labels)
        wanted = [LABEL, *(f"treedock.{key}={value}" for key, value in labels.items())]
        filters = quote(json.dumps({"label": wanted}))
        return [
            container_of(item) for item in _ask(path, f"/containers/json?all=1&filters={filters}")
        ]

    @cached_property
    def _whole(self) -> "DockerEngine":
        from runner.adapters.docker_engine import DockerEngine

        return DockerEngine()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._whole, name)


def _ask(path: Path, target: str) -> Any:
    """What the engine answers to a GET, as JSON. HTTP/1.0, so that it ends with the connection."""
    request = f"GET {target} HTTP/1.0\r\nHost: docker\r\n\r\n"
    answer = bytearray()
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT)
            connection.connect(os.fspath(path))
            connection.sendall(request.encode())
            while data := connection.recv(65536):
                answer += data
    except OSError as error:
        raise EngineUnavailable("The container engine does not answer.", hint=HINT) from error
    head, _, body = answer.partition(b"\r\n\r\n")
    try:
        found = json.loads(body)
    except ValueError as error:
        raise EngineUnavailable("The container engine broke off.", hint=HINT) from error
    if head.split(b" ", 2)[1:2] != [b"200"]:
        raise EngineFailed(f"The engine refused: {found.get('message', found)}")
    return found
