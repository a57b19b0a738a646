"""PostgreSQL, in a sidecar. All states of an instance's database are databases of its own server:
what the image began with, the golden state, what was set aside, and what is about to be the data.

ALTER DATABASE ... RENAME is transactional, so the data is one or the other at any moment; CREATE
DATABASE ... TEMPLATE copies files (PostgreSQL's documentation, 'Template Databases'). Version 13
or newer: DROP DATABASE ... WITH (FORCE).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from runner.adapters.database import Kind, Site, run
from runner.adapters.files import disk
from runner.domain.config.sections import Database, Sidecar
from runner.domain.errors import CommandFailed

USER = "postgres"  # and with it database, where nothing else is named
PORT = 5432
MAINTENANCE = "template1"  # to be connected to; every server has it
INITIAL, GOLDEN = "treedock_initial", "treedock_golden"
BEFORE, OLD, NEW = "treedock_before", "treedock_old", "treedock_new"
FILE_COPY = 150000  # the server's version from which CREATE DATABASE has strategies


class Adapter:
    """A database of a server in a container of its own."""

    def __init__(self, database: Database, sidecar: Sidecar | None) -> None:
        env = sidecar.env if sidecar else {}
        self._user = env.get("POSTGRES_USER", USER)
        self._password = env.get("POSTGRES_PASSWORD", "")
        self._name = database.name or env.get("POSTGRES_DB", self._user)
        self._port = (sidecar.port if sidecar else None) or PORT
        self._publish = sidecar.publish if sidecar else None
        self._version = 0  # of the server; what asks for names learns it

    def variables(self) -> dict[str, str]:
        """Names and URL: PostgreSQL's documentation of libpq, 'Environment Variables' and
        'Connection URIs'."""
        found = {
            "DATABASE_URL": self._url(self._port),
            "PGHOST": "localhost",
            "PGPORT": str(self._port),
            "PGUSER": self._user,
            "PGDATABASE": self._name,
        }
        return found | ({"PGPASSWORD": self._password} if self._password else {})

    def url(self, ports: Mapping[str, int], worktree: str) -> str | None:
        return self._url(ports[self._publish]) if self._publish else None

    def provision(self, site: Site, *, new: bool) -> None:
        self.put_back(site)
        if self._name not in self._names(site):
            self._do(site, self._create(site, self._name, "template0"))
        if INITIAL not in self._names(site):
            made = self._copy(site, INITIAL, self._name if new else "template0")
            self._do(site, self._ending_connections(), *made)
            if new:
                return
        first = [_drop(NEW), *self._copy(site, NEW, INITIAL)]
        self._swap(site, self._names(site), BEFORE, first=first)

    def put_back(self, site: Site) -> bool:
        names = self._names(site)
        if BEFORE in names:
            self._do(site, _drop(self._name), _rename(BEFORE, self._name))
        if {self._name, BEFORE} & names:
            self._do(site, _connectable(self._name, True))
        return True

    def forget(self, site: Site) -> None:
        self._do(site, _drop(BEFORE))

    def seal(self, site: Site) -> bool:
        made = [*self._copy(site, GOLDEN, self._name), _connectable(GOLDEN, False)]
        try:
            self._do(site, _drop(GOLDEN), self._ending_connections(), *made)
        except CommandFailed:  # someone came in between, or the disk is full
            self._do(site, _drop(GOLDEN))
        self._do(site, _drop(BEFORE))
        return GOLDEN in self._names(site)

    def reset(self, site: Site) -> bool:
        names = self._names(site)
        if GOLDEN not in names:
            return False
        first = [_drop(NEW), *self._copy(site, NEW, GOLDEN), _keeping(self._name, NEW)]
        self._swap(site, names, OLD, first=first, then=[_drop(OLD)])
        return True

    def golden_file(self, site: Site) -> Path | None:
        return None

    def snapshot(self, site: Site, target: Path) -> None:
        argv = ["pg_dump", "--format=custom", f"--username={self._user}", self._name]
        with disk.appearing(target) as file:
            run(site, site.beside, argv, stdout=file, workdir="/")

    def restore(self, site: Site, source: Path) -> None:
        self._do(site, _drop(NEW), self._create(site, NEW, "template0"))
        argv = ["pg_restore", "--exit-on-error", f"--username={self._user}", f"--dbname={NEW}"]
        with source.open("rb") as file:
            run(site, site.beside, argv, stdin=file, workdir="/")
        first = [_keeping(self._name, NEW)]
        self._swap(site, self._names(site), OLD, first=first, then=[_drop(OLD)])

    def others(self, site: Site) -> dict[tuple[Kind, str], str]:
        own = [self._name, INITIAL, GOLDEN, BEFORE, OLD, NEW, "template0", MAINTENANCE]
        names = ", ".join(map(_literal, own))
        # What is printed is a line for each: names may have anything in them.
        databases = (
            "SELECT json_build_array('database', d.datname, concat_ws(' ', d.oid, s.tup_inserted, "
            "s.tup_updated, s.tup_deleted)) FROM pg_database d LEFT JOIN pg_stat_database s "
            f"ON s.datid = d.oid WHERE d.datname NOT IN ({names})"
        )
        roles = "SELECT json_build_array('role', rolname, oid) FROM pg_roles WHERE oid >= 16384"
        found = map(json.loads, self._do(site, databases, roles).splitlines())
        return {(kind, name): str(stamp) for kind, name, stamp in found}

    def shell(self, site: Site) -> tuple[str, list[str]]:
        # Of a script the exit code tells; a person is asked for more (psql's documentation).
        return site.beside, ["psql", "--set=ON_ERROR_STOP=1"]

    def _url(self, port: int) -> str:
        password = f":{quote(self._password, safe='')}" if self._password else ""
        who = quote(self._user, safe="") + password
        return f"postgresql://{who}@localhost:{port}/{quote(self._name, safe='')}"

    def _swap(
        self,
        site: Site,
        names: set[str],
        aside: str,
        first: Sequence[str] = (),
        then: Sequence[str] = (),
    ) -> None:
        """What is in NEW is the data, what was the data is in `aside`. No one may be connected to
        what is renamed, so no one can meanwhile. All in one call, as each takes a tenth of a
        second; `names` are the databases before it."""
        there = self._name in names
        leave = [_connectable(self._name, False), self._ending_connections()] if there else []
        renames = [_rename(self._name, aside)] if there else []
        renames.append(_rename(NEW, self._name))
        try:
            self._do(site, *first, _drop(aside), *leave, "BEGIN", *renames, "COMMIT", *then)
        except CommandFailed:
            self.put_back(site)
            raise

    def _names(self, site: Site) -> set[str]:
        asked = "SHOW server_version_num", "SELECT datname FROM pg_database"
        version, *names = self._do(site, *asked).splitlines()
        self._version = int(version)
        return set(names)

    def _create(self, site: Site, name: str, template: str) -> str:
        if not self._version:
            self._names(site)
        strategy = " STRATEGY FILE_COPY" if self._version >= FILE_COPY else ""
        owner = f"OWNER {_quoted(self._user)}"
        return f"CREATE DATABASE {_quoted(name)} {owner} TEMPLATE {_quoted(template)}{strategy}"

    def _copy(self, site: Site, name: str, template: str) -> list[str]:
        return [self._create(site, name, template), _keeping(template, name)]

    def _ending_connections(self) -> str:
        where = f"datname = {_literal(self._name)} AND pid <> pg_backend_pid()"
        return f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {where}"

    def _do(self, site: Site, *statements: str) -> str:
        """Each statement by itself, in one connection; what they printed, line by line."""
        argv = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]
        argv += ["--set=ON_ERROR_STOP=1", f"--username={self._user}", f"--dbname={MAINTENANCE}"]
        for statement in statements:
            argv += ["--command", statement]
        # Over the socket, as the images trust it; what the sidecar's environment says goes astray.
        env = {"PGHOST": "", "PGPORT": str(self._port)}
        return run(site, site.beside, argv, env=env, workdir="/").strip()


def _drop(name: str) -> str:
    return f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)"


def _rename(name: str, new: str) -> str:
    return f"ALTER DATABASE {_quoted(name)} RENAME TO {_quoted(new)}"


def _keeping(source: str, target: str) -> str:
    """Have the database `target` in everything that belongs to a database and is not in it as it is
    with `source`, which CREATE DATABASE does not copy: owner, privileges, settings, limit, comment.
    Nothing where there is no `source`. Settings are copied as the server keeps them: their text is
    no literal for all of them (PostgreSQL's documentation of pg_db_role_setting)."""
    return f"""DO $treedock$
DECLARE
    here record; given record; target text := {_literal(target)}; owner text;
BEGIN
    SELECT * INTO here FROM pg_database WHERE datname = {_literal(source)};
    IF NOT FOUND THEN RETURN; END IF;
    owner := pg_get_userbyid(here.datdba);
    EXECUTE format('ALTER DATABASE %I OWNER TO %I', target, owner);
    EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT %s', target, here.datconnlimit);
    EXECUTE format('COMMENT ON DATABASE %I IS %L',
        target, shobj_description(here.oid, 'pg_database'));
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC, %I', target, owner);
    FOR given IN SELECT *, pg_get_userbyid(grantee) AS name
        FROM aclexplode(coalesce(here.datacl, acldefault('d', here.datdba)))
    LOOP
        EXECUTE format('GRANT %s ON DATABASE %I TO %s %s', given.privilege_type, target,
            CASE given.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(given.name) END,
            CASE WHEN given.is_grantable THEN 'WITH GRANT OPTION' ELSE '' END);
    END LOOP;
    DELETE FROM pg_db_role_setting
        WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = target);
    INSERT INTO pg_db_role_setting SELECT d.oid, s.setrole, s.setconfig
        FROM pg_db_role_setting s, pg_database d
        WHERE s.setdatabase = here.oid AND d.datname = target;
END $treedock$"""


def _connectable(name: str, may: bool) -> str:
    return f"ALTER DATABASE {_quoted(name)} WITH ALLOW_CONNECTIONS {str(may).lower()}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
