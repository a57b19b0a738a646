"""The starter treedock.yaml, filled in with what was found.

In the starter a line that begins with `#` and no space is a commented example of a key. What was
found takes the place of its example; the rest stays as it is, so the file explains itself.
"""

import re

from runner.domain.detect import Database, Findings, Service, Step
from runner.domain.rendering.yaml_text import flow, scalar
from runner.domain.text import printable

# A key's example: `#key...` and the lines `#  ...` that belong to it.
_EXAMPLE = r"(?m)^#{key}:.*\n(?:#  .*\n)*"
_RANGES = {"backend": 9100, "frontend": 9200}
_FIRST = 9300  # of the ranges of further services
_NO_SIDECARS = ["#sidecars:", "#  postgres: {image: postgres, env: {POSTGRES_PASSWORD: shop}}"]


def render_starter(starter: str, name: str, findings: Findings) -> str:
    """The text of treedock.yaml."""
    parts = {
        "name": [f"name: {name}"],
        "image": _image(findings),
        "ports": _ports(findings.services),
        "env": _env(findings),
        "setup": _setup(findings.setup),
        "services": _services(findings.services),
        "sidecars": _sidecars(findings),
        "database": _database(findings.database),
        "test": [f"test: {scalar(findings.test)}"] if findings.test else [],
    }
    for key, lines in parts.items():
        if lines:
            starter = _put(starter, key, lines)
    return starter


def _put(starter: str, key: str, lines: list[str]) -> str:
    """The starter with these lines in the place of the key's example."""
    example = re.search(_EXAMPLE.format(key=key), starter)
    if example is None:
        raise ValueError(f"the starter has no example of {key!r}")
    text = "".join(f"{line}\n" for line in lines)
    return starter[: example.start()] + text + starter[example.end() :]


def _env(findings: Findings) -> list[str]:
    lines = []
    if findings.copy:
        paths = ", ".join(scalar(path) for path in (".env", ".env.local", *findings.copy))
        lines.append(f"  copy: [{paths}]")
    if findings.variables:
        lines.append("  set:")
        lines += [
            f"    {scalar(key)}: {scalar(value)}" for key, value in findings.variables.items()
        ]
    return ["env:", *lines] if lines else []


def _setup(steps: tuple[Step, ...]) -> list[str]:
    lines = []
    for step in steps:
        first, *rest = [f"run: {scalar(step.run)}", *_folder(step.folder)]
        lines += [f"  - {first}", *(f"    {line}" for line in rest)]
    return ["setup:", *lines] if lines else []


def _ports(services: tuple[Service, ...]) -> list[str]:
    """The two usual ranges and one for each further service that serves."""
    names = [service.name for service in services if service.serves]
    further = [name for name in names if name not in _RANGES]
    if not further:
        return []
    ranges = {**_RANGES, **{name: _FIRST + 100 * at for at, name in enumerate(further)}}
    return ["ports:", *(f"  {scalar(name)}: {at}-{at + 14}" for name, at in ranges.items())]


def _services(services: tuple[Service, ...]) -> list[str]:
    lines = []
    for service in services:
        keys = [f"run: {scalar(service.run)}", *_folder(service.folder)]
        if service.serves:
            ready = {"http": service.http, "timeout": service.timeout}
            keys += [f"port: {service.name}", f"ready: {flow(ready)}"]
        keys += ["restart: on-failure"] if service.name == "backend" or not service.serves else []
        lines += [f"  {scalar(service.name)}:", *(f"    {key}" for key in keys)]
    return ["services:", *lines] if lines else []


def _sidecars(findings: Findings) -> list[str]:
    """Above them, as comments, what of a Compose file was left out."""
    omitted = [f"# Left out of {printable(line)}" for line in findings.omitted]
    if not findings.sidecars:
        return [*omitted, *_NO_SIDECARS] if omitted else []
    lines = []
    for sidecar in findings.sidecars:
        keys = {
            "image": sidecar.image,
            "env": dict(sidecar.env),
            "command": sidecar.command,
            "volume": sidecar.volume,
            "ready": {"tcp": sidecar.port} if sidecar.port else None,
        }
        lines.append(f"  {scalar(sidecar.name)}:")
        lines += [f"    {key}: {flow(value)}" for key, value in keys.items() if value]
    return [*omitted, "sidecars:", *lines]


def _image(findings: Findings) -> list[str]:
    if findings.image is None:
        return []
    build = dict(zip(("context", "dockerfile"), findings.image, strict=True))
    return [f"image: {flow({'build': build})}"]


def _database(database: Database | None) -> list[str]:
    if database is None:
        return []
    known = {
        "engine": "sqlite" if database.path else "postgres" if database.sidecar else "command",
        "sidecar": database.sidecar,
        "path": database.path,
        "reset": database.reset,
    }
    keys = [f"{key}: {scalar(value)}" for key, value in known.items() if value]
    return ["database:", *(f"  {key}" for key in [*keys, *_folder(database.folder)])]


def _folder(folder: str) -> list[str]:
    return [] if folder == "." else [f"in: {scalar(folder)}"]
