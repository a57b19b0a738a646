"""Debian as a place to get things from: a root file system, built from its packages."""

import os
from collections.abc import Callable
from pathlib import Path

from runner.adapters.host import machine as host
from runner.domain.errors import Unavailable

# No mirror: mmdebstrap knows Debian's own, and this host's apt settings are no one's business in
# an image. What debian:bookworm-slim leaves out is left out here too; the image remembers that, so
# packages installed on top come without it as well.
_RECIPE = (
    "--variant=minbase",
    "--include=ca-certificates",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    "--dpkgopt=path-exclude=/usr/share/info/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    '--customize-hook=rm "$1/etc/hostname" "$1/etc/resolv.conf"',  # this host's
    "bookworm",
)


def root_recipe() -> str:
    """What decides the content of a root file system; changes exactly when that does."""
    return " ".join(_RECIPE)


def build_root(tarball: Path, say: Callable[[str], None]) -> None:
    """Write the tar of a minimal Debian to `tarball`; its folder has to be readable by everybody.

    Installs mmdebstrap where it is missing and we may. Raises Unavailable with the command
    otherwise, and with the last lines when the build fails.
    """
    if host.which("mmdebstrap") is None:
        _install_mmdebstrap(say)
    host.run(["mmdebstrap", *_RECIPE, os.fspath(tarball)], say)


def _install_mmdebstrap(say: Callable[[str], None]) -> None:
    machine = host.machine()
    if not (machine.root and machine.debian):
        raise Unavailable(
            "No registry has the base image, and mmdebstrap, which builds it from Debian's "
            "packages, is not installed.",
            hint="sudo apt-get install mmdebstrap uidmap debian-archive-keyring"
            if machine.debian
            else "Install mmdebstrap with this system's package manager and try again.",
        )
    apt = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=120"]
    packages = ["mmdebstrap", "debian-archive-keyring"]
    host.run([*apt, "update"], say)
    host.run([*apt, "install", "-y", "--no-install-recommends", *packages], say)
