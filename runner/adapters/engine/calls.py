"""Requests to the engine's API, whatever carries them.

Targets have no version in front: the engine takes the newest that it speaks.
"""

import json
from contextlib import AbstractContextManager
from socket import socket
from typing import Any, BinaryIO, Protocol
from urllib.parse import quote

from runner.adapters.engine.protocol import HINT
from runner.domain.errors import EngineFailed, EngineUnavailable
from runner.domain.frozen import dataclass

TIMEOUT = 120.0  # seconds; starting 40 containers at once on two cores stays far below
NOT_FOUND, CONFLICT = 404, 409


@dataclass(frozen=True)
class Connection:
    """One that stays open. `reader` holds what arrived together with the answer's head."""

    socket: socket
    reader: BinaryIO


class Calls(Protocol):
    """Each raises EngineUnavailable where no engine answers, or it breaks off."""

    def ask(self, method: str, target: str, body: object = None) -> tuple[int, Any]:
        """(status, JSON or None) of a request, with a `body` as JSON; bytes are a tar."""

    def opened(self, target: str) -> AbstractContextManager[Connection]:
        """The body of a GET that goes on. Raises EngineFailed where the engine refuses."""

    def started(self, made: str, *, tty: bool) -> AbstractContextManager[Connection]:
        """Start an exec that was made with or without a terminal; the connection to its streams.
        Raises EngineFailed where the engine refuses."""


def required(status: int, found: Any) -> Any:
    """What was found. Raises EngineFailed for the status of a refusal."""
    if status >= 400:
        message = found.get("message", found) if isinstance(found, dict) else found
        raise EngineFailed(f"The engine refused: {message}")
    return found


def encoded(body: object) -> tuple[bytes, str]:
    """(data, content type) of a body."""
    if isinstance(body, bytes):
        return body, "application/x-tar"
    return b"" if body is None else json.dumps(body).encode(), "application/json"


def unavailable() -> EngineUnavailable:
    return EngineUnavailable("The container engine does not answer.", hint=HINT)


def broke_off() -> EngineUnavailable:
    return EngineUnavailable("The container engine broke off.", hint=HINT)


def filters(**wanted: list[str]) -> str:
    """The query `filters=...` with which the engine's lists are asked."""
    return f"filters={quote(json.dumps(wanted))}"
