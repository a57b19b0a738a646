"""A Compose file as treedock.yaml: what it has, and what had to be left out. Pure.

What the repository's own files told before counts more: a Compose file often describes production.
"""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from runner.domain.detect.compose_forms import Composed, assignments, read_services
from runner.domain.detect.compose_services import Built, Program, find_services
from runner.domain.detect.compose_sidecars import POSTGRES, Beside, find_sidecars, kind_of
from runner.domain.detect.compose_variables import Hosts, find_variables
from runner.domain.detect.findings import Findings
from runner.domain.detect.listing import App, Database, Listing

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
"""In the order in which Compose looks for them."""
PORTS = ("backend", "frontend")  # the ranges that a new treedock.yaml has
_EXAMPLES = (".example", ".sample", ".template", "")


@dataclass(frozen=True)
class ComposeFile:
    """A file of one of the NAMES, as a tree of texts, lists and mappings; or why it is none."""

    name: str
    document: Any = None
    problem: str | None = None


def with_compose(
    findings: Findings,
    file: ComposeFile,
    listing: Listing,
    backend: App,
    program: Program | None,
) -> Findings:
    """The findings with what the Compose file adds; `program` is that of the Python app."""
    if file.problem:
        return replace(findings, unsure=(*findings.unsure, file.problem))
    values = _values(listing, ".env")
    try:
        parts = read_services(file.document, values)
        plain = read_services(file.document, {})
    except ValueError as error:
        problem = f"{file.name}: {error}; nothing was taken from it"
        return replace(findings, unsure=(*findings.unsure, problem))
    given = {path: _values(listing, path) for part in parts for path in part.env_files}
    file_values = {path: values for path, values in given.items() if values}
    images, builds = _kinds(parts)
    built = find_services(builds, findings.services, program)
    services = (*findings.services, *built.services)
    beside = find_sidecars(images, [service.name for service in services], file_values)
    ports = {host: role for p in parts if (role := built.roles.get(p.name)) for host, _ in p.ports}
    hosts = Hosts(frozenset(beside.of), built.roles, {h: r for h, r in ports.items() if h})
    variables = find_variables(builds, hosts, file_values, PORTS)
    database, doubts = _database(findings.database, beside, built, backend)
    copy = [path for path in given if path not in listing.files and path not in findings.copy]
    if parts != plain and ".env" not in listing.files:
        doubts.append("values are those of the example; does your .env have others?")
    unsure = (*beside.unsure, *built.unsure, *variables.unsure, *doubts)
    left = (*beside.left, *built.left, *variables.left, *_aside(file, parts, listing, beside))
    image = None if findings.setup or findings.services else _image(builds, listing)
    said = (*beside.said, *built.said, *variables.said)
    if image:
        said = (f"{posixpath.join(*image)} → image.build", *said)
    return replace(
        findings,
        image=image,
        setup=(*findings.setup, *built.steps),
        services=services,
        sidecars=tuple(beside.of.values()),
        database=database,
        copy=(*findings.copy, *(path for path in copy if path not in (".env", ".env.local"))),
        variables={**findings.variables, **variables.of},
        said=(*findings.said, *(f"{file.name}: {line}" for line in said)),
        unsure=(*findings.unsure, *(f"{file.name}: {line}" for line in unsure)),
        left=tuple(f"{file.name}: {line}" for line in left),
    )


def _values(listing: Listing, path: str) -> dict[str, str]:
    """What an env file assigns as far as git shows it, or an example of it. One that git ignores
    holds secrets, and treedock.yaml is committed."""
    found: dict[str, str] = {}
    for ending in _EXAMPLES:
        found |= assignments(listing.text(".", path + ending))
    return found


def _kinds(parts: Sequence[Composed]) -> tuple[list[Composed], list[Composed]]:
    """(those that are mere images, those that are built from the checkout, by whichever)."""
    built = {part.image: part for part in parts if part.build is not None and part.image}
    images = [part for part in parts if part.build is None and part.image not in built]
    builds = []
    for part in parts:
        if part.build is not None:
            builds.append(part)
        elif part.image in built:
            by = built[part.image]
            builds.append(replace(part, build=by.build, dockerfile=by.dockerfile))
    return images, builds


def _image(builds: Sequence[Composed], listing: Listing) -> tuple[str, str] | None:
    """(folder, Dockerfile) of what all of them are built from, if that is one."""
    wanted = {(part.build, part.dockerfile) for part in builds if not part.profiles}
    folder, dockerfile = next(iter(wanted)) if len(wanted) == 1 else ("", "")
    return (folder, dockerfile) if folder and listing.has(folder, dockerfile) else None


def _database(
    known: Database | None, beside: Beside, built: Built, backend: App
) -> tuple[Database | None, list[str]]:
    """The instance's database, and doubts about it."""
    found = [one for one in beside.of.values() if kind_of(one.image) in POSTGRES]
    step = built.tables or backend.migrate
    own_script = known is not None and (backend.database is None or known != backend.database)
    if not found:
        if known is None and built.tables:
            return Database(built.tables.run, None, built.tables.folder), []
        return known, []
    sidecar = found[0].name
    if known and own_script:
        return Database(known.reset, None, known.folder, sidecar), []
    doubts = [f"database: {known.path} was found too"] if known and known.path else []
    if step is None:
        doubts.append("database.reset: what makes its tables? Without it it stays empty")
        return Database(None, sidecar=sidecar), doubts
    return Database(step.run, None, step.folder, sidecar), doubts


def _aside(
    file: ComposeFile, parts: Sequence[Composed], listing: Listing, beside: Beside
) -> list[str]:
    """What else the file, or files beside it, would have to say."""
    document: dict[str, Any] = file.document
    left = [f"`{key}:`" for key in ("include", "configs", "secrets") if document.get(key)]
    left += [f"{part.name}: what it extends, in {part.extends}" for part in parts if part.extends]
    left += [
        f"{part.name}: port {part.ports[0][1]} is not published; "
        f"`sidecars.{beside.of[part.name].name}.publish` does that"
        for part in parts
        if part.name in beside.of and part.ports and part.ports[0][0]
    ]
    stem, _, ending = file.name.rpartition(".")
    others = [f"{stem}.override.{end}" for end in dict.fromkeys((ending, "yaml", "yml"))]
    return left + [f"{name}, which is another file" for name in others if name in listing.files]
