"""What is measured on: a scratch repository, its instances, and their counterparts below the floor.

Everything lies in one temporary folder or carries one label, so that all of it can be removed.
"""

import contextlib
import hashlib
import json
import os
import socket
import sys
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
from docker.errors import NotFound
from processes import run

SLOTS = 40
FILES = 240
LABEL = "treedock.benchmark"
TREEDOCK = Path(sys.executable).with_name("treedock")
FLOOR = Path(__file__).with_name("plain_start.py")


SQLITE = """
database: {engine: sqlite, path: app.db, reset: "sqlite3 app.db 'create table item (name)'"}
"""


@dataclass(frozen=True)
class Content:
    """What a repository holds: so many modules, further files, and what its treedock.yaml says
    beside name, image, ports and limits."""

    modules: int = FILES
    config: str = SQLITE
    files: Mapping[str, str] = field(default_factory=dict)


class Scene:
    """A repository with `SLOTS` slots configured, and the engine as an onlooker."""

    def __init__(
        self,
        folder: Path,
        image: str,
        first_port: int,
        content: Content,
        command: Path = TREEDOCK,
    ) -> None:
        self._command = command
        self.folder = folder
        self.repository = folder / "shop"
        self.engine = docker.APIClient(version="auto")
        self.label = f"{LABEL}={uuid.uuid4().hex[:12]}"
        self._first_port = first_port
        self._numbers = iter(range(1, 10_000))
        common_dir = (self.repository / ".git").resolve()
        key = hashlib.sha256(os.fsencode(common_dir)).hexdigest()[:12]
        self.ours = f"treedock.repository={key}"
        self._config = _config(image, first_port)
        run(["git", "init", "--quiet", "--initial-branch=main", self.repository])
        self._git("config", "user.name", "treedock")
        self._git("config", "user.email", "treedock@localhost")
        self.commit({**_modules(content.modules), **content.files}, content.config)

    def commit(self, files: Mapping[str, str], config: str) -> None:
        """Commit further files, and a new treedock.yaml."""
        for name, text in {**files, "treedock.yaml": self._config + config}.items():
            path = self.repository / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", "a project")

    # --- treedock ---------------------------------------------------------------------------

    def ids(self, count: int) -> list[str]:
        """Ids that were not used before."""
        return [f"task-{next(self._numbers)}" for _ in range(count)]

    def treedock(self, *arguments: str) -> list[str | Path]:
        return [self._command, *arguments]

    def clean(self, ids: Iterable[str]) -> None:
        run(self.treedock("clean", "--force", *ids), cwd=self.repository)

    def container(self, instance: str) -> dict[str, Any]:
        """The instance's container as the engine describes it."""
        labels = [self.ours, f"treedock.instance={instance}"]
        [made] = self.engine.containers(filters={"label": labels})
        found: dict[str, Any] = self.engine.inspect_container(made["Id"])
        return found

    def sidecar(self, instance: str, name: str) -> dict[str, Any]:
        """The same of a sidecar's."""
        labels = [self.ours, f"treedock.beside={instance}", f"treedock.sidecar={name}"]
        made = self.engine.containers(all=True, filters={"label": labels})[0]
        found: dict[str, Any] = self.engine.inspect_container(made["Id"])
        return found

    # --- the floor --------------------------------------------------------------------------

    def wishes(self, model: dict[str, Any], count: int, *, worktrees: bool) -> Path:
        """Write what plain_start.py is to do: `count` containers like `model`, each with ports of
        its own and, with `worktrees`, a branch and worktree of its own."""
        wishes = []
        source = next(m["Source"] for m in model["Mounts"] if m["Destination"] == "/workspace")
        ports = sorted({int(port.partition("/")[0]) for port in model["Config"]["ExposedPorts"]})
        for number in range(count):
            name = f"floor-{next(self._numbers)}"
            worktree = self.folder / "floor" / name
            text = json.dumps({**model["Config"], "HostConfig": model["HostConfig"]})
            for at, port in enumerate(ports):
                other = self._first_port + SLOTS * (2 + at) + number
                text = text.replace(f'"{port}/tcp"', f'"{other}/tcp"')
                text = text.replace(f'"HostPort": "{port}"', f'"HostPort": "{other}"')
            wish = {"name": f"{name}-{self.label[-6:]}"}
            if worktrees:
                text = text.replace(json.dumps(source), json.dumps(str(worktree)))
                wish |= {"branch": name, "worktree": str(worktree)}
            wishes.append({**wish, "container": self._unowned(json.loads(text))})
        return self._written(wishes)

    def same_again(self, ids: Iterable[str], sidecar: str) -> Path:
        """Write what plain_start.py is to do: make the containers of these instances and of their
        sidecars again, which are removed here. Their volumes stay, and are mounted."""
        wishes = []
        for id_ in ids:
            both = {"container": self.container(id_), "beside": self.sidecar(id_, sidecar)}
            wish: dict[str, Any] = {"name": f"{id_}-{self.label[-6:]}"}
            for key, found in both.items():
                body = {**found["Config"], "HostConfig": found["HostConfig"]}
                wish[key] = self._unowned(body)
            wish["beside"].pop("Hostname")  # the namespace's owner has it
            for found in reversed(both.values()):
                self.engine.stop(found["Id"])  # a database that is killed recovers at its start
                self.engine.remove_container(found["Id"])
            wishes.append(wish)
        return self._written(wishes)

    def _unowned(self, body: dict[str, Any]) -> dict[str, Any]:
        """treedock must not take it for its own."""
        key, _, value = self.label.partition("=")
        return {**body, "Labels": {key: value}}

    def _written(self, wishes: list[dict[str, Any]]) -> Path:
        path = self.folder / "wishes.json"
        path.write_text(json.dumps(wishes))
        return path

    def floor(self, wishes: Path) -> list[str | Path]:
        return [sys.executable, FLOOR, self.repository, wishes]

    def remove_floor(self) -> None:
        """Remove the containers, worktrees and branches that the last plain_start.py made."""
        self.remove_containers(self.label)
        for wish in json.loads((self.folder / "wishes.json").read_text()):
            if "branch" in wish:
                self._git("worktree", "remove", "--force", wish["worktree"])
                self._git("branch", "--quiet", "-D", wish["branch"])

    def image_and_ports(self, model: dict[str, Any]) -> tuple[str, list[int]]:
        """The image of `model`, and two ports that nothing else here uses."""
        last = self._first_port + 4 * SLOTS - 1
        return model["Config"]["Image"], [last - 1, last]

    # --- the end ----------------------------------------------------------------------------

    def remove_containers(self, label: str) -> bool:
        """Remove all containers that carry this label; returns whether there were any."""
        found = self.engine.containers(all=True, quiet=True, filters={"label": [label]})
        for container in found:
            with contextlib.suppress(NotFound):
                self.engine.remove_container(container["Id"], force=True, v=True)
        return bool(found)

    def remove_all(self) -> None:
        """Remove what treedock, the floor and the peers may have left in the engine: containers,
        and the volumes of snapshots, dependencies and data."""
        for label in (self.label, self.ours):
            # What a killed process had asked for may come into being a moment later.
            while self.remove_containers(label):
                time.sleep(1)
        for volume in self.volumes():
            with contextlib.suppress(NotFound):
                self.engine.remove_volume(volume)

    def volumes(self) -> list[str]:
        """All of the project's, the upper layers first: they lean on the others."""
        found = self.engine.volumes(filters={"label": [self.ours]})["Volumes"] or []
        layers = sorted(found, key=lambda one: not one["Options"])
        return [one["Name"] for one in layers]

    def _git(self, *words: str) -> None:
        run(["git", "-C", self.repository, *words])


def free_block(length: int) -> int:
    """The first of `length` consecutive free ports, below the kernel's ephemeral range."""
    for first in range(20000, 32000 - length, length):
        if all(_is_free(port) for port in range(first, first + length)):
            return first
    raise RuntimeError(f"no {length} consecutive ports between 20000 and 32000 are free")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def _config(image: str, first_port: int) -> str:
    ranges = [f"{first_port + SLOTS * at}-{first_port + SLOTS * (at + 1) - 1}" for at in (0, 1)]
    wanted = image if image == "fullstack" else f'{{name: "{image}"}}'
    return f"""\
version: 1
name: benchmark
image: {wanted}
ports: {{backend: {ranges[0]}, frontend: {ranges[1]}}}
limits: {{instances: {SLOTS}}}
"""


def _modules(count: int) -> dict[str, str]:
    return {
        f"app/part{number % 12}/module{number}.py": f'"""Module {number}."""\n'
        + f"VALUE = {number}\n" * 60
        for number in range(count)
    }
