"""The engine, connected to when it is needed for more than a look.

`list` only asks which containers there are, and `exec` runs one command. Importing docker-py for
that takes twice as long as everything else they do, so both go to the engine's local socket
directly; `up` imports docker-py beside its first git commands.
"""

import contextlib
import json
import os
import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from runner.adapters.engine.execs import ExecCalls, Execs
from runner.adapters.engine.protocol import ICC, Container, container_of
from runner.adapters.engine.unix import (
    NOT_FOUND,
    OK,
    UnixClient,
    UnixExecCalls,
    engine_socket,
    required,
)
from runner.domain.errors import RunnerError
from runner.domain.instance.container import LABEL, NETWORK

if TYPE_CHECKING:
    from runner.adapters.engine.docker import DockerEngine


class LazyEngine(Execs):
    """An Engine: looks and execs by itself, all else through a DockerEngine made on demand."""

    @cached_property
    def _client(self) -> UnixClient | None:
        """None where the engine is a remote one, perhaps with certificates."""
        path = engine_socket(os.environ)
        return UnixClient(path) if path else None

    @property
    def exec_calls(self) -> ExecCalls:
        return UnixExecCalls(self._client) if self._client else self._whole.exec_calls

    def prepare(self) -> None:
        threading.Thread(target=self._try_whole, daemon=True).start()

    def containers(self, **labels: str) -> list[Container]:
        if self._client is None:
            return self._whole.containers(**labels)
        wanted = [LABEL, *(f"treedock.{key}={value}" for key, value in labels.items())]
        filters = quote(json.dumps({"label": wanted}))
        found = self._client.required(f"/containers/json?all=1&filters={filters}")
        return [container_of(item) for item in found]

    def image(self, name: str) -> str | None:
        if self._client is None:
            return self._whole.image(name)
        status, found = self._client.ask(f"/images/{quote(name)}/json")
        if status == NOT_FOUND:
            return None
        return str(required(status, found)["Id"])

    def ensure_network(self) -> None:
        if self._client:
            status, found = self._client.ask(f"/networks/{NETWORK}")
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
