"""Where an instance's own database is, as the app inside and clients on the host find it."""

from collections.abc import Mapping
from urllib.parse import quote

from runner.controller.opening import Project
from runner.domain.config import Config, Database, Sidecar
from runner.domain.container import WORKSPACE
from runner.domain.errors import Refused

POSTGRES = "postgres"  # user, and with it database, where nothing else is named
PORT = 5432


def variables(config: Config) -> dict[str, str]:
    """DATABASE_URL, and for PostgreSQL what its clients read; empty where nothing is known.

    Names and URL: PostgreSQL's documentation of libpq, 'Environment Variables' and 'Connection
    URIs'.
    """
    database = config.database
    if database is None:
        return {}
    if database.engine == "sqlite":
        return {"DATABASE_URL": f"sqlite:///{WORKSPACE}/{database.path}"} if database.path else {}
    if database.engine != "postgres":
        return {}
    sidecar = config.sidecars[database.beside]
    user, password, name = _access(database, sidecar)
    port = sidecar.port or PORT
    found = {
        "DATABASE_URL": _url(user, password, name, port),
        "PGHOST": "localhost",
        "PGPORT": str(port),
        "PGUSER": user,
        "PGDATABASE": name,
    }
    return found | ({"PGPASSWORD": password} if password else {})


def url_of(project: Project, instance: str) -> str:
    """The URL. Raises NotFound without the instance, Refused where the host cannot reach it."""
    record = project.repository.record(instance)
    url = _url_on_host(project.config, record.ports, record.worktree)
    if url is None:
        raise Refused(
            f"The database of {instance} cannot be reached from this machine.",
            hint="Let its sidecar be published, e.g. publish: db and ports: {db: 9300-9314}; "
            f"inside it is $DATABASE_URL: treedock shell {instance}",
        )
    return url


def _url_on_host(config: Config, ports: Mapping[str, int], worktree: str) -> str | None:
    """The URL for a client on the host; None where it cannot be reached from there. `ports` are
    the instance's."""
    database = config.database
    if database and database.engine == "sqlite" and database.path:
        return f"sqlite:///{worktree}/{database.path}"
    if database and database.engine == "postgres":
        sidecar = config.sidecars[database.beside]
        if sidecar.publish:
            return _url(*_access(database, sidecar), ports[sidecar.publish])
    return None


def _access(database: Database, sidecar: Sidecar) -> tuple[str, str, str]:
    """(user, password, name), as the sidecar's image makes them."""
    user = sidecar.env.get("POSTGRES_USER", POSTGRES)
    name = database.name or sidecar.env.get("POSTGRES_DB", user)
    return user, sidecar.env.get("POSTGRES_PASSWORD", ""), name


def _url(user: str, password: str, name: str, port: int) -> str:
    who = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    return f"postgresql://{who}@localhost:{port}/{quote(name, safe='')}"
