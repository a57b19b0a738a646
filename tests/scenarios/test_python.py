"""treedock as a Python library, as the README shows it."""

import re
import subprocess
import sys

import pytest

from tests.running import CHECKOUT
from tests.scenarios.conftest import App

pytestmark = pytest.mark.engine


def test_the_example_in_the_readme_brings_an_instance_up(app: App) -> None:
    text = (CHECKOUT / "README.md").read_text()
    (example,) = re.findall(r"```python\n(from runner import .*?)```", text, re.S)
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=app.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == app.status("auth")["preview"]
    again = subprocess.run(
        [sys.executable, "-c", example.replace("auth", "A B")], cwd=app.folder,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "runner.domain.errors.ConfigError" in again.stderr
