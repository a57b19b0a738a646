"""What a Compose file says of each of its services, whichever form it says it in."""

import posixpath
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.domain.detect.env_file import is_text
from runner.domain.detect.interpolation import Unset, interpolate

PUBLIC = ("VITE_", "NEXT_PUBLIC_", "REACT_APP_", "NUXT_PUBLIC_", "PUBLIC_")
_SHELLS = {"sh", "bash", "ash", "/bin/sh", "/bin/bash", "/usr/bin/bash"}
# Keys that are read, or make no difference to an instance, which has networks, names, readiness,
# limits and restarts of its own.
_KNOWN = {
    "attach", "build", "command", "container_name", "cpus", "depends_on", "deploy", "develop",
    "env_file", "environment", "expose", "extends", "healthcheck", "hostname", "image", "init",
    "labels", "links", "logging", "mem_limit", "memswap_limit", "networks", "platform", "ports",
    "profiles", "pull_policy", "restart", "security_opt", "stdin_open", "stop_grace_period",
    "tty", "user", "volumes", "working_dir",
}  # fmt: skip


@dataclass(frozen=True)
class Composed:
    """A service of a Compose file. `build` is the folder it is built from, '' for one that is not
    in the checkout; ports are (on the host or None, inside); volumes (source, folder inside)."""

    name: str
    image: str | None = None
    build: str | None = None
    dockerfile: str = "Dockerfile"
    command: str | list[str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    env_files: tuple[str, ...] = ()
    ports: tuple[tuple[int | None, int], ...] = ()
    volumes: tuple[tuple[str, str], ...] = ()
    profiles: tuple[str, ...] = ()
    waits_for_end_of: tuple[str, ...] = ()
    unset: Mapping[str, str] = field(default_factory=dict)
    """Keys of the environment without a value, and why; `lacks` are the same of other keys."""
    lacks: Mapping[str, str] = field(default_factory=dict)
    extends: str | None = None
    """What of another file it builds on."""
    others: tuple[str, ...] = ()
    """Its other keys that would make a difference."""


def read_services(document: Any, values: Mapping[str, str]) -> list[Composed]:
    """Its services in their order. Raises ValueError where it is no Compose file."""
    services = document.get("services") if isinstance(document, dict) else None
    if not isinstance(services, dict):
        raise ValueError("there are no `services:` in it")
    found = {name: raw for name, raw in services.items() if isinstance(raw, dict)}
    return [_Reader(values).service(name, _extended(found, name)) for name in found]


def shell_line(command: str | list[str]) -> str:
    """A command as one line for a shell; `sh -c LINE` is the LINE itself."""
    try:
        words = command if isinstance(command, list) else shlex.split(command)
    except ValueError:  # a quote stays open
        return str(command)
    if len(words) == 3 and words[0] in _SHELLS and words[1].strip("-lex") == "c":
        return _one_line(words[2])
    return shlex.join(words) if isinstance(command, list) else " ".join(command.split())


def _one_line(script: str) -> str:
    """A script of several lines on one."""
    line = ""
    for row in script.replace("\\\n", " ").splitlines():
        text = " ".join(row.split())
        if text and not text.startswith("#"):
            joined = not line or line.endswith(("&&", "|", ";", "do", "then", "else", "{", "("))
            line += (" " if line else "") + text if joined else f"; {text}"
    return line


def named(keys: Sequence[str]) -> str:
    """Keys as a sentence has them."""
    return ", ".join(f"`{key}`" for key in keys)


class _Reader:
    """Reads one service; what it cannot have is noted in `unset` and `lacks`."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values
        self.unset: dict[str, str] = {}
        self.lacks: dict[str, str] = {}

    def service(self, name: str, raw: dict[str, Any]) -> Composed:
        build, dockerfile = self._build(raw.get("build"))
        command = raw.get("command")
        waits = raw.get("depends_on")
        extends = raw.get("extends")
        return Composed(
            name=name,
            image=self._text(raw.get("image"), "image"),
            build=build,
            dockerfile=dockerfile,
            command=self._texts(command, "command")
            if isinstance(command, list)
            else self._text(command, "command"),
            environment={
                **self._public(raw.get("build")),
                **self._environment(raw.get("environment")),
            },
            env_files=tuple(self._env_files(raw.get("env_file"))),
            ports=tuple(self._ports(raw)),
            volumes=tuple(v for v in map(self._volume, _items(raw.get("volumes"))) if v),
            profiles=tuple(self._texts(raw.get("profiles"), "profiles")),
            waits_for_end_of=tuple(
                other
                for other, how in (waits.items() if isinstance(waits, dict) else ())
                if isinstance(how, dict)
                and how.get("condition") == "service_completed_successfully"
            ),
            extends=str(extends["file"])
            if isinstance(extends, dict) and extends.get("file")
            else None,
            others=tuple(key for key in raw if key not in _KNOWN and not key.startswith("x-")),
            unset=self.unset,
            lacks=self.lacks,
        )

    def _text(self, value: Any, key: str = "", noted: dict[str, str] | None = None) -> str | None:
        if not isinstance(value, str):
            return None
        noted = self.lacks if noted is None else noted
        try:
            text = interpolate(value, self.values)
        except Unset as error:
            noted[key] = error.sentence
        except ValueError as error:  # Compose would not take it either
            noted[key] = str(error)
        else:
            if is_text(text):
                return text
            noted[key] = "it has control characters"
        return None

    def _texts(self, value: Any, key: str = "") -> list[str]:
        texts = [self._text(item, key) for item in _items(value)]
        return [text for text in texts if text is not None]

    def _build(self, raw: Any) -> tuple[str | None, str]:
        if raw is None:
            return None, ""
        given = raw if isinstance(raw, dict) else {"context": raw}
        context = self._text(given.get("context") or ".", "build") or ""
        dockerfile = self._text(given.get("dockerfile") or "Dockerfile", "build") or ""
        return _inside(context), _inside(dockerfile)

    def _public(self, build: Any) -> dict[str, str]:
        """The build arguments that end up in what a browser gets."""
        args = build.get("args") if isinstance(build, dict) else None
        given = {key: value for key, value in pairs(args).items() if key.startswith(PUBLIC)}
        found = {key: self._text(value, key, self.unset) for key, value in given.items()}
        return {key: text for key, text in found.items() if text is not None}

    def _environment(self, raw: Any) -> dict[str, str]:
        found = {}
        for key, value in pairs(raw).items():
            if value is None:  # handed on from where Compose runs
                text = self.values.get(key)
                if text is None:
                    self.unset[key] = f"${{{key}}} has no value here"
            else:
                text = self._text(value, key, self.unset)
            if text is not None:
                found[key] = text
        return found

    def _env_files(self, raw: Any) -> list[str]:
        items = [i.get("path") if isinstance(i, dict) else i for i in _items(raw)]
        return [
            path for path in map(_inside, self._texts(items, "env_file")) if path not in ("", ".")
        ]

    def _ports(self, raw: dict[str, Any]) -> list[tuple[int | None, int]]:
        published = [self._port(item) for item in _items(raw.get("ports"))]
        inside = [self._port(item) for item in _items(raw.get("expose"))]
        found = [port for port in published if port]
        return found or [(None, port[1]) for port in inside if port]

    def _port(self, raw: Any) -> tuple[int | None, int] | None:
        if isinstance(raw, dict):
            texts = [self._text(raw.get(key), "ports") or "" for key in ("published", "target")]
            protocol = raw.get("protocol")
        else:
            text, _, protocol = (self._text(raw, "ports") or "").partition("/")
            texts = ["", *text.rsplit(":", 2)][-2:]
        host, inside = (_first_port(text) for text in texts)
        return (host, inside) if inside and protocol != "udp" else None

    def _volume(self, raw: Any) -> tuple[str, str] | None:
        if isinstance(raw, dict):
            source, target = (self._text(raw.get(key), "volumes") for key in ("source", "target"))
        else:
            first, _, rest = (self._text(raw, "volumes") or "").partition(":")
            source, target = (first, rest.partition(":")[0]) if rest else ("", first)
        return (source or "", target) if target and target.startswith("/") else None


def pairs(raw: Any) -> dict[str, str | None]:
    """A mapping, from either of its forms: {A: b} and [A=b]."""
    if isinstance(raw, dict):
        return {key: value if isinstance(value, str) else None for key, value in raw.items()}
    found: dict[str, str | None] = {}
    for item in _items(raw):
        key, equals, value = str(item).partition("=")
        found[key] = value if equals else None
    return found


def is_folder_of_host(source: str) -> bool:
    """Whether the source of a volume is a path, and not the name of a volume."""
    return source.startswith((".", "/", "~"))


def _extended(services: Mapping[str, dict[str, Any]], name: str) -> dict[str, Any]:
    """The service with what it builds on in the same file."""
    chain, seen = [services[name]], {name}
    while True:
        extends = chain[0].get("extends")
        base = extends.get("service") if isinstance(extends, dict) else extends
        other_file = isinstance(extends, dict) and extends.get("file")
        if not isinstance(base, str) or other_file or base in seen or base not in services:
            break
        seen.add(base)
        chain.insert(0, services[base])
    merged: dict[str, Any] = {}
    environment: dict[str, str | None] = {}
    for raw in chain:
        environment |= pairs(raw.get("environment"))
        merged |= raw
    return {**merged, "environment": environment}


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _first_port(text: str) -> int | None:
    first = text.partition("-")[0]
    number = int(first) if first.isascii() and first.isdecimal() and len(first) < 6 else 0
    return number if 0 < number < 65536 else None


def _inside(path: str) -> str:
    """A path of the checkout; '' for one that leaves it."""
    normal = posixpath.normpath(path)
    outside = normal.startswith(("/", "~", "..")) or ":" in normal
    return "" if outside or not path or normal.split("/")[0] == ".git" else normal
