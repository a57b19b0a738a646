"""What the services that a Compose file builds amount to: processes of the instance."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from runner.domain.detect.compose_forms import Composed, named, shell_line
from runner.domain.detect.compose_sidecars import free_name
from runner.domain.detect.listing import Notes, Service, Step

Program = Callable[[str, str], str]

_PYTHON = {
    "alembic", "arq", "celery", "coverage", "daphne", "django-admin", "dramatiq", "fastapi",
    "flask", "gunicorn", "huey_consumer", "hypercorn", "pytest", "python", "python3", "rq",
    "rqworker", "taskiq", "uvicorn", "watchmedo",
}  # fmt: skip
_ELSEWHERE = {"pnpm": "npx --yes pnpm", "yarn": "npx --yes yarn@1"}
_TABLES = re.compile(r"migrat|prestart|seed|init|prisma|alembic|fixture|schema")
# What ends by itself: run once, not served.
_ENDING = re.compile(
    r"migrat\w*|seed\w*|prestart|(?:init|setup|create)[-_]?(?:db|database)|db[-_]init"
)
_ENDS = re.compile(r"\b(migrate|alembic upgrade|db:(?:\w+)|prisma (?:migrate|db)|loaddata|seed)\b")
_TESTS = re.compile(r"(?:^|[-_ ])(?:e2e|tests?|pytest|playwright|cypress|vitest|jest)(?:$|[-_ ])")
_FRONTEND = re.compile(r"front|client|\bui\b|\bspa\b|web-?app")


@dataclass
class Built(Notes):
    """`roles` says which of treedock's services does the work of one of Compose's; `workers` are
    new services; `steps` run once, `tables` being the one that makes a database."""

    roles: dict[str, str] = field(default_factory=dict)
    services: list[Service] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    tables: Step | None = None


def find_services(
    parts: Sequence[Composed], known: Iterable[Service], program: Program | None
) -> Built:
    """`known` are the services that the repository's own files told; they stay as they are."""
    found = Built()
    have = {service.name: service for service in known}
    once = {name for part in parts for name in part.waits_for_end_of}
    candidates = [part for part in parts if _is_candidate(part, found)]
    for name, service in have.items():
        _give_role(name, service, candidates, found)
    for part in candidates:
        if part.name not in found.roles:
            _add(part, have, once, program, found)
    return found


def _is_candidate(part: Composed, found: Built) -> bool:
    reason = None
    if part.build == "":
        reason = "what it is built from is not in this checkout"
    elif part.profiles:
        reason = f"it starts with the profile {part.profiles[0]} only"
    if reason or part.others:
        found.omitted.append(f"{part.name}: {reason or named(part.others)}")
    return reason is None


def is_test(part: Composed) -> bool:
    """Whether its name says that it tests the others."""
    return bool(_TESTS.search(part.name))


def _give_role(name: str, service: Service, parts: Sequence[Composed], found: Built) -> None:
    """The part that is this service: of its folder or around it, the nearest, one with a port."""
    around = [
        part
        for part in parts
        if part.name not in found.roles
        and not is_test(part)
        and _holds(part.build or ".", service.folder)
    ]
    # Behind a proxy it publishes nothing.
    able = [part for part in around if part.ports] or [p for p in around if not p.command]
    if able:
        chosen = max(able, key=lambda part: (len(part.build or ""), name in part.name))
        found.roles[chosen.name] = name
        found.said.append(f"{chosen.name} (built from {chosen.build}) → services.{name}, as found")


def _add(
    part: Composed,
    have: dict[str, Service],
    once: set[str],
    program: Program | None,
    found: Built,
) -> None:
    folder = _folder(part, have)
    if not part.command:
        why = part.lacks.get("command", "what it runs stands in its Dockerfile, not here")
        found.omitted.append(f"{part.name}: {why}")
        return
    run = adapted(shell_line(part.command), folder, program)
    if run is None:
        program_there = shell_line(part.command)
        found.omitted.append(f"{part.name}: it runs a program of its image, {program_there}")
    elif _TESTS.search(f"{part.name} {run}") and not part.ports:
        found.omitted.append(f"{part.name}: it tests, which `test:` and `gates:` are for")
    elif part.name in once or (not part.ports and _ends(part.name, run)):
        _add_step(part, Step(run, folder), found)
    elif part.ports:
        _add_server(part, run, folder, have, found)
    else:
        name = free_name(part.name, {*have, *(s.name for s in found.services)})
        found.services.append(Service(name, run, folder, serves=False))
        found.said.append(f"{part.name} → services.{name}: {run}")


def _ends(name: str, run: str) -> bool:
    return bool(_ENDING.fullmatch(name) or _ENDS.search(run.split("&&")[-1]))


def _add_step(part: Composed, step: Step, found: Built) -> None:
    if found.tables is None and _TABLES.search(f"{part.name} {step.run}"):
        found.tables = step
        found.said.append(f"{part.name} → database.reset: {step.run}")
    else:
        found.steps.append(step)
        found.said.append(f"{part.name} → setup: {step.run}")


def _add_server(
    part: Composed, run: str, folder: str, have: dict[str, Service], found: Built
) -> None:
    taken = {*have, *found.roles.values()}
    wanted = ("frontend", "backend") if _FRONTEND.search(part.name) else ("backend", "frontend")
    name = next((role for role in wanted if role not in taken), None)
    if name is None:
        found.omitted.append(
            f"{part.name}: it serves a port, and a third needs a range in `ports:`"
        )
        return
    inside = part.ports[0][1]
    variable = f"${name.upper()}_PORT"
    with_port = re.sub(rf"(?<![\d.]){inside}(?![\d.])", lambda _: variable, run)
    if with_port == run:
        with_port = f"HOST=0.0.0.0 PORT={variable} {run}"
        found.unsure.append(f"services.{name}: does it listen on 0.0.0.0:{variable}?")
    found.roles[part.name] = name
    found.services.append(Service(name, with_port, folder))
    found.said.append(f"{part.name} → services.{name}: {with_port}")


def adapted(line: str, folder: str, program: Program | None) -> str | None:
    """A command of an image as one of the instance; None for a program that lies in the image."""
    parts = re.split(r"(\s*(?:&&|\|\||;)\s*)", line)
    adapted = [_command(part, folder, program) for part in parts[::2]]
    if None in adapted:
        return None
    texts = [text or "" for text in adapted]
    return "".join(
        text + between for text, between in zip(texts, [*parts[1::2], ""], strict=True)
    ).strip()


def _command(line: str, folder: str, program: Program | None) -> str | None:
    match = re.match(r"((?:(?:exec|\w+=\S*)\s+)*)((?:poetry|pipenv|uv) run\s+)?(\S+)(.*)$", line)
    if match is None:
        return line
    before, by, word, rest = match.groups()
    if word.startswith("/"):
        return None
    if word in _PYTHON and program:
        return before + program(f"{word.replace('python3', 'python')}{rest}", folder)
    return f"{before}{by or ''}{_ELSEWHERE.get(word, word)}{rest}"


def _folder(part: Composed, have: dict[str, Service]) -> str:
    """The folder that a command of this part runs in: that of the app it is built with."""
    build = part.build or "."
    backend = have.get("backend")
    return backend.folder if backend and _holds(build, backend.folder) else build


def _holds(folder: str, other: str) -> bool:
    return folder in (".", other) or other.startswith(f"{folder}/")
