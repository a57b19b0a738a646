"""The starter treedock.yaml, filled in with what was found.

In the starter a line that begins with `#` and no space is a commented example of a key. What was
found takes the place of its example; the rest stays as it is, so the file explains itself.
"""

import re

from runner.domain.detect import Database, Findings, Service, Step
from runner.domain.yaml_text import scalar

# A key's example: `#key...` and the lines `#  ...` that belong to it.
_EXAMPLE = r"(?m)^#{key}:.*\n(?:#  .*\n)*"


def render_starter(starter: str, name: str, findings: Findings) -> str:
    """The text of treedock.yaml."""
    parts = {
        "name": [f"name: {name}"],
        "env": _env(findings),
        "setup": _setup(findings.setup),
        "services": _services(findings.services),
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
        lines += [f"    {key}: {scalar(value)}" for key, value in findings.variables.items()]
    return ["env:", *lines] if lines else []


def _setup(steps: tuple[Step, ...]) -> list[str]:
    lines = []
    for step in steps:
        first, *rest = [f"run: {scalar(step.run)}", *_folder(step.folder)]
        lines += [f"  - {first}", *(f"    {line}" for line in rest)]
    return ["setup:", *lines] if lines else []


def _services(services: tuple[Service, ...]) -> list[str]:
    lines = []
    for service in services:
        keys = [
            f"run: {scalar(service.run)}",
            *_folder(service.folder),
            f"port: {service.name}",
            f"ready: {{http: {scalar(service.http)}, timeout: {service.timeout}}}",
            *(["restart: on-failure"] if service.name == "backend" else []),
        ]
        lines += [f"  {service.name}:", *(f"    {key}" for key in keys)]
    return ["services:", *lines] if lines else []


def _database(database: Database | None) -> list[str]:
    if database is None:
        return []
    keys = [
        f"engine: {'sqlite' if database.path else 'command'}",
        *([f"path: {scalar(database.path)}"] if database.path else []),
        f"reset: {scalar(database.reset)}",
        *_folder(database.folder),
    ]
    return ["database:", *(f"  {key}" for key in keys)]


def _folder(folder: str) -> list[str]:
    return [] if folder == "." else [f"in: {scalar(folder)}"]
