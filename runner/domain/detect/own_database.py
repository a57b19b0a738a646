"""A PostgreSQL beside the instance for code that needs one where no Compose file gives it."""

import re
from dataclasses import dataclass, replace

from runner.domain.detect.env_file import assignments
from runner.domain.detect.findings import Findings
from runner.domain.detect.listing import App, Database, Listing, Sidecar, Step
from runner.domain.detect.node_data import NodeData

_ADDRESS = re.compile(
    r"(?P<scheme>[a-z][\w+]*)://(?P<user>\w+):(?P<password>[\w-]+)@(?:localhost|127\.0\.0\.1)(?::\d+)?/(?P<name>\w+)"
)
_DRIVER = re.compile(r"\b(?:psycopg(?:2(?:-binary)?)?|asyncpg|pg8000)\b")
_DECLARED = ("pyproject.toml", "requirements.txt", "requirements/base.txt")
_READ = re.compile(r"\b(DATABASE_URL|SQLALCHEMY_DATABASE_URI|POSTGRES_URL|DB_URL|DATABASE_URI)\b")
_READ_AT_MOST = 60  # files searched for the name of the variable
_EXAMPLES = (".env.example", ".env.sample", ".env.template", ".env.dist")


@dataclass(frozen=True)
class Need:
    """Code that needs a database server: `tables` fills an empty one, `variable` is the name that
    its address is read from."""

    source: str
    engine: str
    tables: Step | None
    variable: str | None
    scheme: str = "postgresql"


def server_need(listing: Listing, python: App, data: NodeData | None) -> Need | None:
    """What the code that was found needs beyond a file; None where a file is enough or nothing is
    known."""
    if data and data.engine and data.engine != "sqlite":
        return Need(f"{data.source} ({data.tool})", data.engine, data.tables, data.variable)
    if python.database or not (python.migrate and python.setup):
        return None
    folder = python.migrate.folder
    sources = [listing.read(path) for path in listing.below(folder, ".py")[:_READ_AT_MOST]]
    declared = "\n".join(
        listing.text(around, name) for around in listing.upwards(folder) for name in _DECLARED
    )
    if not _DRIVER.search(declared):
        return None
    variable = next((found[1] for found in map(_READ.search, sources) if found), None)
    asynchronous = any("postgresql+asyncpg" in text for text in sources)
    scheme = "postgresql+asyncpg" if asynchronous else "postgresql"
    return Need(f"{folder} (Python)", "postgres", python.migrate, variable, scheme)


def with_server(findings: Findings, need: Need, listing: Listing) -> Findings:
    """The findings with the sidecar, the variable and the reset; as they are where a sidecar or a
    database is there already."""
    if findings.sidecars or findings.database:
        return findings
    if need.engine != "postgres":
        line = f"{need.source} needs {need.engine}: add it to `sidecars:`, and a `database:`"
        return replace(findings, unsure=(*findings.unsure, line))
    known = _example(listing, need)
    match = _ADDRESS.match(known or "")
    user, password, name = match.group("user", "password", "name") if match else ("app",) * 3
    scheme = match["scheme"] if match else need.scheme
    address = known if match and known else f"{scheme}://{user}:{password}@localhost:5432/{name}"
    env = {"POSTGRES_USER": user, "POSTGRES_PASSWORD": password, "POSTGRES_DB": name}
    sidecar = Sidecar("postgres", "postgres", env=env)
    said = [f"{need.source} → sidecars.postgres"]
    unsure = list(findings.unsure)
    variables = dict(findings.variables)
    if need.variable:
        variables[need.variable] = address.replace("$", "$$")
        said.append(f"{need.source} → env.set: {need.variable}")
    else:
        unsure.append(
            f"{need.source}: by which variable does it find the database? Set it in env.set"
        )
    database = Database(
        need.tables.run if need.tables else None,
        folder=need.tables.folder if need.tables else ".",
        sidecar="postgres",
    )
    if need.tables:
        said.append(f"{need.source} → database.reset: {need.tables.run}")
    return replace(
        findings,
        sidecars=(sidecar,),
        variables=variables,
        database=database,
        said=(*findings.said, *said),
        unsure=tuple(unsure),
    )


def _example(listing: Listing, need: Need) -> str | None:
    """The variable's value as an example has it, beside the code or around it."""
    folder = need.tables.folder if need.tables else "."
    for around in listing.upwards(folder):
        for name in _EXAMPLES:
            value = assignments(listing.text(around, name)).get(need.variable or "")
            if value:
                return value
    return None
