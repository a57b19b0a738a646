"""The Python half: what serves, what installs its dependencies, and its database."""

import re
from dataclasses import replace

from runner.domain.detect.listing import App, Listing, Service, Step, join
from runner.domain.detect.python_data import django_data, sqlite_of, tables_of
from runner.domain.detect.python_environment import (
    Environment,
    declared_in,
    declares,
    environment_of,
)
from runner.domain.detect.python_servers import Server, find_backend, find_shown


def find_python(listing: Listing) -> App:
    """The Python app that serves as backend; an empty App where there is none."""
    return _find_django(listing) or _find_server(listing) or App()


def find_python_frontend(listing: Listing) -> App:
    """The Streamlit or Gradio app; an empty App where there is none."""
    server = find_shown(listing)
    return _served(listing, server, "frontend") if server else App()


def find_library(listing: Listing) -> App:
    """Dependencies without a server that is known here; an empty App where there are none."""
    for name in ("pyproject.toml", "requirements.txt"):
        for folder in listing.folders(name):
            environment = declared_in(listing, folder)
            if environment:
                return _app(environment, None, "")
    return App()


def _find_django(listing: Listing) -> App | None:
    for folder in listing.folders("manage.py"):
        if "DJANGO_SETTINGS_MODULE" in listing.text(folder, "manage.py"):
            return _django(listing, folder)
    return None


def _django(listing: Listing, folder: str) -> App:
    settings = _settings(listing, folder)
    made_by = re.search(r"startproject' using Django (\d+\.\d+)", settings)
    environment = environment_of(
        listing, folder, f"django~={made_by[1]}.0" if made_by else "django"
    )
    manage = environment.command("python manage.py", folder)
    service = Service("backend", f"{manage} runserver 0.0.0.0:$BACKEND_PORT", folder)
    app = _app(environment, service, f"{join(folder, 'manage.py')} (Django)")
    database, migrate = django_data(listing, folder, manage, settings)
    copied = _required_settings(listing, folder)
    return replace(
        app,
        setup=(*app.setup, *copied),
        said=(*app.said, *(f"{step.run.split()[2]} → setup: {step.run}" for step in copied)),
        test=app.test or Step(f"{manage} test", folder),
        migrate=migrate,
        database=database,
    )


def _required_settings(listing: Listing, folder: str) -> list[Step]:
    """The settings that manage.py names where only an example of them is in git."""
    named = re.search(
        r"DJANGO_SETTINGS_MODULE['\"],\s*['\"]([^'\"]+)['\"]", listing.text(folder, "manage.py")
    )
    path = named[1].replace(".", "/") + ".py" if named else ""
    if not path or listing.has(folder, path) or listing.has(folder, f"{path[:-3]}/__init__.py"):
        return []
    examples = [f"{path}.{end}" for end in ("example", "sample", "template")]
    found = next((name for name in examples if listing.has(folder, name)), None)
    safe = found and re.fullmatch(r"[\w./-]+", found)
    return [Step(f"cp -n {found} {path}", folder)] if safe else []


def _settings(listing: Listing, folder: str) -> str:
    files = listing.below(folder, ".py")
    named = [file for file in files if re.search(r"(^|/)settings(\.py$|/)", file)]
    return "\n".join(listing.read(file) for file in named[:10])


def _find_server(listing: Listing) -> App | None:
    server = find_backend(listing)
    return _served(listing, server, "backend") if server else None


def _served(listing: Listing, server: Server, role: str) -> App:
    environment = environment_of(listing, server.folder, server.kind.lower())
    needs = "" if declares(environment, server.package) else server.package
    if needs and not environment.uv:
        environment = replace(environment, setup=f"{environment.setup} {needs}")
    run = server.before + environment.command(server.program, server.folder, needs)
    service = Service(role, run, server.folder, http=server.health)
    app = _app(environment, service, f"{server.path} ({server.kind})")
    app = replace(app, unsure=(server.unsure,) if server.unsure else ())
    if role != "backend":
        return app
    tables = tables_of(listing, environment, server)
    return replace(app, database=sqlite_of(listing, environment, server, tables), migrate=tables)


def _app(environment: Environment, service: Service | None, what: str) -> App:
    said = [f"{environment.source} → setup: {environment.setup}"]
    if service:
        said.append(f"{what} → services.{service.name}: {service.run}")
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
