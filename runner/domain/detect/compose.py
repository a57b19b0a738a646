"""A Compose file as treedock.yaml: what it has, and what had to be left out. Pure.

What the repository's own files told before counts more: a Compose file often describes production.
"""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from runner.domain.detect.compose_forms import Composed, read_services
from runner.domain.detect.compose_services import Built, Program, find_services, is_test
from runner.domain.detect.compose_sidecars import POSTGRES, Beside, find_sidecars, kind_of
from runner.domain.detect.compose_variables import Hosts, find_variables
from runner.domain.detect.env_file import assignments
from runner.domain.detect.findings import Findings
from runner.domain.detect.listing import App, Database, Listing, Notes

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
"""In the order in which Compose looks for them."""
PORTS = ("backend", "frontend")  # the ranges that a new treedock.yaml has
_COPIED = (".env", ".env.local")  # as it is
_TOP = ("include", "configs", "secrets")
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
    problem = file.problem
    try:
        parts = [] if problem else read_services(file.document, _values(listing, ".env"))
    except ValueError as error:
        problem = f"{file.name}: {error}; nothing was taken from it"
    if problem:
        return replace(findings, unsure=(*findings.unsure, problem))

    images, builds = _kinds(parts)
    files = _env_files(parts, listing)
    built = find_services(builds, findings.services, program)
    services = (*findings.services, *built.services)
    beside = find_sidecars(images, [service.name for service in services], files)
    apps = [part for part in builds if not is_test(part)]
    variables = find_variables(apps, _hosts(beside, built, builds), files, PORTS)
    own = _own(file, parts, listing, beside)
    database = _database(findings.database, beside, built, backend, own)
    image = None if findings.setup or findings.services else _image(builds, listing, own)
    copy = [path for path in files if path not in listing.files and path not in _COPIED]
    notes = (beside, built, variables, own)
    return replace(
        findings,
        image=image,
        setup=(*findings.setup, *built.steps),
        services=services,
        sidecars=tuple(beside.of.values()),
        database=database,
        copy=tuple(dict.fromkeys((*findings.copy, *copy))),
        variables={**findings.variables, **variables.of},
        said=(*findings.said, *(f"{file.name}: {line}" for note in notes for line in note.said)),
        unsure=(
            *findings.unsure,
            *(f"{file.name}: {line}" for note in notes for line in note.unsure),
        ),
        omitted=tuple(f"{file.name}: {line}" for note in notes for line in note.omitted),
    )


def _hosts(beside: Beside, built: Built, builds: Sequence[Composed]) -> Hosts:
    ports = {
        host: built.roles[part.name]
        for part in builds
        for host, _ in part.ports
        if host and part.name in built.roles
    }
    return Hosts(frozenset(beside.of), built.roles, ports)


def _env_files(parts: Sequence[Composed], listing: Listing) -> dict[str, dict[str, str]]:
    """What each env file that is named assigns, as far as it may be known."""
    return {path: _values(listing, path) for part in parts for path in part.env_files}


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


def _image(builds: Sequence[Composed], listing: Listing, notes: Notes) -> tuple[str, str] | None:
    """(folder, Dockerfile) of what all of them are built from, if that is one."""
    wanted = {(part.build, part.dockerfile) for part in builds if not part.profiles}
    folder, dockerfile = next(iter(wanted)) if len(wanted) == 1 else ("", "")
    if not folder or not listing.has(folder, dockerfile):
        return None
    notes.said.append(f"{posixpath.join(folder, dockerfile)} → image.build")
    return folder, dockerfile


def _database(
    known: Database | None, beside: Beside, built: Built, backend: App, notes: Notes
) -> Database | None:
    """The instance's own: PostgreSQL where a sidecar is that, else what was found before."""
    step = built.tables or backend.migrate
    found = [one for one in beside.of.values() if kind_of(one.image) in POSTGRES]
    if not found:
        made = step and (built.tables or beside.of)  # by whichever sidecar it is in
        return Database(step.run, None, step.folder) if step and made and not known else known
    sidecar = found[0].name
    if known and known != backend.database:  # the repository's own script
        return Database(known.reset, None, known.folder, sidecar)
    if known and known.path:
        notes.unsure.append(f"database: {known.path} was found too")
    if step:
        return Database(step.run, None, step.folder, sidecar)
    notes.unsure.append("database.reset: what makes its tables? Without it it stays empty")
    return Database(None, sidecar=sidecar)


def _own(file: ComposeFile, parts: Sequence[Composed], listing: Listing, beside: Beside) -> Notes:
    """What is to be said of the file as a whole."""
    notes = Notes()
    if ".env" not in listing.files and parts != read_services(file.document, {}):
        notes.unsure.append("values are those of the example; does your .env have others?")
    notes.omitted = [f"`{key}:`" for key in _TOP if file.document.get(key)]
    notes.omitted += [f"{p.name}: what it extends, in {p.extends}" for p in parts if p.extends]
    notes.omitted += [
        f"{part.name}: port {part.ports[0][1]} is not published; "
        f"`sidecars.{beside.of[part.name].name}.publish` does that"
        for part in parts
        if part.name in beside.of and part.ports and part.ports[0][0]
    ]
    notes.omitted += [
        f"{part.name}: a value of `{key}`: {why}"
        for part in parts
        for key, why in part.lacks.items()
        if key not in ("command", "image")  # told where they are missing
    ]
    return notes
