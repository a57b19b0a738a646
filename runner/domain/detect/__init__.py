"""What a repository is, told from the names and contents of its tracked files. Pure.

A guess is worth making where the file that follows is right more often than not; what was not
found stays a commented example in treedock.yaml.
"""

import posixpath
import re
import shlex
from dataclasses import dataclass

from runner.domain.detect.listing import App, Database, Listing, Service, Step, join
from runner.domain.detect.node import find_node
from runner.domain.detect.python import find_python

__all__ = ["Database", "Findings", "Listing", "Service", "Step", "detect"]

_RESET = re.compile(
    r"(?:reset|(?:reset|recreate|create|init|setup)[_-]?(?:db|database|data)"
    r"|(?:db|database)[_-](?:reset|setup|init))(?:\.(?:sh|bash|py))?"
)
_SCRIPT_FOLDERS = {"bin", "db", "script", "scripts", "tools"}
_EXAMPLES = (".env.example", ".env.sample", ".env.template")
_ADDRESS = re.compile(
    r"^(?P<key>\w*(?:API|BACKEND|SERVER)\w*)=[\"']?https?://(?:localhost|127\.0\.0\.1):\d+"
    r"(?P<path>[\w./-]*)[\"']?\s*$",
    re.MULTILINE,
)
_PUBLIC = ("VITE_", "NEXT_PUBLIC_", "REACT_APP_", "NUXT_PUBLIC_", "PUBLIC_")


@dataclass(frozen=True)
class Findings:
    """What was found, in the shape of treedock.yaml.

    `said` are sentences for a person, `unsure` those that ask for a look; `leaves` are the paths
    that git should ignore, or every instance counts as changed; folders end in '/'.
    """

    setup: tuple[Step, ...]
    services: tuple[Service, ...]
    database: Database | None
    copy: tuple[str, ...]
    variables: dict[str, str]
    test: str | None
    said: tuple[str, ...]
    unsure: tuple[str, ...]
    leaves: tuple[str, ...]


def detect(listing: Listing) -> Findings:
    """Decide what the project is and how treedock runs it."""
    python, frontend = find_python(listing), find_node(listing, "frontend")
    backend = python if python.service else find_node(listing, "backend")
    apps = _distinct(backend, python, frontend)
    script = _find_reset_script(listing)
    database = _reset_by(listing, script, backend.database) if script else backend.database
    copy = _find_copied(listing)
    variables, guessed = _find_variables(listing, backend, frontend)
    tests = [app.test for app in apps if app.test]

    said = [sentence for app in apps for sentence in app.said]
    if database:
        said.append(f"{script or database.path} → database.reset: {database.reset}")
    said += [f"{path}.example → env.copy: {path}" for path in copy]
    said += [f"{key} → env.set: {value}" for key, value in variables.items()]
    unsure = ["env.set: does the frontend read VITE_BACKEND_URL?"] if guessed else []
    return Findings(
        setup=tuple(dict.fromkeys(step for app in apps for step in app.setup)),
        services=tuple(app.service for app in apps if app.service),
        database=database,
        copy=copy,
        variables=variables,
        test=_as_line(tests[0]) if tests else None,
        said=tuple(dict.fromkeys(said)),
        unsure=(*unsure, *_unknown(backend, frontend, database), *_fixed_ports(listing, frontend)),
        leaves=tuple(dict.fromkeys(path for app in apps for path in app.leaves)),
    )


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
    examples = {posixpath.dirname(f) or "." for name in _EXAMPLES for f in _places(listing, name)}
    return tuple(sorted(join(folder, ".env") for folder in examples if folder != "."))


def _places(listing: Listing, name: str) -> list[str]:
    return [join(folder, name) for folder in listing.folders(name)]


def _find_variables(listing: Listing, backend: App, frontend: App) -> tuple[dict[str, str], bool]:
    """The variable by which the frontend finds the backend, and whether it is a mere guess."""
    if not (backend.service and frontend.service):
        return {}, False
    found = {}
    for name in (*_EXAMPLES, ".env.development", ".env"):
        for path in _places(listing, name):
            for match in _ADDRESS.finditer(listing.read(path)):
                if match["key"].startswith(_PUBLIC):
                    found[match["key"]] = f"http://localhost:${{BACKEND_PORT}}{match['path']}"
    if found:
        return found, False
    return {"VITE_BACKEND_URL": "http://localhost:${BACKEND_PORT}"}, True


def _unknown(backend: App, frontend: App, database: Database | None) -> list[str]:
    missing = [
        name
        for name, found in [
            ("a backend", backend.service),
            ("a frontend", frontend.service),
            ("a database or a script that resets it", database),
        ]
        if not found
    ]
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
