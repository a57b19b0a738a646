"""The small app of the scenarios, without services: what is killed here is treedock."""

from pathlib import Path

import pytest

from runner.adapters.engine.protocol import Engine
from tests.free_ports import free_block
from tests.running import Cli
from tests.scenarios.conftest import SLOTS, App


@pytest.fixture
def app(repo: Path, docker_engine: Engine) -> App:
    """A project with a gate, a set-up step and nothing that takes long."""
    first = free_block(2 * SLOTS)
    app = App(repo, Cli(repo), docker_engine, {})
    app.configure(
        version=1,
        name="shop",
        ports={
            "backend": f"{first}-{first + SLOTS - 1}",
            "frontend": f"{first + SLOTS}-{first + 2 * SLOTS - 1}",
        },
        setup=[{"run": "echo set up > /tmp/set-up"}],
        test="test -f README.md",
        limits={"disk_free": 0},
    )
    return app
