"""The small app of the scenarios, without services: what is killed here is treedock."""

from pathlib import Path

import pytest

from runner.adapters.engine.protocol import Engine
from tests.running import Cli
from tests.scenarios.conftest import App, free_ranges


@pytest.fixture
def app(repo: Path, docker_engine: Engine) -> App:
    """A project with a gate, a set-up step and nothing that takes long."""
    app = App(repo, Cli(repo), docker_engine, {})
    app.configure(
        version=1,
        name="shop",
        ports=free_ranges(),
        setup=[{"run": "echo set up > /tmp/set-up"}],
        test="test -f README.md",
        limits={"disk_free": 0},
    )
    return app
