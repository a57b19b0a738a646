"""Bad input and bad luck: a clear error with a way out, and nothing lost, on the real engine."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from runner.controller.instance import images
from runner.domain.instance.ports import home_slot
from tests.real_git import commit, git
from tests.running import CHECKOUT, Cli
from tests.scenarios.conftest import SLOTS, App, fetch

pytestmark = pytest.mark.engine

Upping = subprocess.Popen[str]


@contextlib.contextmanager
def listening(port: int) -> Iterator[None]:
    """A foreign process's hold on a port."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        yield


@contextlib.contextmanager
def engine_for(connections: int, path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A way to the engine at `path` that lasts for so many connections, or until it is killed."""
    command = [sys.executable, "-m", "tests.engine_proxy", str(path), str(connections)]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE) as proxy:
        assert proxy.stdout
        assert proxy.stdout.readline() == b"ready\n"
        yield proxy
        proxy.kill()


def up_until(app: App, step: str, act: Callable[[Upping], object], **env: str) -> tuple[int, str]:
    """`up auth` in which `act` happens as soon as it says `step`; its exit code and stderr."""
    command = [sys.executable, "-u", "-m", "runner", "up", "auth"]
    said, reached = "", False
    with subprocess.Popen(
        command, cwd=app.folder, env=os.environ | {"PYTHONPATH": str(CHECKOUT)} | env, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        for line in process.stderr or ():
            said += line
            if step in line and not reached:
                reached = True
                act(process)
    assert reached, f"never came to {step!r}: {said}"
    return process.returncode, said


@pytest.mark.parametrize("bad", ["../x", "-rf", "A B", "a" * 80, "x\ny"])
def test_an_impossible_id_is_refused_before_anything_is_touched(app: App, bad: str) -> None:
    answer = app.cli("up", "--", bad)
    assert answer.exit_code == 2
    assert "cannot be an instance's id" in answer.stderr
    assert not (app.folder / "trees").exists()
    assert not (app.folder / ".git" / "treedock").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "services: {backend: {runs: x}}",
            "services.backend.runs: unknown key; did you mean `run`?",
        ),
        ("limits: {memory: lots}", "limits.memory"),
        (
            "worktrees: ../elsewhere",
            "own ~/.config/treedock/config.yaml may put worktrees elsewhere",
        ),
        ("database: {path: /etc/passwd}", "database.path"),
        ("sandbox: {publish: 0.0.0.0}", "never from a repository"),
        ("name: shop\nname: other", "stands twice"),
        ("services: [", "treedock.yaml"),
    ],
)
def test_a_faulty_configuration_is_named_with_its_key(app: App, text: str, said: str) -> None:
    (app.folder / "treedock.yaml").write_text(text)
    answer = app.cli("up", "auth")
    assert answer.exit_code == 2
    assert said in answer.stderr
    assert not (app.folder / "trees").exists()


def test_folders_that_are_no_project_are_told_apart(app: App, tmp_path: Path) -> None:
    empty, bare, young = tmp_path / "empty", tmp_path / "bare.git", tmp_path / "young"
    empty.mkdir()
    git(tmp_path, "init", "--quiet", "--bare", str(bare))
    git(tmp_path, "init", "--quiet", str(young))
    shutil.copy(app.folder / "treedock.yaml", young)
    for folder, code, said in (
        (empty, 3, "is not in a git repository"),
        (bare, 4, "bare repository"),
        (young, 4, "no commits yet"),
    ):
        answer = app.cli("up", "auth", cwd=folder)
        assert (answer.exit_code, said in answer.stderr) == (code, True), answer.stderr


def test_a_repository_without_treedock_yaml_is_told_of_init(app: App) -> None:
    (app.folder / "treedock.yaml").unlink()
    answer = app.cli("up", "auth")
    assert answer.exit_code == 2
    assert "treedock init" in answer.stderr


def test_an_unknown_base_an_existing_branch_and_an_occupied_path_are_refused(app: App) -> None:
    git(app.folder, "branch", "feature/auth")
    (app.folder / "trees" / "search").mkdir(parents=True)
    for arguments, code, said in (
        (("up", "x", "--base", "nowhere"), 2, "no branch or commit 'nowhere'"),
        (("up", "auth"), 4, "feature/auth exists already"),
        (("up", "search"), 4, "exists already and is no instance"),
        (("up", "y", "--attach"), 4, "no branch feature/y to attach to"),
    ):
        answer = app.cli(*arguments)
        assert (answer.exit_code, said in answer.stderr) == (code, True), answer.stderr
    assert app.containers() == []
    assert app.cli("up", "auth", "--attach").exit_code == 0
    app.cli("clean", "auth")
    assert git(app.folder, "branch", "--list", "feature/auth").strip() == "feature/auth"


def test_one_that_fails_does_not_stop_the_others(app: App) -> None:
    git(app.folder, "branch", "feature/bad")
    answer = app.cli("up", "auth", "bad", "search", "--json", timeout=600)
    assert answer.exit_code == answer.json["exit_code"] == 4
    assert [view["state"] for view in answer.json["instances"]] == ["running", "running"]
    assert answer.refused == {"bad": "branch_exists"}


def test_an_engine_that_is_not_there_is_said_and_nothing_is_touched(app: App) -> None:
    nowhere = {"DOCKER_HOST": f"unix://{app.folder}/nothing.sock"}
    answer = app.cli("up", "auth", env=nowhere)
    assert answer.exit_code == 5
    assert "treedock doctor" in answer.stderr
    assert not (app.folder / "trees").exists()
    assert app.cli("list", "--json", env=nowhere).json["instances"] == []


@pytest.mark.parametrize("allowed", range(1, 10, 2))
def test_an_engine_that_goes_away_in_the_middle_is_no_loss(
    app: App, tmp_path: Path, allowed: int
) -> None:
    path = tmp_path / "engine.sock"
    with engine_for(allowed, path):
        answer = app.cli("up", "auth", env={"DOCKER_HOST": f"unix://{path}"})
    if answer.exit_code:
        assert answer.exit_code == 5, answer.stderr
        assert "Traceback" not in answer.stderr
    assert app.up("auth")["auth"]["state"] == "running"
    assert len(app.containers()) == 1


def test_a_step_that_still_runs_when_the_engine_is_lost_is_waited_for_and_not_run_twice(
    app: App, tmp_path: Path, eventually: Callable[..., object]
) -> None:
    wait = "until test -e go; do sleep 0.1; done; sleep 1"
    step = f"echo begun >> counted; {wait}; echo done >> counted"
    app.configure(setup=[{"run": step}])
    path = tmp_path / "engine.sock"

    def stop_engine(_: Upping) -> None:
        eventually((app.tree("auth") / "counted").exists)
        proxy.kill()

    with engine_for(1000, path) as proxy:
        code, said = up_until(app, step, stop_engine, DOCKER_HOST=f"unix://{path}")
    assert code == 5, said
    assert "treedock doctor" in said
    assert "Traceback" not in said
    code, said = up_until(app, step, lambda _: (app.tree("auth") / "go").touch())
    assert code == 0, said
    assert (app.tree("auth") / "counted").read_text() == "begun\ndone\n"


def test_an_image_that_does_not_build_shows_its_last_lines(app: App) -> None:
    broken = "RUN echo this far && no-such-compiler main.c"
    commit(app.folder, {"Dockerfile": f"FROM {images.base_name()}\n{broken}\n"})
    app.configure(image={"build": {"context": "."}})
    answer = app.cli("up", "auth", timeout=300)
    assert answer.exit_code == 5
    assert "Building the image" in answer.stderr
    assert "this far" in answer.stderr
    assert "no-such-compiler: not found" in answer.stderr
    assert not (app.folder / "trees").exists()
    assert app.cli("list", "--json").json["instances"] == []


def test_a_port_that_somebody_else_has_is_stepped_over(app: App) -> None:
    first = int(app.config["ports"]["backend"].partition("-")[0])
    slot = home_slot("shop", "auth", SLOTS)
    with listening(first + slot):
        before = app.up("auth")["auth"]
    assert before["slot"] == (slot + 1) % SLOTS
    app.cli("down", "auth")
    with listening(before["ports"]["backend"]):
        after = app.up("auth")["auth"]
        assert after["slot"] != before["slot"]
        assert "treedock.yaml" in fetch(after["urls"]["backend"])
        own = f"BACKEND_PORT={after['ports']['backend']}"
        assert own in (app.tree("auth") / ".ports.env").read_text()


def test_with_all_slots_taken_the_holders_are_named_or_it_overflows(app: App) -> None:
    first = int(app.config["ports"]["backend"].partition("-")[0])
    ranges = {"backend": f"{first}-{first + 1}", "frontend": f"{first + 5}-{first + 6}"}
    app.configure(ports=ranges, overflow="refuse")
    app.up("one", "two")
    answer = app.cli("up", "three")
    assert answer.exit_code == 4
    assert "shop/one" in answer.stderr
    assert "shop/two" in answer.stderr
    app.configure(overflow="dynamic")
    view = app.up("three")["three"]
    assert view["slot"] is None
    assert "treedock.yaml" in fetch(view["urls"]["backend"])


def test_limits_of_instances_and_disk_are_kept(app: App) -> None:
    app.configure(limits={**app.config["limits"], "instances": 1})
    app.up("one")
    many = app.cli("up", "two")
    assert (many.exit_code, "limit of 1 instances" in many.stderr) == (4, True)
    app.configure(limits={**app.config["limits"], "disk_free": "900t"})
    full = app.cli("up", "one")
    assert (full.exit_code, "limits.disk_free" in full.stderr) == (4, True)


def test_a_failing_set_up_step_keeps_its_log_and_the_next_up_resumes(app: App) -> None:
    steps = [
        {"run": "echo once >> counted"},
        {"run": "echo trying; test -e allowed"},
        {"run": "echo last >> counted"},
    ]
    app.configure(setup=steps)
    answer = app.cli("up", "auth")
    assert answer.exit_code == 1
    assert "setup-2 failed with exit code 1" in answer.stderr
    assert "    trying" in answer.stderr
    assert app.status("auth")["state"] == "failed"
    assert app.cli("logs", "auth", "setup-2").stdout == "trying\n"
    (app.tree("auth") / "allowed").touch()
    assert app.up("auth")["auth"]["state"] == "running"
    assert (app.tree("auth") / "counted").read_text() == "once\nlast\n"


@pytest.mark.parametrize(
    ("reset", "said"),
    [("./reset.sh", "no such command or folder"), ("echo no luck; exit 9", "exit code 9")],
)
def test_a_reset_that_fails_or_is_missing_is_explained(app: App, reset: str, said: str) -> None:
    good = app.config["database"]
    app.configure(database={**good, "reset": reset})
    answer = app.cli("up", "auth")
    assert answer.exit_code == 1
    assert said in answer.stderr
    app.configure(database=good)
    assert app.status("auth")["database"]["reset_at"] is None
    assert app.up("auth")["auth"]["state"] == "running"
    assert app.status("auth")["database"]["reset_at"]


def test_a_service_that_dies_is_failed_with_code_and_last_lines(app: App) -> None:
    services = dict(app.config["services"])
    services["backend"] = {"run": "echo oh dear; exit 7", "port": "backend"}
    app.configure(services=services)
    answer = app.cli("up", "auth")
    assert answer.exit_code == 1
    assert "backend failed with exit code 7" in answer.stderr
    assert "oh dear" in answer.stderr
    backend = app.services("auth")["backend"]
    assert (backend["state"], backend["exit_code"]) == ("failed", 7)
    assert app.status("auth")["error"]["code"] == "command_failed"


def test_a_service_with_restart_is_started_again(app: App) -> None:
    run = "test -e tried || { touch tried; exit 3; }; exec python3 -m http.server $BACKEND_PORT"
    service = {"run": run, "port": "backend", "restart": "on-failure"}
    app.configure(services={"backend": service})
    app.up("auth")
    backend = app.services("auth")["backend"]
    assert (backend["state"], backend["restarts"]) == ("running", 1)


def test_two_clones_of_one_name_keep_apart(app: App, tmp_path: Path) -> None:
    clone = tmp_path / "other" / "shop"
    git(tmp_path, "clone", "--quiet", str(app.folder), str(clone))
    app.up("auth")
    other = App(clone, Cli(clone), app.engine, app.config)
    try:
        theirs = other.up("auth")["auth"]
        assert theirs["slot"] != app.status("auth")["slot"]
        assert len(app.containers()) == len(other.containers()) == 1
        assert other.cli("clean", "--all").exit_code == 0
        assert app.status("auth")["state"] == "running"
    finally:
        for container in other.containers():
            app.engine.remove(container)


KILL_AT = (
    *("adding the worktree", "checking out the files", "creating the container"),
    *("starting the container", "echo set up", "resetting the database"),
    *(
        "starting backend",
        "waiting for backend",
    ),
    *("starting frontend", "waiting for frontend", "verifying"),
)


@pytest.mark.parametrize("step", KILL_AT)
def test_an_up_that_was_killed_is_mended_by_the_next(app: App, step: str) -> None:
    steps = [{"run": "echo set up; sleep 0.2; echo done >> counted"}]
    app.configure(setup=steps, verify="sqlite3 --version")
    code, said = up_until(app, step, Upping.kill)
    assert code == -signal.SIGKILL, said
    assert app.up("auth")["auth"]["state"] == "running"
    assert (app.tree("auth") / "counted").read_text() == "done\n"
    assert app.inside("auth", "sqlite3 app.db 'select * from t'").exit_code == 0
    assert git(app.tree("auth"), "status", "--porcelain") == "?? counted\n"
    assert len(app.containers()) == 1
    assert app.cli("clean", "auth", "--force").exit_code == 0
    assert app.containers() == []
    assert git(app.folder, "worktree", "list", "--porcelain").count("worktree ") == 1
    findings = app.cli("doctor", "--json").json["findings"]
    left = [
        f for f in findings if f["check"] in ("leftovers", "stale-locks") and f["status"] != "ok"
    ]
    assert left == []


def test_a_symlinked_or_tracked_env_file_is_left_alone(app: App, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mine\n")
    (app.folder / ".ports.env").symlink_to(secret)
    git(app.folder, "add", "--force", ".ports.env")
    commit(app.folder, {".env": "TRACKED=1\n"})
    answer = app.cli("up", "auth")
    assert answer.exit_code == 0, answer.stderr
    assert ".env is tracked and stays as it is" in answer.stderr
    assert ".ports.env is a symlink" in answer.stderr
    assert secret.read_text() == "mine\n"
    assert (app.tree("auth") / ".env").read_text() == "TRACKED=1\n"
    assert app.inside("auth", 'test -n "$BACKEND_PORT" && echo "$TRACKED"').stdout == "1\n"
    again = app.cli("up", "auth")
    assert "is tracked" not in again.stderr


def test_every_error_is_json_where_json_was_asked_for(app: App) -> None:
    assert app.cli("up", "--json").json["error"]["code"] == "usage"
    (app.folder / "treedock.yaml").write_text(yaml.safe_dump({"nmae": "x"}))
    answer = app.cli("up", "auth", "--json")
    assert answer.exit_code == 2
    assert answer.json["error"]["code"] == "config"
    assert answer.json["schema_version"] == 1
