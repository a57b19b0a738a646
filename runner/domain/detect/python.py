"""The Python half: Django, FastAPI, Flask, and what installs their dependencies."""

import posixpath
import re
import shlex
import tomllib
from dataclasses import dataclass, replace
from typing import Any

from runner.domain.detect.listing import App, Database, Listing, Service, Step, join

_ENTRIES = ("main.py", "app.py", "server.py", "api.py", "asgi.py", "wsgi.py", "__init__.py")
_ASGI = re.compile(r"^(\w+)\s*(?::[^=\n]+)?=\s*(?:\w+\.)?(FastAPI|Starlette)\(", re.MULTILINE)
_FLASK = re.compile(r"(?<![\w.])(?:flask\.)?Flask\(")
_HEALTH = re.compile(r"""["'](/(?:[\w-]+/)*health\w*)["']""")
_DATABASE = re.compile(
    r"""sqlite(?:\+\w+)?:///(?P<url>[\w./-]+)|["'](?P<name>(?!django\.)[\w./-]+\.(?:db|sqlite3?))["']"""
)
_READ_AT_MOST = 60  # files searched for the name of the database


@dataclass(frozen=True)
class _Environment:
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


def find_python(listing: Listing) -> App:
    """The Python app of the checkout; an empty App where there is none."""
    return _find_django(listing) or _find_server(listing) or _find_library(listing) or App()


def _find_django(listing: Listing) -> App | None:
    for folder in listing.folders("manage.py"):
        if "DJANGO_SETTINGS_MODULE" not in listing.text(folder, "manage.py"):
            continue
        settings = _settings(listing, folder)
        made_by = re.search(r"startproject' using Django (\d+\.\d+)", settings)
        environment = _environment(
            listing, folder, f"django~={made_by[1]}.0" if made_by else "django"
        )
        manage = environment.command("python manage.py", folder)
        app = _app(
            listing,
            environment,
            Service("backend", f"{manage} runserver 0.0.0.0:$BACKEND_PORT", folder),
            f"{join(folder, 'manage.py')} (Django)",
        )
        if app.test is None:
            app = replace(app, test=Step(f"{manage} test", folder))
        app = replace(app, migrate=Step(f"{manage} migrate --noinput", folder))
        if "django.db.backends.sqlite3" in settings:
            named = _DATABASE.search(settings)
            file = (named["name"] or named["url"]) if named else "db.sqlite3"
            reset = f"rm -f {file} && {manage} migrate --noinput"
            app = replace(app, database=Database(reset, join(folder, file), folder))
        return app
    return None


def _settings(listing: Listing, folder: str) -> str:
    files = listing.below(folder, ".py")
    named = [file for file in files if re.search(r"(^|/)settings(\.py$|/)", file)]
    return "\n".join(listing.read(file) for file in named[:10])


def _find_server(listing: Listing) -> App | None:
    """FastAPI, Starlette or Flask."""
    files = [f for f in listing.below(".", ".py") if posixpath.basename(f) in _ENTRIES]
    for path in (file for file in files if file.count("/") <= 4):
        text = listing.read(path)
        folder, module = _module(listing, path, text)
        asgi = _ASGI.search(text)
        if asgi:
            kind, package = asgi[2], "uvicorn"
            program = f"uvicorn {module}:{asgi[1]} --host 0.0.0.0 --port $BACKEND_PORT"
        elif _FLASK.search(text):
            kind, package = "Flask", "flask"
            program = f"flask --app {module} run --host 0.0.0.0 --port $BACKEND_PORT"
        else:
            continue
        environment = _environment(listing, folder, kind.lower())
        needs = "" if _declares(environment, package) else package
        if needs and not environment.uv:
            environment = replace(environment, setup=f"{environment.setup} {needs}")
        health = _HEALTH.search(text)
        run = environment.command(program, folder, needs)
        service = Service("backend", run, folder, http=health[1] if health else "/")
        app = _app(listing, environment, service, f"{path} ({kind})")
        migrate = _alembic(listing, environment, folder)
        return replace(app, database=_database(listing, environment, folder, kind), migrate=migrate)
    return None


def _find_library(listing: Listing) -> App | None:
    """Dependencies without a server that is known here."""
    for name in ("pyproject.toml", "requirements.txt"):
        for folder in listing.folders(name):
            environment = _declared_in(listing, folder)
            if environment:
                return _app(listing, environment, None, "")
    return None


def _app(listing: Listing, environment: _Environment, service: Service | None, what: str) -> App:
    said = [f"{environment.source} → setup: {environment.setup}"]
    if service:
        said.append(f"{what} → services.backend: {service.run}")
    has_pytest = re.search(r"pytest", environment.declared)
    test = (
        Step(environment.command("pytest -q", environment.folder), environment.folder)
        if has_pytest
        else None
    )
    caches = [f"{join(environment.folder, '__pycache__')}/"] if service else []
    return App(
        setup=(Step(environment.setup, environment.folder),),
        service=service,
        test=test,
        said=tuple(said),
        leaves=(*environment.leaves, *caches),
        program=environment.command,
    )


def _environment(listing: Listing, folder: str, package: str) -> _Environment:
    """That of `folder` or a folder around it; where nothing is declared, one with `package`."""
    for around in listing.upwards(folder):
        found = _declared_in(listing, around)
        if found:
            return found
    setup = f"uv venv --allow-existing && uv pip install {shlex.quote(package)}"
    return _Environment(folder, setup, package, f"no dependencies declared in {folder}")


def _declared_in(listing: Listing, folder: str) -> _Environment | None:
    pyproject = listing.text(folder, "pyproject.toml")
    data = _toml(pyproject)
    tools = data.get("tool") if isinstance(data.get("tool"), dict) else {}
    source = join(folder, "pyproject.toml")
    if "project" in data and (
        "uv" in (tools or {}) or any(listing.has(f, "uv.lock") for f in listing.upwards(folder))
    ):
        locked = any(listing.has(around, "uv.lock") for around in listing.upwards(folder))
        leaves = () if locked else (join(folder, "uv.lock"),)
        return _Environment(folder, "uv sync", pyproject, f"{source} (uv)", uv=True, leaves=leaves)
    if "poetry" in (tools or {}) or listing.has(folder, "poetry.lock"):
        setup = (
            "POETRY_VIRTUALENVS_IN_PROJECT=true uvx --from 'poetry<3' poetry install "
            "--no-interaction"
        )
        leaves = (f"{join(folder, '.venv')}/",)
        return _Environment(folder, setup, pyproject, f"{source} (poetry)", leaves=leaves)
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
        return _Environment(folder, setup, declared, where, leaves=leaves)
    project = data.get("project")
    if isinstance(project, dict) and ("dependencies" in project):
        extras = " --all-extras" if "optional-dependencies" in project else ""
        groups = data.get("dependency-groups")
        group = " --group dev" if isinstance(groups, dict) and "dev" in groups else ""
        setup = f"uv venv --allow-existing && uv pip install -r pyproject.toml{extras}{group}"
        return _Environment(folder, setup, pyproject, source)
    return None


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}  # theirs to repair; what else is there still counts


def _declares(environment: _Environment, package: str) -> bool:
    names = {"uvicorn": r"uvicorn|fastapi\[(standard|all)", "flask": r"flask"}
    return re.search(names[package], environment.declared, re.IGNORECASE) is not None


def _module(listing: Listing, path: str, text: str) -> tuple[str, str]:
    """(folder to run in, dotted name) of a file, told by __init__.py and by what it imports."""
    *folders, name = path.split("/")
    stem = name.removesuffix(".py")
    top = len(folders)
    while top and listing.has("/".join(folders[:top]), "__init__.py"):
        top -= 1
    here = "/".join(folders) or "."
    imported = set(re.findall(r"^\s*(?:from|import)\s+(\w+)", text, re.MULTILINE))
    for level, folder in enumerate(folders):
        beside = listing.has(here, f"{folder}.py") or listing.has(here, f"{folder}/__init__.py")
        if folder in imported and not beside:
            top = min(top, level)
    if folders and re.search(r"^\s*from\s+\.", text, re.MULTILINE):
        top = min(top, len(folders) - 1)
    parts = [*folders[top:], *([stem] if stem != "__init__" else [])]
    return "/".join(folders[:top]) or ".", ".".join(parts)


def _database(
    listing: Listing, environment: _Environment, folder: str, kind: str
) -> Database | None:
    """The SQLite file that the code of `folder` names, with a reset that makes it again."""
    sources = listing.below(folder, ".py")[:_READ_AT_MOST]
    for around in dict.fromkeys((folder, environment.folder, ".")):
        sources += [join(around, ".env.example")] if listing.has(around, ".env.example") else []
    for source in sources:
        match = _DATABASE.search(listing.read(source))
        if match is None:
            continue
        # Flask-SQLAlchemy takes a relative URL from the folder `instance`.
        inner = join("instance", match["url"]) if match["url"] and kind == "Flask" else ""
        path = join(folder, inner or match["url"] or match["name"])
        if path.startswith(("/", "..")):
            continue
        reset = f"rm -f {posixpath.relpath(path, folder)}"
        migrate = _alembic(listing, environment, folder)
        if migrate:
            reset += f" && {migrate.run}"
        return Database(reset, path, folder)
    return None


def _alembic(listing: Listing, environment: _Environment, folder: str) -> Step | None:
    if not listing.has(folder, "alembic.ini"):
        return None
    return Step(environment.command("alembic upgrade head", folder), folder)
