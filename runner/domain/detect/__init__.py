"""What a repository is, told from the names and contents of its tracked files. Pure.

A guess is worth making where the file that follows is right more often than not; what was not
found stays a commented example in treedock.yaml.
"""

import posixpath
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace

from runner.domain.detect.addresses import find_addresses
from runner.domain.detect.compose import ComposeFile, with_compose
from runner.domain.detect.declared_services import Declared, find_declared
from runner.domain.detect.env_examples import NAMES, keys_without_value
from runner.domain.detect.findings import Findings
from runner.domain.detect.hooks import with_hooks
from runner.domain.detect.listing import App, Database, Listing, Service, Sidecar, Step, join
from runner.domain.detect.node import find_node
from runner.domain.detect.node_data import NodeData, find_node_data
from runner.domain.detect.own_database import server_need, with_server
from runner.domain.detect.python import find_library, find_python, find_python_frontend

__all__ = ["ComposeFile", "Database", "Findings", "Listing", "Service", "Sidecar", "Step", "detect"]

_RESET = re.compile(
    r"(?:reset|(?:reset|recreate|create|init|setup)[_-]?(?:db|database|data)"
    r"|(?:db|database)[_-](?:reset|setup|init))(?:\.(?:sh|bash|py))?"
)
_SCRIPT_FOLDERS = {"bin", "db", "script", "scripts", "tools"}


def detect(listing: Listing, compose: ComposeFile | None = None) -> Findings:
    """Decide what the project is and how treedock runs it; `compose` is its Compose file."""
    python, shown = find_python(listing), find_python_frontend(listing)
    node = find_node(listing, {app.service.name for app in (python, shown) if app.service})
    by_name = {app.service.name: app for app in (*node, python, shown) if app.service}
    backend, frontend = by_name.get("backend", App()), by_name.get("frontend", App())
    library = App() if python.service or shown.service else find_library(listing)
    apps = _distinct(backend, library, frontend, *node)
    data = None if python.service else find_node_data(listing)
    backend = _with_data(backend, data) if data else backend
    script = _find_reset_script(listing)
    database = _reset_by(listing, script, backend.database) if script else backend.database
    copy = _find_copied(listing)
    tests = [app.test for app in apps if app.test]

    said = [sentence for app in apps for sentence in app.said]
    said += _said(script, database, data, copy)
    findings = Findings(
        setup=_setup(apps, data),
        services=tuple(app.service for app in apps if app.service),
        database=database,
        copy=copy,
        variables=data.variables if data else {},
        test=_as_line(tests[0]) if tests else None,
        said=tuple(dict.fromkeys(said)),
        unsure=tuple(line for app in apps for line in app.unsure),
        leaves=tuple(dict.fromkeys(path for app in apps for path in app.leaves)),
    )
    program = python.program or shown.program or library.program
    if compose:
        findings = with_compose(findings, compose, listing, backend, program)
    findings = _with_declared(findings, find_declared(listing, findings.services, program))
    need = server_need(listing, python, data)
    findings = with_server(findings, need, listing) if need else findings
    findings = with_hooks(_with_addresses(findings, listing), listing)
    unsure = [*findings.unsure, *keys_without_value(listing, list(findings.variables))]
    unsure += [*_unknown(findings), *_fixed_ports(listing, frontend)]
    return replace(findings, unsure=tuple(unsure))


def _said(
    script: str | None, database: Database | None, data: NodeData | None, copy: tuple[str, ...]
) -> list[str]:
    said = []
    if database:
        said.append(f"{script or database.path} → database.reset: {database.reset}")
    said += [f"{data.source} → setup: {step.run}" for step in data.setup] if data else []
    return [*said, *(f"{path}.example → env.copy: {path}" for path in copy)]


def _with_data(backend: App, data: NodeData) -> App:
    """The backend with what fills its database."""
    return replace(backend, migrate=data.tables, database=data.database)


def _setup(apps: Sequence[App], data: NodeData | None) -> tuple[Step, ...]:
    steps = [step for app in apps for step in app.setup]
    steps += [data.install, *data.setup] if data else []
    return tuple(dict.fromkeys(steps))


def _distinct(*apps: App) -> list[App]:
    return list(dict.fromkeys(app for app in apps if app != App()))


def _as_line(step: Step) -> str:
    return step.run if step.folder == "." else f"cd {shlex.quote(step.folder)} && {step.run}"


def _find_reset_script(listing: Listing) -> str | None:
    """A script whose name says that it makes the database, in a usual place."""
    found = []
    for file in listing.files:
        folder, name = posixpath.split(file)
        usual = posixpath.basename(folder) in _SCRIPT_FOLDERS or not folder
        if file.count("/") <= 3 and usual and _RESET.fullmatch(name):
            found.append(file)
    return min(found, key=lambda f: ("reset" not in f, f.count("/"), f), default=None)


def _reset_by(listing: Listing, script: str, database: Database | None) -> Database:
    """The repository's own script, run from the folder that holds `scripts/`."""
    folder = posixpath.dirname(script)
    if posixpath.basename(folder) in _SCRIPT_FOLDERS:
        folder = posixpath.dirname(folder)
    folder = folder or "."
    command = shlex.quote(f"./{posixpath.relpath(script, folder)}")
    if not listing.is_executable(script):
        shebang = re.match(r"#!\S*?(?:/env\s+)?(\w+)\s", listing.read(script))
        usual = "python3" if script.endswith(".py") else "sh"
        command = f"{shebang[1] if shebang else usual} {command}"
    return Database(command, database.path if database else None, folder)


def _find_copied(listing: Listing) -> tuple[str, ...]:
    """The ignored .env files that examples below the top ask for."""
    examples = {posixpath.dirname(f) or "." for name in NAMES for f in _places(listing, name)}
    return tuple(sorted(join(folder, ".env") for folder in examples if folder != "."))


def _places(listing: Listing, name: str) -> list[str]:
    return [join(folder, name) for folder in listing.folders(name)]


def _with_declared(findings: Findings, found: Declared) -> Findings:
    return replace(
        findings,
        services=(*findings.services, *([found.service] if found.service else [])),
        said=(*findings.said, *found.said),
        unsure=(*findings.unsure, *found.unsure),
        omitted=(*findings.omitted, *found.omitted),
    )


def _with_addresses(findings: Findings, listing: Listing) -> Findings:
    found = find_addresses(listing, findings.services, findings.variables)
    return replace(
        findings,
        variables={**findings.variables, **found.of},
        said=(*findings.said, *found.said),
        unsure=(*findings.unsure, *found.unsure),
    )


def _unknown(findings: Findings) -> list[str]:
    found = {service.name for service in findings.services}
    missing = [f"a {role}" for role in ("backend", "frontend") if role not in found]
    if findings.database is None:
        missing.append("a database or a script that resets it")
    return [f"not found: {', '.join(missing)}"] if missing else []


def _fixed_ports(listing: Listing, frontend: App) -> list[str]:
    """A proxy to a port that is written down would reach another instance's backend, or none."""
    if frontend.service is None:
        return []
    names = [f"vite.config.{ending}" for ending in ("js", "mjs", "ts", "mts")]
    for path in (join(frontend.service.folder, name) for name in names):
        text = listing.read(path) if path in listing.files else ""
        if re.search(r"proxy", text) and re.search(r"(?:localhost|127\.0\.0\.1):\d+", text):
            return [f"{path} proxies to a fixed port: let it read process.env.BACKEND_PORT"]
    return []
