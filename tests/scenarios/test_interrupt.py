"""Ctrl-C, or another signal that ends a process, while a verb works, on the real engine: it ends
soon, `doctor` finds nothing left behind, and the same command goes on from there."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from runner.controller.instance import images
from tests.real_git import commit, git
from tests.running import CHECKOUT
from tests.scenarios.conftest import App

pytestmark = pytest.mark.engine

GO_ON = "interrupted; the same command goes on from here"
WITHIN = 4.0  # seconds: twice what is promised, as tests share their processors
UNTIL_GO = "touch began; until test -e go; do sleep 0.1; done"
BEGUN_IN_TIME = 120.0  # seconds

Begun = Callable[[str], object]
"""Whether a command is where it is to be ended, by what it has printed on stderr so far."""


def ended(
    app: App, *arguments: str, begun: Begun, number: int = signal.SIGINT, twice: bool = False
) -> str:
    """Run a command and end it by a signal. It has to be over soon, with the exit code of a shell.
    Returns what it printed on stderr."""
    with subprocess.Popen(
        [sys.executable, "-m", "runner", *arguments],
        cwd=app.folder, env=os.environ | {"PYTHONPATH": str(CHECKOUT)}, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stderr
        os.set_blocking(process.stderr.fileno(), False)
        said, limit = "", time.monotonic() + BEGUN_IN_TIME
        while not begun(said):
            assert process.poll() is None, said
            assert time.monotonic() < limit, said
            said += (process.stderr.read() or b"").decode()
        sent = time.monotonic()
        os.killpg(process.pid, number)  # as a terminal does
        while twice and process.poll() is None:
            os.killpg(process.pid, number)
        assert process.wait(60) == 128 + number, said
        seconds = time.monotonic() - sent
        said += (process.stderr.read() or b"").decode()
    assert "Traceback" not in said
    assert seconds < WITHIN, said
    return said


def printed(words: str) -> Begun:
    return lambda said: words in said


def made(app: App, name: str) -> Begun:
    """Once the file `name` is in the worktree."""
    return lambda said: (app.tree("auth") / name).exists()


def require_nothing_left(app: App) -> None:
    found = app.cli("doctor", "--json").json["findings"]
    about = [one for one in found if one["check"] != "exposed-services"]  # the host's own
    assert [one for one in about if one["status"] != "ok"] == []


def in_set_up(app: App) -> Begun:
    app.configure(services=None, database=None, setup=[{"run": UNTIL_GO}])
    return made(app, "began")


def before_a_service_is_ready(app: App) -> Begun:
    late = f"{UNTIL_GO}; exec python3 -m http.server $BACKEND_PORT"
    backend = {"run": late, "port": "backend", "ready": {"http": "/"}}
    app.configure(database=None, services={"backend": backend})
    return made(app, "began")


def in_an_image_build(app: App) -> Begun:
    mark = f"sleep 6.{os.getpid()}"
    commit(app.folder, {"Dockerfile": f"FROM {images.base_name()}\nRUN {mark}\n"})
    app.configure(image={"build": {"context": "."}}, services=None, database=None)
    running = ["docker", "ps", "--no-trunc", "--format", "{{.Command}}"]
    return lambda said: mark in subprocess.run(running, capture_output=True, text=True).stdout


def as_a_sidecar_starts(app: App) -> Begun:
    slow = {"image": "postgres", "env": {"POSTGRES_PASSWORD": "a", "POSTGRES_DB": "shop"}}
    app.configure(sidecars={"postgres": slow}, database=None, services=None)
    return printed("starting postgres")


@pytest.mark.parametrize(
    ("stage", "number"),
    [
        (in_set_up, signal.SIGINT),
        (in_set_up, signal.SIGTERM),
        (before_a_service_is_ready, signal.SIGINT),
        (in_an_image_build, signal.SIGINT),
        (as_a_sidecar_starts, signal.SIGINT),
    ],
)
def test_an_up_ends_and_goes_on(app: App, stage: Callable[[App], Begun], number: int) -> None:
    said = ended(app, "up", "auth", begun=stage(app), number=number)
    assert said.count(GO_ON) == 1
    require_nothing_left(app)
    if app.tree("auth").exists():
        (app.tree("auth") / "go").touch()
    assert app.up("auth")["auth"]["state"] == "running"
    require_nothing_left(app)


def test_exec_and_a_reset_end_and_go_on(app: App) -> None:
    database: dict[str, Any] = {"engine": "sqlite", "path": "app.db"}
    reset = "touch began; test ! -e slow || sleep 600; sqlite3 app.db 'create table t(x)'"
    app.configure(services=None, database=database | {"reset": reset})
    app.up("auth")
    sleeps = ("sh", "-c", "touch inside; exec sleep 600.1")
    ended(app, "exec", "auth", "--", *sleeps, begun=made(app, "inside"))
    assert "sleep 600.1" not in app.inside("auth", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout
    (app.tree("auth") / "began").unlink()
    (app.tree("auth") / "slow").touch()
    ended(app, "db", "reset", "auth", begun=made(app, "began"))
    (app.tree("auth") / "slow").unlink()
    assert app.cli("db", "reset", "auth").exit_code == 0
    assert app.inside("auth", "sqlite3 app.db .tables").stdout.strip() == "t"


def test_down_and_clean_end_and_go_on(app: App) -> None:
    deaf = {"deaf": {"run": "trap '' TERM; while :; do sleep 1; done"}}
    app.configure(services=deaf, database=None)
    app.up("auth")
    ended(app, "down", "auth", begun=printed("stopping"))
    assert app.cli("down", "auth").exit_code == 0
    assert app.status("auth")["state"] == "stopped"
    app.up("auth")
    ended(app, "clean", "auth", begun=printed("stopping"))
    assert app.cli("clean", "auth").exit_code == 0
    assert app.containers() == []
    assert not app.tree("auth").exists()
    require_nothing_left(app)


def test_a_merge_ends_in_its_gate_and_goes_on(app: App) -> None:
    app.configure(test="sleep 600", services=None, database=None)
    app.up("auth")
    commit(app.tree("auth"), {"more": "x"}, "more")
    main = git(app.folder, "rev-parse", "main")

    def at_the_gate(said: str) -> bool:
        return len(app.containers()) > 1

    ended(app, "merge", "auth", begun=at_the_gate)
    assert len(app.containers()) == 1
    require_nothing_left(app)
    ended(app, "merge", "auth", begun=at_the_gate, twice=True)
    assert git(app.folder, "rev-parse", "main") == main
    app.configure(test="true")
    assert app.cli("merge", "auth", timeout=300).exit_code == 0
    assert app.containers() == []
    require_nothing_left(app)
