"""Ctrl-C while a verb works, through the command, on the real engine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.real_git import commit, git
from tests.running import CHECKOUT
from tests.scenarios.conftest import App

pytestmark = pytest.mark.engine


def interrupted(app: App, *arguments: str, begun: Callable[[], object]) -> tuple[float, str]:
    """How long a command took from Ctrl-C, sent once it has `begun`, to its end with 130, and what
    it printed on stderr."""
    with subprocess.Popen(
        [sys.executable, "-m", "runner", *arguments],
        cwd=app.folder, env=os.environ | {"PYTHONPATH": str(CHECKOUT)}, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        while not begun():
            assert process.poll() is None, process.stderr and process.stderr.read()
        sent = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.stderr
        said = process.stderr.read()
        assert process.wait() == 130, said
    return time.monotonic() - sent, said


def test_an_up_and_a_merge_that_are_interrupted_are_completed_by_the_same_command(
    app: App, eventually: Callable[..., object]
) -> None:
    app.configure(services=None, database=None, setup=[{"run": "echo . >>began; sleep 6"}])
    seconds, said = interrupted(app, "up", "auth", begun=lambda: has_begun(app))
    assert seconds < 4  # no wait that it breaks off is shorter
    assert said.count("interrupted; the same command goes on from here") == 1
    assert "Traceback" not in said
    app.up("auth")
    assert (app.tree("auth") / "began").read_text() == ".\n"  # what was running was waited for

    (app.tree("auth") / "began").unlink()
    commit(app.tree("auth"), {"more": "x"}, "more")
    app.configure(test="sleep 600", setup=[])
    logs = app.folder / ".git/treedock/runs"
    main = git(app.folder, "rev-parse", "main")
    begun = lambda: len(app.containers()) > 1  # noqa: E731
    seconds, said = interrupted(app, "merge", "auth", begun=begun)
    assert seconds < 10
    assert logs.is_dir()
    assert git(app.folder, "rev-parse", "main") == main
    app.configure(test="true")
    assert app.cli("merge", "auth", timeout=300).exit_code == 0
    assert app.containers() == []


def has_begun(app: App) -> bool:
    kept = app.folder / ".git/treedock/instances/auth/record.json"
    if not kept.exists():
        return False
    return (Path(json.loads(kept.read_text())["worktree"]) / "began").exists()
