"""A small full-stack app in a repository, driven through the command on the real engine."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml

from runner.adapters.engine.protocol import Engine, Filter
from runner.controller.project import open_repository
from tests.free_ports import free_block
from tests.real_git import commit
from tests.running import Answer, Cli

SLOTS = 5
BACKEND = "exec python3 -u -m http.server $BACKEND_PORT"
FRONTEND = "exec python3 -u -m http.server $FRONTEND_PORT"


@dataclass
class App:
    """The project in `folder`; `config` is what treedock.yaml holds."""

    folder: Path
    cli: Cli
    engine: Engine
    config: dict[str, Any]

    def configure(self, **keys: Any) -> None:
        """Set these keys of treedock.yaml (None removes one) and commit it."""
        merged = {**self.config, **keys}
        self.config = {key: value for key, value in merged.items() if value is not None}
        commit(self.folder, {"treedock.yaml": yaml.safe_dump(self.config)}, "configured")

    def up(self, *ids: str, exit_code: int = 0) -> dict[str, Any]:
        """`treedock up` these; returns the documents of the instances by id."""
        answer = self.cli("up", *ids, "--json", timeout=600)
        assert answer.exit_code == exit_code, answer.stderr + answer.stdout
        return {found["id"]: found for found in answer.json["instances"]}

    def status(self, instance: str) -> dict[str, Any]:
        found: dict[str, Any] = self.cli("status", instance, "--json").json["instances"][0]
        return found

    def services(self, instance: str) -> dict[str, dict[str, Any]]:
        return {service["name"]: service for service in self.status(instance)["services"]}

    def inside(self, instance: str, script: str) -> Answer:
        """Run a shell script in the instance."""
        return self.cli("exec", instance, "--", "sh", "-c", script)

    def tree(self, instance: str) -> Path:
        return self.folder / "trees" / instance

    def containers(self) -> list[str]:
        """The ids of this repository's containers."""
        found = self.engine.containers(Filter(repository=open_repository(self.folder).key))
        return sorted(container.id for container in found)


def fetch(url: str) -> str:
    with urlopen(url, timeout=30) as answer:
        text: str = answer.read().decode()
        return text


def free_ranges() -> dict[str, str]:
    """Port ranges of its own for a project."""
    first = free_block(2 * SLOTS)
    return {
        "backend": f"{first}-{first + SLOTS - 1}",
        "frontend": f"{first + SLOTS}-{first + 2 * SLOTS - 1}",
    }


@pytest.fixture
def app(repo: Path, docker_engine: Engine) -> App:
    """Two services and a database, in the default image, with port ranges of its own."""
    app = App(repo, Cli(repo), docker_engine, {})
    app.configure(
        version=1,
        name="shop",
        ports=free_ranges(),
        services={
            "backend": {"run": BACKEND, "port": "backend", "ready": {"http": "/"}},
            "frontend": {"run": FRONTEND, "port": "frontend", "ready": {"http": "/"}},
        },
        database={
            "engine": "sqlite",
            "path": "app.db",
            "reset": 'rm -f app.db && sqlite3 app.db "create table t as select $BACKEND_PORT p"',
        },
        limits={"memory": "256m", "pids": 100, "cpus": 1, "disk_free": "100m"},
    )
    return app
