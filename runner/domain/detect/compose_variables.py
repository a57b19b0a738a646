"""The environment that a Compose file gives to what it builds, as an instance needs it: what was a
host of Compose's network is on localhost."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from runner.domain.detect.compose_forms import Composed, is_folder_of_host
from runner.domain.detect.listing import Notes
from runner.domain.instance.container import WORKSPACE
from runner.domain.instance.environment import port_variable

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOST = re.compile(r"HOST|SERVER|ADDR|URL|URI|ENDPOINT|BROKER|NODE|DSN", re.IGNORECASE)
_NO_USER = "(?![^/,]*@)"  # user:password@host
_OURS = {"HOME", "HOST", "LANG", "PATH", "PORT", "TREEDOCK_ID", "USER"}
# With NODE_ENV=production a package manager leaves out what a development server needs.
_KEPT_OUT = {"NODE_ENV": "production"}


@dataclass
class Variables(Notes):
    of: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hosts:
    """`beside` are the names that are sidecars now; `roles` which service a name is, and `ports`
    which of them this machine reached at a port."""

    beside: frozenset[str]
    roles: Mapping[str, str]
    ports: Mapping[int, str]


def find_variables(
    parts: Sequence[Composed],
    hosts: Hosts,
    file_values: Mapping[str, Mapping[str, str]],
    ports: Sequence[str],
) -> Variables:
    """`ports` are the names of treedock's ports, whose variables are not for anybody to set."""
    found = Variables()
    own = _OURS | {port_variable(name) for name in ports}
    for part in parts:
        for key, value in _wanted(part, hosts, file_values).items():
            where = f"env.set.{key}"
            if key in own or _KEPT_OUT.get(key) == value:
                found.omitted.append(f"{part.name}: {key}={value}, treedock has its own")
            elif not _VARIABLE.fullmatch(key) or "\n" in value or "\0" in value:
                found.omitted.append(f"{part.name}: {key}, not a variable of one line")
            elif found.of.setdefault(key, value) != value:
                found.unsure.append(f"{where}: {part.name} has another value")
        bare = [key for key, why in part.unset.items() if why.startswith(f"${{{key}}} ")]
        if bare:  # .env gives them to everything inside
            found.unsure.append(f"{part.name}: no value here, .env has to give: {', '.join(bare)}")
        for key, why in part.unset.items():
            if key not in bare:
                found.unsure.append(f"env.set.{key}: {why}")
    found.said = [f"environment → env.set: {', '.join(found.of)}"] if found.of else []
    return found


def _wanted(
    part: Composed, hosts: Hosts, file_values: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """What the file sets itself, and of its env files, which an app may read alone, what names a
    host that is none any more."""
    found: dict[str, str] = {}
    for file in part.env_files:
        for key, value in file_values.get(file, {}).items():
            if key not in part.environment:
                literal = value.replace("$", "$$")
                translated = _translated(key, literal, part, hosts)
                if translated != literal:
                    found[key] = translated
    for key, value in part.environment.items():
        found[key] = _translated(key, value.replace("$", "$$"), part, hosts)
    return found


def _translated(key: str, value: str, part: Composed, hosts: Hosts) -> str:
    for name in hosts.beside:
        if value == name and _HOST.search(key):
            return "localhost"
        value = re.sub(_host(name) + rf"(?=[:/,?]|$){_NO_USER}", r"\1localhost", value)
    for name, role in hosts.roles.items():
        value = re.sub(_host(name) + r"(?::\d+)?(?=[/,?]|$)", rf"\1localhost:{_port(role)}", value)
    for port, role in hosts.ports.items():
        here = rf"\b(localhost|127\.0\.0\.1|0\.0\.0\.0):{port}\b"
        value = re.sub(here, rf"\1:{_port(role)}", value)
    for source, target in part.volumes:
        if is_folder_of_host(source) and not source.startswith(("/", "~", "..")):
            folder = source.removeprefix("./").strip("./")
            place = f"{WORKSPACE}/{folder}".rstrip("/")
            there = rf"(?<![\w/.]){re.escape(target.rstrip('/'))}(?=[/:]|$)"
            value = re.sub(there, lambda _, place=place: place, value)  # type: ignore[misc]
    return value


def _host(name: str) -> str:
    """A pattern for a host of this name: behind a scheme, a password or a comma, or before a
    port at the very beginning; in group 1 what stands before."""
    return rf"(//|@|,|^(?=[\w.-]+:\d)){re.escape(name)}"


def _port(role: str) -> str:
    return f"${{{port_variable(role)}}}"
