"""The database of a JavaScript project, as its ORM's own files tell: Prisma, Drizzle, Knex,
Sequelize."""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass

from runner.domain.detect.listing import Database, Listing, Step, join
from runner.domain.detect.node_packages import Package, packages_of

_SEED_SCRIPTS = ("db:seed", "seed", "db-seed", "seed:dev", "prisma:seed")
_ENGINES = {
    "postgresql": "postgres", "postgres": "postgres", "pg": "postgres", "cockroachdb": "postgres",
    "mysql": "mysql", "mysql2": "mysql", "singlestore": "mysql", "sqlite": "sqlite",
    "sqlite3": "sqlite", "better-sqlite3": "sqlite", "turso": "sqlite", "libsql": "sqlite",
}  # fmt: skip
_ENDINGS = ("ts", "js", "mjs", "cjs", "mts")


@dataclass(frozen=True)
class NodeData:
    """What an ORM needs: `tables` fills an empty database of `engine`; `variable` is the name that
    its address is read from, `file` that of SQLite; `setup` has to come before, in that folder."""

    source: str
    tool: str
    engine: str | None
    tables: Step
    install: Step
    variable: str | None = None
    file: str | None = None
    setup: tuple[Step, ...] = ()

    @property
    def variables(self) -> dict[str, str]:
        """The address of the SQLite file, as Prisma takes it: from the folder of its schema."""
        if self.tool != "Prisma" or not (self.file and self.variable):
            return {}
        path = posixpath.relpath(self.file, posixpath.dirname(self.source) or ".")
        return {self.variable: f"file:./{path}"}

    @property
    def database(self) -> Database | None:
        """The SQLite file with its reset; None for another engine."""
        if self.file is None:
            return None
        path = posixpath.relpath(self.file, self.tables.folder)
        return Database(f"rm -f {path} && {self.tables.run}", self.file, self.tables.folder)


def find_node_data(listing: Listing) -> NodeData | None:
    """The first that is found, the package at the top first."""
    for package in packages_of(listing):
        for find in (_prisma, _drizzle, _knex, _sequelize):
            found = find(listing, package)
            if found:
                return found
    return None


def _prisma(listing: Listing, package: Package) -> NodeData | None:
    if not package.dependencies & {"prisma", "@prisma/client"}:
        return None
    schema = next(
        (p for p in listing.below(package.folder, ".prisma") if _has_source(listing, p)), None
    )
    if schema is None:
        return None
    block = _source_block(listing.read(schema))
    provider = re.search(r"provider\s*=\s*\"(\w+)\"", block)
    named = re.search(r"url\s*=\s*env\(\"(\w+)\"\)", block)
    fixed = re.search(r"url\s*=\s*\"file:([^\"?]+)", block)
    folder = posixpath.dirname(schema) or "."
    migrations = any(f.startswith(join(folder, "migrations/")) for f in listing.files)
    prisma = f"{package.manager.execute} prisma"
    steps = [f"{prisma} migrate deploy" if migrations else f"{prisma} db push"]
    steps += _seeds(package, f"{prisma} db seed" if package.seed else None)
    variable = named[1] if named else _of_config(listing, package, "prisma.config")
    engine = _ENGINES.get(provider[1]) if provider else None
    file = _sqlite_file(listing, package, variable, fixed[1] if fixed else None, folder)
    generated = "prisma generate" in " ".join(package.scripts.get(n, "") for n in _AFTER)
    generate = () if generated else (Step(f"{prisma} generate", package.folder),)
    return _data(
        package,
        schema,
        "Prisma",
        engine,
        steps,
        variable,
        file if engine == "sqlite" else None,
        generate,
    )


_AFTER = ("postinstall", "prepare", "install")


def _has_source(listing: Listing, path: str) -> bool:
    return bool(_source_block(listing.read(path)))


def _source_block(text: str) -> str:
    found = re.search(r"^datasource\s+\w+\s*\{([^}]*)\}", text, re.MULTILINE)
    return found[1] if found else ""


def _drizzle(listing: Listing, package: Package) -> NodeData | None:
    path = next(_configs(listing, package.folder, "drizzle.config"), None)
    if path is None or "drizzle-kit" not in package.dependencies:
        return None
    text = listing.read(path)
    dialect = re.search(r"(?:dialect|driver):\s*[\"']([\w-]+)", text)
    out = re.search(r"out:\s*[\"']([^\"']+)", text)
    folder = join(package.folder, out[1] if out else "drizzle")
    migrated = any(f.startswith(f"{folder}/") and f.endswith(".sql") for f in listing.files)
    kit = f"{package.manager.execute} drizzle-kit"
    known = _script(
        package, ("db:migrate", "migrate") if migrated else ("db:push", "push"), "drizzle-kit"
    )
    steps = [
        known or (f"{kit} migrate" if migrated else f"{kit} push --force"),
        *_seeds(package, None),
    ]
    engine = _ENGINES.get(dialect[1]) if dialect else None
    variable = _variable(text)
    fixed = re.search(r"url:\s*[\"'](?:file:)?([\w./-]+\.(?:db|sqlite3?))[\"']", text)
    file = _sqlite_file(listing, package, variable, fixed[1] if fixed else None, package.folder)
    return _data(
        package, path, "Drizzle", engine, steps, variable, file if engine == "sqlite" else None
    )


def _knex(listing: Listing, package: Package) -> NodeData | None:
    path = next(_configs(listing, package.folder, "knexfile"), None)
    if path is None or "knex" not in package.dependencies:
        return None
    text = listing.read(path)
    client = re.search(r"client:\s*[\"']([\w-]+)", text)
    knex = f"{package.manager.execute} knex"
    seeded = any(re.search(r"(?:^|/)seeds/", f) for f in listing.files)
    steps = [f"{knex} migrate:latest", *([f"{knex} seed:run"] if seeded else [])]
    fixed = re.search(r"filename:\s*[\"']([\w./-]+)[\"']", text)
    file = join(package.folder, fixed[1]) if fixed else None
    engine = _ENGINES.get(client[1]) if client else None
    return _data(
        package, path, "Knex", engine, steps, _variable(text), file if engine == "sqlite" else None
    )


def _sequelize(listing: Listing, package: Package) -> NodeData | None:
    if "sequelize-cli" not in package.dependencies:
        return None
    tops = [f for f in listing.files if re.search(r"(?:^|/)migrations/[^/]+\.[cm]?js$", f)]
    if not tops:
        return None
    cli = f"{package.manager.execute} sequelize-cli"
    seeded = any(re.search(r"(?:^|/)seeders/", f) for f in listing.files)
    steps = [f"{cli} db:migrate", *([f"{cli} db:seed:all"] if seeded else [])]
    engines = [
        _ENGINES[name] for name in ("pg", "mysql2", "sqlite3") if name in package.dependencies
    ]
    config = " ".join(
        listing.text(package.folder, f"config/{n}") for n in ("config.json", "config.js")
    )
    file = re.search(r"storage[\"']?:\s*[\"']([\w./-]+)[\"']", config)
    path = join(package.folder, file[1]) if file else None
    source = join(package.folder, "package.json")
    return _data(package, source, "Sequelize", engines[0] if engines else None, steps, None, path)


def _data(
    package: Package,
    source: str,
    tool: str,
    engine: str | None,
    steps: list[str],
    variable: str | None,
    file: str | None,
    setup: tuple[Step, ...] = (),
) -> NodeData:
    inside = file if file and not file.startswith(("/", "..")) else None
    return NodeData(
        source, tool, engine, Step(" && ".join(steps), package.folder),
        Step(package.manager.install, package.manager.folder), variable, inside, setup,
    )  # fmt: skip


def _seeds(package: Package, own: str | None) -> list[str]:
    script = next((name for name in _SEED_SCRIPTS if name in package.scripts), None)
    if own:
        return [own]
    return [package.script(script)] if script else []


def _script(package: Package, names: tuple[str, ...], tool: str) -> str | None:
    """The package's own script of one of these names, if that runs the tool."""
    found = next((name for name in names if tool in package.scripts.get(name, "")), None)
    return package.script(found) if found else None


def _configs(listing: Listing, folder: str, stem: str) -> Iterator[str]:
    paths = (join(folder, f"{stem}.{ending}") for ending in _ENDINGS)
    return (path for path in paths if path in listing.files)


def _variable(text: str) -> str | None:
    """The variable that holds the database's address."""
    found = re.search(r"env(?:\.|\[[\"'])(\w*(?:URL|URI|DSN|CONNECTION)\w*)", text)
    return found[1] if found else None


def _of_config(listing: Listing, package: Package, stem: str) -> str | None:
    path = next(_configs(listing, package.folder, stem), None)
    text = listing.read(path) if path else ""
    found = re.search(r"env(?:<[^>]*>)?\([\"'](\w+)[\"']\)", text)
    return found[1] if found else _variable(text)


def _sqlite_file(
    listing: Listing, package: Package, variable: str | None, fixed: str | None, base: str
) -> str | None:
    """The file of SQLite: written down, or as the example of the variable has it, from `base`."""
    if fixed:
        return join(base, fixed)
    for folder in listing.upwards(package.folder):
        for name in (".env.example", ".env.sample", ".env"):
            text = listing.text(folder, name)
            told = re.search(rf"^{variable}=[\"']?(?:file:)?(?://)?([\w./-]+)", text, re.MULTILINE)
            if variable and told:
                return join(base, told[1])
    return None
