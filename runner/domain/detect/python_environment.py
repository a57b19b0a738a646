"""Where a Python project declares its dependencies, and what installs and runs them."""

import posixpath
import re
import shlex
import tomllib
from dataclasses import dataclass
from typing import Any

from runner.domain.detect.listing import Listing, join


@dataclass(frozen=True)
class Environment:
    """Where Python's dependencies are declared, and how a program of theirs is run.

    `declared` is the text that names them; where not `uv` runs them, there is a .venv.
    """

    folder: str
    setup: str
    declared: str
    source: str
    uv: bool = False
    leaves: tuple[str, ...] = ()

    def command(self, program: str, folder: str, needs: str = "") -> str:
        """The command that runs `program` in `folder`; `needs` is a package it takes beyond."""
        if self.uv:
            return f"uv run --with {needs} {program}" if needs else f"uv run {program}"
        programs = posixpath.relpath(join(self.folder, ".venv/bin"), folder)
        return f"{programs}/{program}"

    def shell(self, line: str, folder: str) -> str:
        """The command that runs `line` in `folder` with the environment's programs in PATH."""
        if self.uv:
            return f"uv run {line}"
        programs = posixpath.relpath(join(self.folder, ".venv/bin"), folder)
        return f'PATH="$PWD/{programs}:$PATH" {line}'


def environment_of(listing: Listing, folder: str, package: str) -> Environment:
    """That of `folder` or a folder around it; where nothing is declared, one with `package`."""
    for around in listing.upwards(folder):
        found = declared_in(listing, around)
        if found:
            return found
    setup = f"uv venv --allow-existing && uv pip install {shlex.quote(package)}"
    return Environment(folder, setup, package, f"no dependencies declared in {folder}")


def declared_in(listing: Listing, folder: str) -> Environment | None:
    pyproject = listing.text(folder, "pyproject.toml")
    data = _toml(pyproject)
    tools = data.get("tool") if isinstance(data.get("tool"), dict) else {}
    source = join(folder, "pyproject.toml")
    if "project" in data and (
        "uv" in (tools or {}) or any(listing.has(f, "uv.lock") for f in listing.upwards(folder))
    ):
        locked = any(listing.has(around, "uv.lock") for around in listing.upwards(folder))
        leaves = () if locked else (join(folder, "uv.lock"),)
        return Environment(folder, "uv sync", pyproject, f"{source} (uv)", uv=True, leaves=leaves)
    if "poetry" in (tools or {}) or listing.has(folder, "poetry.lock"):
        setup = (
            "POETRY_VIRTUALENVS_IN_PROJECT=true uvx --from 'poetry<3' poetry install "
            "--no-interaction"
        )
        leaves = (f"{join(folder, '.venv')}/",)
        return Environment(folder, setup, pyproject, f"{source} (poetry)", leaves=leaves)
    requirements = [
        name
        for name in ("requirements.txt", "requirements-dev.txt", "dev-requirements.txt")
        if listing.has(folder, name)
    ]
    if requirements:
        named = " ".join(f"-r {name}" for name in requirements)
        setup = f"python3 -m venv .venv && .venv/bin/pip install {named}"
        declared = "\n".join(listing.text(folder, name) for name in requirements)
        where = " and ".join(join(folder, name) for name in requirements)
        leaves = (f"{join(folder, '.venv')}/",)
        return Environment(folder, setup, declared, where, leaves=leaves)
    project = data.get("project")
    if isinstance(project, dict) and ("dependencies" in project):
        extras = " --all-extras" if "optional-dependencies" in project else ""
        groups = data.get("dependency-groups")
        group = " --group dev" if isinstance(groups, dict) and "dev" in groups else ""
        setup = f"uv venv --allow-existing && uv pip install -r pyproject.toml{extras}{group}"
        return Environment(folder, setup, pyproject, source)
    return None


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}  # theirs to repair; what else is there still counts


def declares(environment: Environment, package: str) -> bool:
    """Whether the declared dependencies have the package, by its own name or by one that has it."""
    pattern = {"uvicorn": r"uvicorn|fastapi\[(standard|all)"}.get(package, re.escape(package))
    return re.search(pattern, environment.declared, re.IGNORECASE) is not None
