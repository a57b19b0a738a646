"""Which files a reset reads, as far as the project's own layout tells."""

import posixpath
import re
import shlex
from collections.abc import Sequence
from itertools import pairwise
from pathlib import PurePosixPath

_KNOWN = re.compile(
    r"(^|[\s/])(alembic\s"
    r"|manage\.py\s+(migrate|loaddata|flush|reset_db|createsuperuser)\b"
    r"|prisma\s+(migrate|db)\s)"
)

_SCRIPTED = dict.fromkeys(("npm", "pnpm", "yarn", "bun"), "package.json") | {"make": "Makefile"}
# Django's own apps, and others that are installed, have migrations too.
_PACKAGES = ("**/requirements*.txt", "**/uv.lock", "**/poetry.lock", "**/Pipfile.lock")


def inputs_of(paths: Sequence[str], folder: str, command: str) -> list[str]:
    """Patterns (git's `glob`) of the files that make the data, of a project with these files whose
    reset `command` runs in `folder`; empty where it is not known, or the command does more than
    migrate and load.

    Alembic keeps revisions in versions/ beside env.py, Django in migrations/ of each app and seeds
    in fixtures/ and in installed packages, Prisma beside its schema (the documentation of each).
    The command itself counts with the scripts that it names.
    """
    calls = [call.strip() for call in re.split(r"&&|;|\n", command) if call.strip()]
    if not all(_KNOWN.search(call) for call in calls):
        return []
    there = set(paths)
    found: set[str] = set()
    for path in map(PurePosixPath, paths):
        folders = path.parent.parts
        if path.parent.name == "versions" and str(path.parent.parent / "env.py") in there:
            found |= {f"{path.parent}/**", str(path.parent.parent / "env.py")}
        elif path.suffix == ".py" and folders[-1:] == ("migrations",) and _django(there):
            found |= {"**/migrations/**", "**/fixtures/**", *_PACKAGES}
        elif "prisma" in folders and (path.suffix == ".prisma" or path.name == "migration.sql"):
            top = PurePosixPath(*folders[: folders.index("prisma") + 1])
            found.add(f"{top}/**")
    return sorted(found | named_in(there, folder, command)) if found else []


def _django(paths: set[str]) -> bool:
    return any(PurePosixPath(path).name == "manage.py" for path in paths)


def named_in(paths: set[str], folder: str, command: str) -> set[str]:
    """The files among `paths` that a command, or a script, which runs in `folder` names; with
    what the scripts of `npm run` and the targets of `make` are in."""
    return paths_in(folder, command) & paths


def paths_in(folder: str, command: str) -> set[str]:
    """The paths below the checkout that the words of a command may mean, whether or not they are
    there."""
    try:
        words = shlex.split(command, comments=True)
    except ValueError:
        words = command.split()
    words = [part for word in words for part in re.split(r"[;&|=<>()]+", word)]
    folders = [folder, *(f"{folder}/{to}" for cd, to in pairwise(words) if cd == "cd")]
    words += [name for tool, name in _SCRIPTED.items() if tool in words]
    near = {
        posixpath.normpath(posixpath.join(at, word)) for at in folders for word in words if word
    }
    return {path for path in near if not path.startswith(("/", "..")) and path != "."}
