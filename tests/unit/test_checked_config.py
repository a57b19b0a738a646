"""treedock.yaml is checked when it changes, and else taken as it was checked last."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from runner.adapters.store import checked_config
from runner.adapters.store.checked_config import Checked
from runner.controller.project import open_project, open_repository
from runner.domain.config.project import Config, UserConfig
from runner.domain.config.validate import validate, validate_user
from runner.domain.errors import ConfigError
from tests.running import CHECKOUT
from tests.shop import Shop

WHOLE = {
    "name": "shop",
    "image": {"build": {"context": ".", "args": {"A": "1"}}},
    "ports": {"backend": "9100-9104", "db": "9300-9304"},
    "env": {"copy": [".env"], "set": {"DB": "${DB_PORT}"}},
    "setup": [{"run": "npm ci", "in": "web", "produces": ["node_modules"], "key": ["lock"]}],
    "services": {"backend": {"run": "serve", "port": "backend", "ready": {"http": "/"}}},
    "sidecars": {"cache": {"image": "redis:7", "command": ["a", "b"], "env": {"X": "y"}}},
    "database": {"engine": "sqlite", "path": "app.db", "reset": "make db"},
    "gates": [{"run": "make test", "outside": True, "timeout": 5}],
    "limits": {"memory": "1g", "cpus": 1.5},
}


@pytest.fixture
def kept(shop: Shop) -> Path:
    """The file, after a first look."""
    shop.up("auth")
    open_project(open_repository(shop.repo))
    return shop.repo / ".git/treedock/config.json"


def test_every_key_comes_back_as_it_was_checked(tmp_path: Path) -> None:
    config = validate(WHOLE, "treedock.yaml")
    user = validate_user({"sandbox": {"mounts": [{"source": "/a", "target": "/b"}]}}, "own")
    checked_config.write(tmp_path, Checked("k", config, user))
    assert checked_config.read(tmp_path, "k") == Checked("k", config, user)
    assert checked_config.read(tmp_path, "other") is None
    assert (tmp_path / checked_config.NAME).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "[",
        "[]",
        "null",
        json.dumps({"key": "k", "config": {"setup": [{"run": 3}]}, "user": {}}),
        json.dumps({"key": "k", "config": {"ports": {}}, "user": {}}),
        json.dumps({"key": "k", "user": {}}),
        "[" * 100_000,
    ],
)
def test_a_damaged_file_counts_as_none(tmp_path: Path, damage: str) -> None:
    (tmp_path / checked_config.NAME).write_text(damage)
    assert checked_config.read(tmp_path, "k") is None
    checked_config.write(tmp_path, Checked("k", Config(), UserConfig()))
    assert checked_config.read(tmp_path, "k") == Checked("k", Config(), UserConfig())


def test_a_changed_file_is_checked_again(shop: Shop, kept: Path) -> None:
    assert kept.exists()
    shop.configure(limits={"pids": 100})
    assert open_project(open_repository(shop.repo)).config.limits.pids == 100
    (shop.repo / "treedock.yaml").write_text("limits: {pids: few}\n")
    with pytest.raises(ConfigError, match=r"limits\.pids"):
        open_project(open_repository(shop.repo))


def test_what_is_kept_follows_from_what_was_read_also_while_a_file_changes(
    shop: Shop, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kept.exists()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    own, first, second = (tmp_path / f"treedock/{name}" for name in ("config.yaml", "a", "b"))
    own.parent.mkdir()
    os.mkfifo(first)
    own.symlink_to(first)
    second.write_text("worktrees: ../second\n")

    def change() -> None:
        with first.open("w") as reader:  # opens when it is read
            second.replace(own)
            reader.write("worktrees: ../first\n")

    changing = threading.Thread(target=change)
    changing.start()
    assert open_project(open_repository(shop.repo)).user.worktrees == "../first"
    changing.join()
    assert open_project(open_repository(shop.repo)).user.worktrees == "../second"
    own.write_text("worktrees: ../first\n")
    assert open_project(open_repository(shop.repo)).user.worktrees == "../first"


def test_a_file_that_cannot_be_written_is_done_without(shop: Shop, kept: Path) -> None:
    kept.unlink()
    kept.mkdir()
    assert open_project(open_repository(shop.repo)).config.ports


def test_what_was_checked_is_taken_without_pydantic_or_yaml(shop: Shop, kept: Path) -> None:
    code = (
        "import sys; from runner.controller.project import open_project, open_repository; "
        "open_project(open_repository()); print(*sorted(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=shop.repo,
        env={"PYTHONPATH": str(CHECKOUT), "PATH": "/usr/bin:/bin", "HOME": str(Path.home())},
    )  # fmt: skip
    assert not set(done.stdout.split()) & {"pydantic", "pydantic_core", "yaml", "docker"}
