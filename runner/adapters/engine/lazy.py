"""The engine, connected to when it is needed for more than a look.

`list` only asks which containers there are. Importing docker-py for that takes twice as long as
everything else it does, so such questions go to the engine's local socket directly; `up` imports
docker-py beside its first git commands.
"""

import contextlib
import json
import os
import socket
import threading
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from runner.adapters.engine.protocol import HINT, ICC, Container, container_of
from runner.domain.errors import EngineFailed, EngineUnavailable, RunnerError
from runner.domain.instance.container import LABEL, NETWORK

if TYPE_CHECKING:
    from runner.adapters.engine.docker import DockerEngine

SOCKET = Path("/var/run/docker.sock")  # where docker-py looks unless DOCKER_HOST says otherwise
TIMEOUT = 30.0  # seconds
OK, NOT_FOUND = 200, 404


def engine_socket(environment: Mapping[str, str]) -> Path | None:
    """The socket of the engine that docker-py will ask, or None where that is no local socket."""
    address = environment.get("DOCKER_HOST") or f"unix://{SOCKET}"
    scheme, _, path = address.partition("://")
    return Path(path) if scheme in ("unix", "http+unix") and path else None


class LazyEngine:
    """An Engine: looks by itself, everything else through a DockerEngine made on demand."""

    def prepare(self) -> None:
        threading.Thread(target=self._try_whole, daemon=True).start()

    def containers(self, **labels: str) -> list[Container]:
        path = engine_socket(os.environ)
        if path is None:  # a remote engine, perhaps with certificates
            return self._whole.containers(**labels)
        wanted = [LABEL, *(f"treedock.{key}={value}" for key, value in labels.items())]
        filters = quote(json.dumps({"label": wanted}))
        status, found = _ask(path, f"/containers/json?all=1&filters={filters}")
        return [container_of(item) for item in _required(status, found)]

    def image(self, name: str) -> str | None:
        path = engine_socket(os.environ)
        if path is None:
            return self._whole.image(name)
        status, found = _ask(path, f"/images/{quote(name)}/json")
        return None if status == NOT_FOUND else str(_required(status, found)["Id"])

    def ensure_network(self) -> None:
        path = engine_socket(os.environ)
        if path is not None:
            status, found = _ask(path, f"/networks/{NETWORK}")
            if status == OK and (found.get("Options") or {}).get(ICC) == "false":
                return
        self._whole.ensure_network()

    def _try_whole(self) -> None:
        with contextlib.suppress(RunnerError):  # whoever needs it meets the error again
            _ = self._whole

    @cached_property
    def _whole(self) -> "DockerEngine":
        from runner.adapters.engine.docker import DockerEngine

        return DockerEngine()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._whole, name)


def _ask(path: Path, target: str) -> tuple[int, Any]:
    """(status, JSON) that the engine answers to a GET. HTTP/1.0, so that it ends with the
    connection."""
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
        return int(head.split(b" ", 2)[1]), json.loads(body)
    except (ValueError, IndexError) as error:
        raise EngineUnavailable("The container engine broke off.", hint=HINT) from error


def _required(status: int, found: Any) -> Any:
    if status != OK:
        raise EngineFailed(f"The engine refused: {found.get('message', found)}")
    return found
