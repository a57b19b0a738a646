"""How the halves of a project find each other: values that name the project's own ports."""

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from runner.domain.detect.compose_forms import PUBLIC
from runner.domain.detect.env_examples import NAMES
from runner.domain.detect.env_file import assignments
from runner.domain.detect.listing import Listing, Notes, Service

_CODE = (".py", ".ts", ".tsx", ".js", ".jsx", ".mjs", ".vue", ".svelte", ".astro", ".prisma")
_ASIDE = re.compile(
    r"(?:^|/)(?:playwright|cypress|vitest|jest)\.config|\.(?:min\.js|d\.ts|test\.\w+|spec\.\w+)$"
)
_READ_AT_MOST = 400  # files of code
_TEXT = 100_000  # characters of each
_LOCAL = re.compile(r"https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0):(\d{2,5})(?=[/\"'`,\s;)\]]|$)")
_TOWARDS_BACKEND = re.compile(r"API|BACKEND|SERVER", re.IGNORECASE)
_TOWARDS_FRONTEND = re.compile(
    r"FRONT|CLIENT|CORS|ORIGIN|SITE|WEB|NEXTAUTH|AUTH_URL|APP_URL|BASE_URL"
)
_USUAL = {
    "backend": {"5000", "8000", "8080", "4000", "3001"},
    "frontend": {"3000", "5173", "4200", "4321"},
}
# A variable with an address as its default: of JavaScript, of Python, of pydantic's settings.
_DEFAULTS = (
    re.compile(r"env\??\.(\w+)\s*(?:\|\||\?\?)\s*[\"'`](https?://[^\"'`\s]+)"),
    re.compile(r"(?:environ\.get|getenv|env|config)\(\s*[\"'](\w+)[\"'],\s*(?:default=)?[\"'](https?://[^\"']+)"),
    re.compile(r"^\s+([A-Z][A-Z_]+)\s*:\s*[\w\[\]| ]+=\s*[\"'](https?://[^\"']+)", re.MULTILINE),
)  # fmt: skip


@dataclass
class Addresses(Notes):
    """`of` are the variables of env.set."""

    of: dict[str, str] = field(default_factory=dict)


def find_addresses(
    listing: Listing, services: Sequence[Service], known: Mapping[str, str]
) -> Addresses:
    """The variables that code reads and that name an own port in an example or as their default;
    those that are `known` stay as they are."""
    found = Addresses()
    roles = [service.name for service in services if service.serves]
    code = {path: listing.read(path)[:_TEXT] for path in _code(listing)} if roles else {}
    words = {word for text in code.values() for word in re.findall(r"\w+", text.lower())}
    for key, value, source in (*_examples(listing), *_defaults(code)):
        if key in known or key in found.of or key.lower() not in words:
            continue
        translated = _LOCAL.sub(lambda match, key=key: _own(match, key, roles), value)  # type: ignore[misc]
        if translated != value:
            found.of[key] = translated
            found.said.append(f"{source} → env.set: {key}: {translated}")
    if {"backend", "frontend"} <= set(roles):
        _ask(services, code, {**known, **found.of}, found)
    return found


def _own(match: re.Match[str], key: str, roles: Sequence[str]) -> str:
    """An address with the variable of the port in the place of the port; a foreign one as it is."""
    port = match[1]
    if len(roles) == 1:
        usual = _USUAL["backend"] | _USUAL["frontend"]
        role = roles[0] if port in usual else None
    elif _TOWARDS_BACKEND.search(key) and not _TOWARDS_FRONTEND.search(key):
        role = "backend"
    elif _TOWARDS_FRONTEND.search(key) and not key.startswith(PUBLIC):
        role = "frontend"
    else:
        role = next((name for name, ports in _USUAL.items() if port in ports), None)
    if role is None or role not in roles:
        return match[0]
    return match[0].removesuffix(port) + f"${{{role.upper()}_PORT}}"


def _examples(listing: Listing) -> Iterator[tuple[str, str, str]]:
    for name in (*NAMES, ".env.development", ".env"):
        for folder in listing.folders(name):
            path = posixpath.normpath(posixpath.join(folder, name))
            for key, value in assignments(listing.read(path)).items():
                if "$" not in value and "\n" not in value:
                    yield key, value, path


def _defaults(code: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for path, text in code.items():
        for pattern in _DEFAULTS:
            for key, value in pattern.findall(text):
                if "$" not in value:
                    yield key, value, path


def _code(listing: Listing) -> list[str]:
    found = [path for path in listing.below(".", "") if path.endswith(_CODE)]
    return [path for path in found if not _ASIDE.search(path)][:_READ_AT_MOST]


def _ask(
    services: Sequence[Service],
    code: Mapping[str, str],
    variables: Mapping[str, str],
    found: Addresses,
) -> None:
    """Where no variable leads from the frontend to the backend: what is written down instead."""
    if any("BACKEND_PORT" in value for value in variables.values()):
        return
    folder = next(service.folder for service in services if service.name == "frontend")
    inside = "" if folder == "." else f"{folder}/"
    for path, text in code.items():
        match = next((m for m in _LOCAL.finditer(text) if m[1] in _USUAL["backend"]), None)
        if match and path.startswith(inside) and not path.endswith(".py"):
            found.unsure.append(
                f"{path}: {match[0]} is written down: let it read a variable, and set that in "
                "env.set to http://localhost:${BACKEND_PORT}"
            )
            return
    found.unsure.append("env.set: how does the frontend find the backend? No variable was found")
