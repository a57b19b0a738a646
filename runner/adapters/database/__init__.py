"""Databases of instances: one module per engine, all of one shape.

A further engine is one more module here, named as it is in treedock.yaml, with a class `Adapter`
of the shape below.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import BinaryIO, Literal, Protocol, cast

from runner.adapters.engine.protocol import Engine, Exec
from runner.adapters.failpoints import step
from runner.adapters.files.captured import Bounded
from runner.domain.config.project import Config
from runner.domain.config.sections import Database, Sidecar
from runner.domain.errors import CommandFailed
from runner.domain.frozen import dataclass
from runner.domain.instance.container import WORKSPACE
from runner.domain.instance.streams import Streams
from runner.domain.text import with_last_lines

Kind = Literal["database", "role"]
TIMEOUT = 1800.0  # seconds for one statement; copying a hundred gigabytes takes that long
LAST_LINES = 10
PRINTED = 2**24  # bytes


@dataclass(frozen=True)
class Site:
    """Where an instance's database is: the instance's own container, the one that holds the
    database beside it ('' where none does), `run`, a folder that the instance can write too,
    `own`, one that it cannot see, and `worktree`, where the host sees the same at the database's
    path as the instance does."""

    engine: Engine
    container: str
    beside: str
    run: Path
    own: Path
    worktree: Path | None = None


class Adapter(Protocol):
    """What an instance's database can do. All but the first two need a running instance, and raise
    CommandFailed, with what the database said, or Refused; the data is as it was then."""

    def __init__(self, database: Database, sidecar: Sidecar | None) -> None: ...

    def variables(self) -> dict[str, str]:
        """What tells the app inside, and clients there, where it is."""

    def url(self, ports: Mapping[str, int], worktree: str) -> str | None:
        """Where the host finds it; None where it cannot."""

    def provision(self, site: Site, *, new: bool) -> None:
        """Give the reset command what it begins with, a database with nothing of the project's in
        it. What was there is set aside until `seal` or `put_back`; of a `new` one there is nothing
        yet but what its image brings."""

    def put_back(self, site: Site) -> bool:
        """What was set aside is the data again; nothing where nothing was. Returns whether the
        data is as it was, False where no one knows."""

    def forget(self, site: Site) -> None:
        """What is there now counts, and nothing that was set aside for it does any more."""

    def seal(self, site: Site) -> bool:
        """What it holds now is the golden state, if it can be kept, which is the answer; and
        nothing is set aside any more."""

    def reset(self, site: Site) -> bool:
        """Renew the data from the golden state; False where there is none. It ends connections
        of the app's, or is seen by them."""

    def golden_file(self, site: Site) -> Path | None:
        """The file that is its golden state; None where that is within the database's server."""

    def snapshot(self, site: Site, target: Path) -> None:
        """Write the data into a new file, as it is at one moment."""

    def restore(self, site: Site, source: Path) -> None:
        """Make the data what `snapshot` wrote."""

    def others(self, site: Site) -> dict[tuple[Kind, str], str]:
        """What else its server holds, by kind and name, with a stamp that changes when it is made
        again or, of a database, written to. Empty where the database is all there is."""

    def shell(self, site: Site) -> tuple[str, list[str]]:
        """The container and the command line of its own client."""


def adapter_of(config: Config) -> Adapter | None:
    """The one for the configured database."""
    database = config.database
    if database is None:
        return None
    module = import_module(f"{__name__}.{database.engine}")
    made = module.Adapter(database, config.sidecars.get(database.beside))
    return cast(Adapter, made)


def variables_of(config: Config) -> dict[str, str]:
    """DATABASE_URL, and what the engine's clients read; empty where nothing is known."""
    adapter = adapter_of(config)
    return adapter.variables() if adapter else {}


def run(
    site: Site,
    container: str,
    argv: Sequence[str],
    *,
    stdin: BinaryIO | None = None,
    stdout: BinaryIO | None = None,
    env: Mapping[str, str] | None = None,
    workdir: str = WORKSPACE,
) -> str:
    """Run a command to its end; returns what it printed, unless that went into `stdout`. Raises
    CommandFailed with its last lines, or where it prints without end."""
    out, err = Bounded(PRINTED, refuse=_endless), Bounded(PRINTED, refuse=_endless)
    code = site.engine.exec_attached(
        container, Exec(argv, env or {}, workdir, TIMEOUT), Streams(stdin, stdout or out, err)
    )  # fmt: skip
    step("engine exec")
    if code:
        lines = err.data().decode(errors="replace").splitlines()[-LAST_LINES:]
        sentence = with_last_lines(f"{argv[0]} failed with exit code {code}.", lines)
        raise CommandFailed(sentence, hint="The data is as it was.")
    return out.data().decode(errors="replace")


def _endless() -> CommandFailed:
    return CommandFailed(
        "What was run on the database prints without end.",
        hint="Look at its settings inside, e.g. ~/.psqlrc.",
    )
