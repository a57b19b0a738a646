"""What the verbs that a person runs all day load: nothing that takes longer than their work."""

import os
import subprocess
import sys

import pytest

from tests.running import CHECKOUT
from tests.scenarios.conftest import App

pytestmark = pytest.mark.engine

COMMAND = [sys.executable, "-X", "importtime", "-m", "runner"]  # each module is a line of stderr
HEAVY = {
    *("docker", "dotenv", "portpicker", "pydantic", "pydantic_core", "requests", "rich", "tarfile"),
    *("urllib3", "yaml"),
}
VERBS = (
    *("list", "status auth", "sync auth", "up auth"),
    *("exec auth -- true", "exec auth --json -- true"),
)


def loaded(app: App, verb: str) -> set[str]:
    """The modules that one verb imports, in a process of its own."""
    done = subprocess.run(
        [*COMMAND, *verb.split()], cwd=app.folder, env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = (line for line in done.stderr.splitlines() if line.startswith("import time:"))
    return {line.rpartition("|")[2].strip() for line in lines}


def test_a_verb_that_changes_nothing_loads_no_heavy_library(app: App) -> None:
    app.configure(services=None, database=None)
    app.up("auth")
    app.status("auth")  # keeps the checked treedock.yaml
    modules = {verb: loaded(app, verb) for verb in VERBS}
    assert all("runner.cli.main" in names for names in modules.values())
    assert {verb: names & HEAVY for verb, names in modules.items() if names & HEAVY} == {}
