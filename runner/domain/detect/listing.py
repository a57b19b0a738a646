"""What a checkout holds, and the nouns of what is found in it."""

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

DEPTH = 2  # levels of folders below the top in which an app is looked for

_ASIDE = {
    "benchmarks", "doc", "docs", "e2e", "example", "examples", "fixtures", "node_modules", "sample",
    "samples", "template", "templates", "test", "tests", "third_party", "vendor",
}  # fmt: skip
_LIKELY = re.compile(
    r"(?:^|/)(?:api|app|backend|client|frontend|server|site|src|ui|web(?:app|site)?)$"
)


@dataclass(frozen=True)
class Listing:
    """The tracked files of a checkout, '/' between the parts.

    `read` gives a file's text, and '' for one that cannot be read.
    """

    files: frozenset[str]
    read: Callable[[str], str]
    is_executable: Callable[[str], bool]

    def has(self, folder: str, name: str) -> bool:
        return join(folder, name) in self.files

    def text(self, folder: str, name: str) -> str:
        """The file's text, '' where there is none."""
        path = join(folder, name)
        return self.read(path) if path in self.files else ""

    def folders(self, name: str) -> list[str]:
        """The folders that hold a file `name`, the top first, then likely names, then the rest."""
        found = [posixpath.dirname(f) or "." for f in self.files if posixpath.basename(f) == name]
        return sorted((f for f in found if depth(f) <= DEPTH and not _is_aside(f)), key=_rank)

    def upwards(self, folder: str) -> Iterator[str]:
        """`folder`, then the one that holds it, up to the top ('.')."""
        while folder != ".":
            yield folder
            folder = posixpath.dirname(folder) or "."
        yield "."

    def below(self, folder: str, suffix: str) -> list[str]:
        """The files in and below `folder` that end so, shallow ones first; no tests."""
        prefix = "" if folder == "." else f"{folder}/"
        found = [f for f in self.files if f.startswith(prefix) and f.endswith(suffix)]
        inside = (f for f in found if not _is_aside(posixpath.dirname(f.removeprefix(prefix))))
        return sorted(inside, key=lambda f: (*_rank(posixpath.dirname(f)), f))


@dataclass(frozen=True)
class Step:
    run: str
    folder: str = "."


@dataclass(frozen=True)
class Service:
    """`name` is that of its port, too, if it `serves` one."""

    name: str
    run: str
    folder: str
    http: str = "/"
    timeout: int = 60
    serves: bool = True


@dataclass(frozen=True)
class Sidecar:
    """`port` is None where treedock knows it of its own image."""

    name: str
    image: str
    port: int | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    command: str | list[str] | None = None
    volume: str | None = None


@dataclass(frozen=True)
class Database:
    """A file at `path`, or PostgreSQL in a sidecar, or what only `reset` knows."""

    reset: str | None
    path: str | None = None
    folder: str = "."
    sidecar: str | None = None


@dataclass(frozen=True)
class App:
    """One half of a project: what installs it, serves it, and tests it.

    `said` are sentences about what was found, `unsure` those that ask for a look; `leaves` the
    paths that its tools write and that git should ignore, folders with a '/' at the end. `migrate`
    makes the tables in an empty database, and `program(LINE, FOLDER)` is the command for one of
    the programs that set-up installs.
    """

    setup: tuple[Step, ...] = ()
    service: Service | None = None
    database: Database | None = None
    test: Step | None = None
    said: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    migrate: Step | None = None
    program: Callable[[str, str], str] | None = None
    unsure: tuple[str, ...] = ()


@dataclass
class Notes:
    """Sentences for a person: what was found, what was left out and why, what asks for a look."""

    said: list[str] = field(default_factory=list)
    omitted: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)


def join(folder: str, name: str) -> str:
    """A path below the top: ('.', 'a') -> 'a', ('a/b', '../c') -> 'a/c'."""
    return posixpath.normpath(posixpath.join(folder, name))


def depth(folder: str) -> int:
    return 0 if folder in ("", ".") else folder.count("/") + 1


def _is_aside(folder: str) -> bool:
    parts = [] if folder in ("", ".") else folder.split("/")
    return any(part in _ASIDE or part.startswith(".") for part in parts)


def _rank(folder: str) -> tuple[int, bool, str]:
    return depth(folder), not _LIKELY.search(folder), folder
