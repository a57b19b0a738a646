"""Which services of a Compose file become sidecars: databases, caches, mail catchers."""

import re
import shlex
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain, count

from runner.domain.detect.compose_forms import Composed, is_folder_of_host, named
from runner.domain.detect.listing import Notes, Sidecar

OWN = ("postgres", "redis")  # without a tag they are treedock's own images
POSTGRES = {"postgres", "postgis", "pgvector", "timescaledb", "timescaledb-ha"}

# Image, without its registry and tag -> (the port it listens on, the folder of its data).
_KNOWN: dict[str, tuple[int, str]] = {
    **dict.fromkeys(POSTGRES, (5432, "/var/lib/postgresql")),
    "postgresql": (5432, "/bitnami/postgresql"),
    **dict.fromkeys(("mysql", "mysql-server", "mariadb", "percona"), (3306, "/var/lib/mysql")),
    **dict.fromkeys(("mongo", "mongodb", "mongodb-community-server"), (27017, "/data/db")),
    **dict.fromkeys(("redis", "redis-stack", "redis-stack-server", "valkey"), (6379, "/data")),
    **dict.fromkeys(("keydb", "dragonfly"), (6379, "/data")),
    "memcached": (11211, "/data"),
    "rabbitmq": (5672, "/var/lib/rabbitmq"),
    "nats": (4222, "/data"),
    **dict.fromkeys(("mailpit", "mailhog", "maildev", "mailcatcher"), (1025, "/data")),
    "smtp4dev": (25, "/smtp4dev"),
    "minio": (9000, "/data"),
    "localstack": (4566, "/var/lib/localstack"),
    "azurite": (10000, "/data"),
    "dynamodb-local": (8000, "/home/dynamodblocal/data"),
    "elasticsearch": (9200, "/usr/share/elasticsearch/data"),
    "opensearch": (9200, "/usr/share/opensearch/data"),
    "meilisearch": (7700, "/meili_data"),
    "typesense": (8108, "/data"),
    "qdrant": (6333, "/qdrant/storage"),
    "clickhouse-server": (8123, "/var/lib/clickhouse"),
    "neo4j": (7687, "/data"),
    "influxdb": (8086, "/var/lib/influxdb2"),
}
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What an env file says to a server; one that the app reads too holds more.
_PREFIXES = {
    **dict.fromkeys(POSTGRES, ("POSTGRES_", "PG")),
    "mariadb": ("MARIADB_", "MYSQL_"),
    "mailpit": ("MP_",),
}


@dataclass
class Beside(Notes):
    """What became of the services that are mere images: the sidecar of each by its name in the
    Compose file."""

    of: dict[str, Sidecar] = field(default_factory=dict)


def kind_of(image: str) -> str:
    """'registry.example/bitnami/redis:7@sha256:...' -> 'redis'."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def find_sidecars(
    parts: Iterable[Composed], taken: Iterable[str], file_values: Mapping[str, Mapping[str, str]]
) -> Beside:
    """`taken` are names that services have; `file_values` what the env files at hand assign."""
    found = Beside()
    names = set(taken)
    for part in parts:
        reason = _unfit(part, found)
        if reason:
            found.omitted.append(f"{part.name} ({part.image or 'no image'}): {reason}")
            continue
        name = free_name(part.name, names)
        names.add(name)
        found.of[part.name] = _sidecar(part, name, file_values, found)
        found.said.append(f"{part.name} ({part.image}) → sidecars.{name}")
    return found


def slug(name: str) -> str:
    """A name of a Compose file as one of treedock.yaml."""
    text = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return (text if text[:1].isalpha() else f"s-{text}")[:31].rstrip("-")


def _unfit(part: Composed, found: Beside) -> str | None:
    """Why it cannot be a sidecar, or None."""
    if part.image is None:
        return part.lacks.get("image", "it has no image")
    if not _IMAGE.fullmatch(part.image):
        return "that is no name of an image"
    if kind_of(part.image) not in _KNOWN:
        return "no database, cache or mail catcher that init knows; `sidecars:` can have it"
    if part.profiles:
        return f"it starts with the profile {part.profiles[0]} only"
    port = _KNOWN[kind_of(part.image)][0]
    for other, sidecar in found.of.items():
        if _KNOWN[kind_of(sidecar.image)][0] == port:
            return f"{other} has port {port} already, and sidecars share one localhost"
    return None


def free_name(name: str, taken: Container[str]) -> str:
    """The name as one of treedock.yaml that nothing else has."""
    wanted = slug(name)
    names = chain([wanted], (f"{wanted[:25]}-{number}" for number in count(2)))
    return next(name for name in names if name not in taken)


def _sidecar(
    part: Composed, name: str, file_values: Mapping[str, Mapping[str, str]], found: Beside
) -> Sidecar:
    image = part.image or ""
    kind, where = kind_of(image), f"sidecars.{name}"
    is_own = image in OWN
    port, data = _KNOWN[kind]
    if not is_own and not re.search(r"[/:@]", image):
        image = f"{image}:latest"  # what it means in a Compose file; a bare name is treedock's
    return Sidecar(
        name=name,
        image=image,
        port=None if is_own else port,
        env=_environment(part, kind, where, file_values, found, is_own=is_own),
        command=_command(part, kind, where, found, is_own=is_own),
        volume=None if is_own else _volume(part, data, where, found),
    )


def _environment(
    part: Composed,
    kind: str,
    where: str,
    file_values: Mapping[str, Mapping[str, str]],
    found: Beside,
    *,
    is_own: bool,
) -> dict[str, str]:
    env: dict[str, str] = {}
    for file in part.env_files:
        prefixes = _PREFIXES.get(kind, (kind.partition("-")[0].upper(),))
        given = file_values.get(file, {})
        env |= {key: value for key, value in given.items() if key.startswith(prefixes)}
        if not given:
            found.unsure.append(f"{where}.env: {file} is not in git; does it set anything?")
    env |= part.environment
    for key, value in list(env.items()):
        if not _VARIABLE.fullmatch(key) or "\n" in value or "\0" in value:
            reason = "not a variable of one line"
        elif key.endswith("_FILE") and value.startswith("/run/secrets/"):
            reason = "secrets are not mounted"
        else:
            continue
        del env[key]
        found.omitted.append(f"{where}.env.{key}: {reason}")
    password = env.get("POSTGRES_PASSWORD")
    if kind in POSTGRES and not password and not is_own:
        env["POSTGRES_HOST_AUTH_METHOD"] = "trust"
        found.unsure.append(f"{where}.env: it takes any password, as none is known here")
    for key, why in part.unset.items():
        if not (kind in POSTGRES and key == "POSTGRES_PASSWORD"):
            found.unsure.append(f"{where}.env.{key}: {why}")
    return env


def _command(
    part: Composed, kind: str, where: str, found: Beside, *, is_own: bool
) -> str | list[str] | None:
    if part.others:
        found.omitted.append(f"{where}: {named(part.others)}")
    command = part.command
    if "command" in part.lacks or not _can_split(command):
        found.omitted.append(f"{where}.command: {part.lacks.get('command', 'a quote stays open')}")
        return None
    if not is_own or not command:
        return command or None
    # An image of treedock's own takes arguments of the server, without its name.
    words = command.split(" ") if isinstance(command, str) else command
    rest = words[1:] if words[0] in (kind, "redis-server") else words
    return (" ".join(rest) if isinstance(command, str) else rest) or None


def _can_split(command: str | list[str] | None) -> bool:
    try:
        return not isinstance(command, str) or bool(shlex.split(command)) or not command
    except ValueError:
        return False


def _volume(part: Composed, data: str, where: str, found: Beside) -> str | None:
    """The folder that is kept: one of data, even where it is a folder of the host in Compose."""
    kept = None
    for source, target in part.volumes:
        is_data = target.startswith(data) or not is_folder_of_host(source)
        if kept is None and is_data and source and re.fullmatch(r"/[^:]+", target):
            kept = target
        else:
            found.omitted.append(f"{where}: the volume at {target}")
    return kept
