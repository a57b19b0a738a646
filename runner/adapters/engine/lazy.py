"""The engine, connected to when it is needed for more than a look.

`list` only asks which containers there are, and `exec` runs one command. Importing docker-py for
that takes twice as long as everything else they do, so both go to the engine's local socket
directly; `up` imports docker-py beside its first git commands.
"""

import contextlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote

from runner.adapters.engine.execs import ExecCalls, Execs
from runner.adapters.engine.protocol import EVERYTHING, ICC, EngineInfo, Filter, container_of
from runner.adapters.engine.unix import (
    NOT_FOUND,
    OK,
    UnixClient,
    UnixExecCalls,
    engine_socket,
    required,
)
from runner.domain.errors import RunnerError
from runner.domain.instance.container import LABEL, NETWORK, Container, ContainerSpec

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

    def containers(self, wanted: Filter = EVERYTHING) -> list[Container]:
        if self._client is None:
            return self._whole.containers(wanted)
        found = self._client.required(f"/containers/json?all=1&filters={_filters(wanted)}")
        return [container_of(item) for item in found]

    def image(self, name: str) -> str | None:
        if self._client is None:
            return self._whole.image(name)
        status, found = self._client.ask(f"/images/{quote(name)}/json")
        if status == NOT_FOUND:
            return None
        return str(required(status, found)["Id"])

    def volumes(self, wanted: Filter = EVERYTHING) -> list[str]:
        if self._client is None:
            return self._whole.volumes(wanted)
        found = self._client.required(f"/volumes?filters={_filters(wanted)}")
        return [volume["Name"] for volume in found["Volumes"] or ()]

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

    # --- by docker-py -----------------------------------------------------------------------

    def info(self) -> EngineInfo:
        return self._whole.info()

    def has_network(self) -> bool:
        return self._whole.has_network()

    def create(self, spec: ContainerSpec) -> str:
        return self._whole.create(spec)

    def start(self, container: str) -> None:
        self._whole.start(container)

    def stop(self, container: str, timeout: int) -> None:
        self._whole.stop(container, timeout)

    def pause(self, container: str) -> None:
        self._whole.pause(container)

    def remove(self, container: str) -> None:
        self._whole.remove(container)

    def last_lines(self, container: str, lines: int) -> list[str]:
        return self._whole.last_lines(container, lines)

    def ensure_volume(self, name: str, labels: Mapping[str, str]) -> None:
        self._whole.ensure_volume(name, labels)

    def ensure_overlay(self, name: str, lower: str, upper: str, labels: Mapping[str, str]) -> None:
        self._whole.ensure_overlay(name, lower, upper, labels)

    def put(self, container: str, folder: str, tar: bytes) -> None:
        self._whole.put(container, folder, tar)

    def users(self, volume: str) -> list[str]:
        return self._whole.users(volume)

    def volume_sizes(self) -> dict[str, int]:
        return self._whole.volume_sizes()

    def layer_sizes(self) -> dict[str, int]:
        return self._whole.layer_sizes()

    def remove_volume(self, name: str) -> None:
        self._whole.remove_volume(name)

    def pull(self, name: str, patience: float) -> None:
        self._whole.pull(name, patience)

    def import_image(self, tarball: BinaryIO, name: str) -> None:
        self._whole.import_image(tarball, name)

    def build(
        self,
        context: Path,
        name: str,
        *,
        args: Mapping[str, str],
        say: Callable[[str], None],
        timeout: float,
    ) -> None:
        self._whole.build(context, name, args=args, say=say, timeout=timeout)

    def images(self) -> list[tuple[str, str]]:
        return self._whole.images()

    def remove_image(self, name: str) -> None:
        self._whole.remove_image(name)


def _filters(wanted: Filter) -> str:
    """As it stands in an address: {"label": [...]} in JSON (Docker's API: ContainerList)."""
    labels = [LABEL, *(f"{name}={value}" for name, value in wanted.labels.items())]
    return quote(json.dumps({"label": labels}))
