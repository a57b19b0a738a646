"""The demo project as a new user meets it, and once as an ordinary user."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import CHECKOUT, Cli
from tests.scenarios.conftest import fetch

pytestmark = pytest.mark.engine

USER = "treedock-test"


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Path]:
    """The demo's repository; its instances are removed afterwards."""
    folder = tmp_path / "demo"
    assert Cli(tmp_path)("demo", str(folder)).exit_code == 0
    yield folder
    Cli(folder)("clean", "--all", "--force")
    Cli(folder)("cache", "prune", "--max-size", "0")


def test_the_demo_shows_three_previews_with_data_of_their_own(demo: Path) -> None:
    cli = Cli(demo)
    answer = cli("up", "auth", "payments", "search", "--json", timeout=900)
    assert answer.exit_code == 0, answer.stderr
    for view in answer.json["instances"]:
        assert "Corner shop" in fetch(view["urls"]["frontend"]) or "/src/main.jsx" in fetch(
            view["urls"]["frontend"]
        )
        assert f'"instance":"{view["id"]}"' in fetch(view["urls"]["backend"] + "/items")
        tested = cli("exec", view["id"], "--", "sh", "-c", "cd app/server && uv run pytest -q")
        assert tested.exit_code == 0, tested.stdout
        status = subprocess.check_output(["git", "-C", view["worktree"], "status", "--porcelain"])
        assert status == b""


@pytest.mark.skipif(os.getuid() != 0, reason="making another user takes root")
def test_an_ordinary_user_owns_every_file_of_the_demo(tmp_path: Path) -> None:
    home = Path("/home") / USER
    subprocess.run(["useradd", "--create-home", "--groups", "docker", USER], check=True)
    try:
        source = home / "source"
        ignored = shutil.ignore_patterns(".git", ".venv", "build", ".*_cache", "node_modules")
        shutil.copytree(CHECKOUT, source, ignore=ignored)
        subprocess.run(["chown", "-R", f"{USER}:", str(source)], check=True)
        script = """
            set -e
            cd ~
            /usr/bin/python3 -m venv venv
            venv/bin/pip install --quiet ./source
            venv/bin/treedock demo demo
            cd demo
            ../venv/bin/treedock up auth payments
            ../venv/bin/treedock exec auth -- id -u
        """
        certificates = {k: v for k, v in os.environ.items() if k.endswith(("_CERT_FILE", "_CERT"))}
        settings = [f"HOME={home}", *(f"{key}={value}" for key, value in certificates.items())]
        unset = ["-uXDG_CONFIG_HOME", "-uXDG_STATE_HOME", "-uGIT_CONFIG_GLOBAL"]
        command = ["runuser", "-u", USER, "--", "env", *unset, *settings, "bash", "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr
        uid = pwd.getpwnam(USER).pw_uid
        assert done.stdout.splitlines()[-1] == str(uid)
        files = list((home / "demo" / "trees").rglob("*"))
        assert len(files) > 1000  # .venv is among them
        assert {path.lstat().st_uid for path in files} == {uid}
    finally:
        own = f"{home}/venv/bin/treedock"
        clean = f"cd {home}/demo && {own} clean --all --force; {own} cache prune --max-size 0"
        subprocess.run(["runuser", "-u", USER, "--", "bash", "-c", clean], capture_output=True)
        subprocess.run(["userdel", "--remove", USER], capture_output=True)
