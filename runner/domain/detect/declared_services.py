"""Services as a Procfile or a Dockerfile declares them, for code that is not known here."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from runner.domain.detect.compose_forms import shell_line
from runner.domain.detect.compose_services import Program, adapted
from runner.domain.detect.listing import Listing, Notes, Service

_PROCESS = re.compile(r"^([A-Za-z][\w-]*):[ \t]*(\S.*)$", re.MULTILINE)
_INSTRUCTION = re.compile(r"^\s*(CMD|ENTRYPOINT|EXPOSE)\s+(\S.*)$", re.MULTILINE | re.IGNORECASE)
_PORT = re.compile(r"\$\{?PORT(?::-\d+)?\}?")


@dataclass
class Declared(Notes):
    service: Service | None = None


def find_declared(
    listing: Listing, services: Sequence[Service], program: Program | None
) -> Declared:
    """The process that serves, where no other service was found; the others are named."""
    found = Declared()
    processes = dict(_PROCESS.findall(listing.text(".", "Procfile")))
    if "web" in processes and not services:
        _add("Procfile", processes["web"], None, program, found)
    found.unsure += [
        f"Procfile: {name} is not run: {line.strip()}; `services:` can have it"
        for name, line in processes.items()
        if name not in ("web", "release")
    ]
    dockerfile = listing.text(".", "Dockerfile")
    if dockerfile and not services and found.service is None:
        line, port = _container(dockerfile)
        if line:
            _add("Dockerfile", line, port, program, found)
    return found


def _container(text: str) -> tuple[str, str | None]:
    """(what the last stage runs, the port it exposes)."""
    last = re.split(r"(?mi)^FROM\s", text.replace("\\\n", " "))[-1]
    told = {word.upper(): value.strip() for word, value in _INSTRUCTION.findall(last)}
    line = " ".join(filter(None, (_line(told.get(key, "")) for key in ("ENTRYPOINT", "CMD"))))
    port = re.match(r"\d+", told.get("EXPOSE", ""))
    return line, port[0] if port else None


def _line(text: str) -> str:
    try:
        words = json.loads(text) if text.startswith("[") else text
    except ValueError:
        return ""
    fits = isinstance(words, str) or all(isinstance(word, str) for word in words)
    return shell_line(words) if words and fits else ""


def _add(
    source: str, line: str, port: str | None, program: Program | None, found: Declared
) -> None:
    run = adapted(line.strip(), ".", program)
    if run is None or not run.isprintable():
        found.omitted.append(f"{source}: it runs a program of its image, {line.strip()!r}")
        return
    with_port = _PORT.sub("$BACKEND_PORT", run)
    if port:
        with_port = re.sub(rf"(?<![\d.]){port}(?![\d.])", "$BACKEND_PORT", with_port)
    if with_port == run:
        with_port = f"HOST=0.0.0.0 PORT=$BACKEND_PORT {run}"
        found.unsure.append(
            f"services.backend: does it listen on 0.0.0.0:$BACKEND_PORT? ({source})"
        )
    found.service = Service("backend", with_port, ".")
    found.said.append(f"{source} → services.backend: {with_port}")
