"""Debian as a place to get things from: packages of this host, and a root file system."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from runner.domain.errors import Unavailable

SUITE = "bookworm"
PACKAGES = ("ca-certificates",)
TIMEOUT = 1800  # seconds, for one command


def build_root(tarball: Path, say: Callable[[str], None]) -> None:
    """Write the tar of a minimal Debian to `tarball`, built from packages by mmdebstrap.

    Installs mmdebstrap where it is missing and we may; raises Unavailable with the command
    otherwise, and when the build fails.
    """
    if shutil.which("mmdebstrap") is None:
        _install_mmdebstrap(say)
    include = ",".join(PACKAGES)
    command = ["mmdebstrap", "--variant=minbase", f"--include={include}", SUITE, str(tarball)]
    _run(command, say, "Building a Debian root file system")


def _install_mmdebstrap(say: Callable[[str], None]) -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Unavailable(
            "The base image cannot be pulled, and mmdebstrap, which builds it from Debian's "
            "packages, is not installed.",
            hint="sudo apt-get install mmdebstrap, then: treedock doctor --fix",
        )
    _run(["apt-get", "update"], say, "apt-get update")
    _run(["apt-get", "install", "--yes", "mmdebstrap"], say, "Installing mmdebstrap")


def _run(command: list[str], say: Callable[[str], None], what: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    done = subprocess.Popen(
        command, env=environment, text=True, errors="replace", stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    lines: list[str] = []
    with done:
        for line in done.stdout or ():
            lines.append(line.rstrip())
            say(line.rstrip())
    if done.returncode:
        last = "\n".join(lines[-15:])
        raise Unavailable(
            f"{what} failed (exit code {done.returncode}):\n{last}",
            hint=f"Try it by hand: {' '.join(command)}",
        )
