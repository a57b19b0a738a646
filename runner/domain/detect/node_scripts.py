"""Which script of a package serves, and how the tool that it runs takes its port."""

import re
from dataclasses import dataclass

from runner.domain.detect.listing import Listing, join
from runner.domain.detect.node_packages import Package

_HOST_PORT = "--host 0.0.0.0 --port {port}"


@dataclass(frozen=True)
class Tool:
    """`pattern` is what a command line of a serving tool begins with; `arguments` give it the port,
    '' where it reads HOST and PORT; `slow` ones compile the first page while it is asked for."""

    name: str
    pattern: str
    arguments: str = ""
    role: str = "frontend"
    slow: bool = False


# fmt: off
_TOOLS = (
    Tool("vite", r"vite(?! (?:build|optimize)\b)", f"{_HOST_PORT} --strictPort"),
    Tool("astro", r"astro (?:dev|start|preview)", _HOST_PORT),
    Tool("next", r"next(?: dev| start|$)", "--hostname 0.0.0.0 --port {port}", slow=True),
    Tool("nuxt", r"(?:nuxt|nuxi)(?: dev| start|$)", _HOST_PORT, slow=True),
    Tool("ng", r"ng (?:serve|s)\b", _HOST_PORT, slow=True),
    Tool("vue-cli-service", r"vue-cli-service serve", _HOST_PORT),
    Tool("webpack", r"webpack(?:-dev-server| (?:serve|s)\b)", _HOST_PORT),
    Tool("react-router", r"react-router dev", _HOST_PORT),
    Tool("remix", r"remix vite:dev", _HOST_PORT),
    Tool("remix", r"remix dev"),
    Tool("gatsby", r"gatsby (?:develop|serve)", _HOST_PORT, slow=True),
    Tool("docusaurus", r"docusaurus (?:start|serve)", _HOST_PORT, slow=True),
    Tool("vitepress", r"vitepress (?:dev|serve)", _HOST_PORT),
    Tool("rsbuild", r"rsbuild (?:dev|preview)", _HOST_PORT),
    Tool("vinxi", r"vinxi dev", _HOST_PORT),
    Tool("parcel", r"parcel(?! (?:build|watch)\b)", _HOST_PORT),
    Tool("react-scripts", r"(?:react-scripts|craco) start"),
    Tool("nest", r"nest start", role="backend"),
    Tool("wrangler", r"wrangler dev", "--ip 0.0.0.0 --port {port}", role="backend"),
    Tool("json-server", r"json-server\b", _HOST_PORT, role="backend"),
)
# fmt: on
_SCRIPTS = ("dev", "start:dev", "develop", "dev:server", "server", "start", "serve", "start:server")
_SERVERS = {"@hapi/hapi", "@nestjs/core", "express", "fastify", "hono", "koa", "polka", "restify"}
_RUNS = re.compile(
    r"(?:node|nodemon|tsx|ts-node(?:-dev)?|bun|deno|babel-node|nx serve|pm2(?:-dev)?)(?=\s|$)"
)
_BEFORE = re.compile(r"(?:(?:cross-env|npx|bunx|yarn exec|pnpm exec|\w+=(?:'[^']*'|\S*))\s+)+")
_WRAPPER = re.compile(r"(?:dotenvx?|env-cmd|infisical|doppler|varlock|op)\b[^&|;]*?\s--\s+")
_DELEGATE = re.compile(r"(?:npm run|pnpm(?: run)?|yarn(?: run)?|bun run) ([\w:.-]+)(.*)$")
_MANY = re.compile(
    r"(?:^|\s)(?:concurrently|npm-run-all|run-p|turbo|lerna|nx run-many)\s|--filter|\s-w\s|[|&]"
)
# It runs those of a workspace, which are found themselves.
_MEMBERS = re.compile(r"(?:^|\s)(?:turbo|lerna|nx)\s|--filter|\s-w\s|--workspace")
_READS_PORT = re.compile(
    r"env(?:\.|\[[\"'])(?:\w+_)?PORT\b|env\.get\([\"']PORT|get(?:<\w+>)?\([\"']\w*PORT"
)
_LISTENS = re.compile(r"\.listen\(\s*(\d{4,5})\b")
_DEPTH = 5  # of scripts that run scripts


@dataclass(frozen=True)
class Serving:
    """The script that serves, and the tool that it runs last; the arguments go to it."""

    script: str
    role: str
    tool: Tool | None = None
    unsure: str | None = None


def serving(listing: Listing, package: Package) -> Serving | None:
    """How a package is served while one works on it; None where it only builds or watches."""
    for name in _SCRIPTS:
        found = _by_tool(package, name)
        if found:
            return found
    for name in _SCRIPTS:
        line = package.scripts.get(name)
        if line is not None:
            found = _by_server(listing, package, name, line) or _among_others(package, name, line)
            if found:
                return found
    return None


def _by_tool(package: Package, name: str) -> Serving | None:
    if name not in package.scripts:
        return None
    inner, line = _innermost(package, name)
    last = re.split(r"&&|;", line)[-1].strip()
    if _MANY.search(last):
        return None
    command = _bare(package, last)
    tool = next((tool for tool in _TOOLS if re.match(tool.pattern, command)), None)
    return Serving(inner, tool.role, tool) if tool else None


def _innermost(package: Package, name: str) -> tuple[str, str]:
    """(the script that another one merely runs, its line)."""
    for _ in range(_DEPTH):
        line = package.scripts[name].strip()
        match = _DELEGATE.fullmatch(line)
        if not match or match[2].strip() or match[1] not in package.scripts or match[1] == name:
            break
        name = match[1]
    return name, package.scripts[name].strip()


def _bare(package: Package, command: str) -> str:
    """A command without what sets variables before it, by programs or by scripts."""
    for _ in range(_DEPTH):
        before = command
        command = _WRAPPER.sub("", _BEFORE.sub("", command, count=1), count=1)
        match = _DELEGATE.fullmatch(command)
        if match and package.scripts.get(match[1], "").rstrip().endswith("--"):
            command = match[2].strip()
        if command == before:
            break
    return command


def _by_server(listing: Listing, package: Package, name: str, line: str) -> Serving | None:
    command = _bare(package, re.split(r"&&|;", line)[-1].strip())
    if not _RUNS.match(command):
        return None
    texts = [listing.read(path) for path in _sources(listing, package.folder)]
    listens = [match for match in map(_LISTENS.search, texts) if match]
    served = package.dependencies & _SERVERS or any(".listen(" in text for text in texts)
    if not served:
        return None
    fixed = listens and not any(map(_READS_PORT.search, texts))
    where = join(package.folder, "package.json")
    unsure = (
        f"{where}: the server listens on {listens[0][1]}; let it read process.env.PORT"
        if fixed
        else None
    )
    return Serving(name, "backend", unsure=unsure)


def _among_others(package: Package, name: str, line: str) -> Serving | None:
    """A script that runs several programs at once, one of which serves."""
    if package.member or not _MANY.search(line) or _MEMBERS.search(line):
        return None
    words = re.split(r"[\s\"'&|;]+", line)
    rest = [" ".join(words[at : at + 2]) for at in range(len(words))]
    tool = next((t for t in _TOOLS for two in rest if re.match(t.pattern, two)), None)
    return Serving(name, tool.role) if tool else None


def _sources(listing: Listing, folder: str) -> list[str]:
    found = [path for end in (".js", ".ts", ".mjs") for path in listing.below(folder, end)]
    return [path for path in found if not path.endswith((".d.ts", ".min.js"))][:60]
