"""The database of a Python app: the file it is in, what makes its tables, and its first rows."""

import posixpath
import re
import shlex

from runner.domain.detect.listing import Database, Listing, Step, join
from runner.domain.detect.python_environment import Environment
from runner.domain.detect.python_servers import Server

_FILE = re.compile(
    r"""sqlite(?:\+\w+)?:///(?P<url>[\w./-]+)|["'](?P<name>(?!django\.)[\w./-]+\.(?:db|sqlite3?))["']"""
)
_SQLITE_NAME = re.compile(
    r"backends\.sqlite3['\"].{0,40}?['\"]NAME['\"]\s*:(?P<value>[^}]{0,400})\}", re.S
)
_READ_AT_MOST = 60  # files searched for the name of the database
_SEEDS = ("initial_data.py", "seed.py", "seeds.py", "seed_db.py", "seed_data.py", "populate.py")
_COMMAND = re.compile(
    r"(?:load_?initial_?data|initial_?data|seed\w*|populate(?:_?(?:db|data|demo|database))?|create_?demo\w*)"
)
_LOADED = re.compile(r"manage(?:\.py)?[ ]+loaddata[ ]+([\w.-]+(?:[ ]+[\w.-]+)*)")
_TELLING = ("docker-entrypoint.sh", "Makefile", "README.md", "readme.md", "README.rst")
_INIT_COMMAND = re.compile(
    r"""(?:cli|click)\.command\(\s*["'](init[-_]?db|create[-_]?db|initdb|create[-_]?tables|setup[-_]?db)["']"""
)


def django_data(
    listing: Listing, folder: str, manage: str, settings: str
) -> tuple[Database | None, Step]:
    """(the SQLite file with its reset, the step that fills any other empty database)."""
    steps = [f"{manage} migrate --noinput", *_django_seeds(listing, folder, manage)]
    step = Step(" && ".join(steps), folder)
    if "django.db.backends.sqlite3" not in settings:
        return None, step
    file = _django_file(settings)
    return Database(f"rm -f {file} && {step.run}", join(folder, file), folder), step


def _django_file(settings: str) -> str:
    near = _SQLITE_NAME.search(settings)
    value = re.split(r"""["'][A-Z_]+["']\s*:""", near["value"])[0] if near else ""
    names = re.findall(r"""["']([\w.-]+)["']""", value)
    if names:
        return str(names[-1])
    named = _FILE.search(settings)
    return (named["name"] or named["url"]) if named else "db.sqlite3"


def _django_seeds(listing: Listing, folder: str, manage: str) -> list[str]:
    """The commands of the project's own that fill an empty database, else what it loads."""
    for file in listing.below(folder, ".py"):
        parent, name = posixpath.split(file)
        stem = name.removesuffix(".py")
        if parent.endswith("management/commands") and _COMMAND.fullmatch(stem):
            return [f"{manage} {stem}"]
    fixtures = {
        name.partition(".")[0]
        for folder, name in map(posixpath.split, listing.files)
        if posixpath.basename(folder) == "fixtures"
    }
    for source in _TELLING:
        told = " ".join(_LOADED.findall(listing.text(".", source))).split()
        names = [name for name in dict.fromkeys(told) if name.partition(".")[0] in fixtures]
        if names:
            return [f"{manage} loaddata {' '.join(names)}"]
    return []


def tables_of(listing: Listing, environment: Environment, server: Server) -> Step | None:
    """What makes the tables and first rows in an empty database; None where the app itself does."""
    folder = server.folder
    prestart = _first(listing, folder, ("scripts/prestart.sh", "prestart.sh"))
    if prestart:
        return Step(environment.shell(f"bash {prestart}", folder), folder)
    made = _migrated(listing, environment, server)
    seed = _seed(listing, environment, folder)
    steps = [step for step in (made, seed if made else None) if step]
    return Step(" && ".join(steps), folder) if steps else None


def _migrated(listing: Listing, environment: Environment, server: Server) -> str | None:
    folder = server.folder
    if server.kind == "Flask":
        if _first(listing, folder, ("migrations/env.py", "migrations/alembic.ini")):
            return environment.command(f"flask --app {server.module} db upgrade", folder)
        command = _init_command(listing, folder)
        if command:
            return environment.command(f"flask --app {server.module} {command}", folder)
    if listing.has(folder, "alembic.ini"):
        return environment.command("alembic upgrade head", folder)
    return None


def _init_command(listing: Listing, folder: str) -> str | None:
    for file in listing.below(folder, ".py")[:_READ_AT_MOST]:
        found = _INIT_COMMAND.search(listing.read(file))
        if found:
            return found[1]
    return None


def _seed(listing: Listing, environment: Environment, folder: str) -> str | None:
    for name in _SEEDS:
        for place in ("", "scripts/", "app/", "app/db/", "src/"):
            path = f"{place}{name}"
            if listing.has(folder, path) and "__main__" in listing.text(folder, path):
                return environment.command(f"python {shlex.quote(path)}", folder)
    return None


def _first(listing: Listing, folder: str, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if listing.has(folder, name)), None)


def sqlite_of(
    listing: Listing, environment: Environment, server: Server, tables: Step | None
) -> Database | None:
    """The SQLite file that the code names, with a reset that makes it again."""
    folder = server.folder
    sources = listing.below(folder, ".py")[:_READ_AT_MOST]
    for around in dict.fromkeys((folder, environment.folder, ".")):
        sources += [join(around, ".env.example")] if listing.has(around, ".env.example") else []
    for source in sources:
        match = _FILE.search(listing.read(source))
        if match is None:
            continue
        # Flask-SQLAlchemy takes a relative URL from the folder `instance`.
        text = match.string[max(0, match.start() - 40) : match.start()]
        in_instance = (match["url"] and server.kind == "Flask") or "instance_path" in text
        inner = join("instance", match["url"] or match["name"]) if in_instance else ""
        path = join(folder, inner or match["url"] or match["name"])
        if path.startswith(("/", "..")):
            continue
        reset = f"rm -f {posixpath.relpath(path, folder)}"
        return Database(f"{reset} && {tables.run}" if tables else reset, path, folder)
    return None
