"""The JavaScript half: the package manager by its lock file, the app by its scripts."""

import json
import re
from dataclasses import dataclass
from typing import Any

from runner.domain.detect.listing import App, Listing, Service, Step, join

# The tool that a script runs -> the arguments that give it the port. Empty: it reads HOST and PORT.
_TOOLS = {
    "vite": "--host 0.0.0.0 --port {port} --strictPort",
    "astro": "--host 0.0.0.0 --port {port}",
    "next": "--hostname 0.0.0.0 --port {port}",
    "nuxt": "--host 0.0.0.0 --port {port}",
    "nuxi": "--host 0.0.0.0 --port {port}",
    "ng": "--host 0.0.0.0 --port {port}",
    "vue-cli-service": "--host 0.0.0.0 --port {port}",
    "webpack": "--host 0.0.0.0 --port {port}",
    "react-scripts": "",
}
_TOOL = re.compile(r"^(?:(?:cross-env|npx|bunx|\w+=\S*)\s+)*(" + "|".join(_TOOLS) + r")(?=\s|$)")
_SERVERS = {"@hapi/hapi", "@nestjs/core", "express", "fastify", "hono", "koa"}
_SLOW = {"next", "nuxt", "nuxi", "ng"}  # they compile the first page while it is asked for


@dataclass(frozen=True)
class _Manager:
    """A package manager: `install` makes node_modules in `folder`, `run` runs a script.

    `between` parts the script's name from its arguments: npm takes them after `--`, the others
    would hand the `--` on.
    """

    folder: str
    install: str
    run: str
    source: str
    between: str = " "
    leaves: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Package:
    folder: str
    scripts: dict[str, str]
    dependencies: frozenset[str]
    manager: _Manager

    @property
    def script(self) -> str | None:
        """The script that serves it while one works on it."""
        return next((name for name in ("dev", "start", "serve") if name in self.scripts), None)

    @property
    def tool(self) -> str | None:
        """The known tool that the script runs last; the arguments go to it."""
        last = re.split(r"&&|;", self.scripts.get(self.script or "", ""))[-1].strip()
        match = _TOOL.match(last)
        return match[1] if match and not re.search(r"[|&]", last) else None

    @property
    def serves(self) -> str:
        """'backend' or 'frontend'."""
        return "backend" if not self.tool and self.dependencies & _SERVERS else "frontend"


def find_node(listing: Listing, role: str) -> App:
    """The JavaScript app that is the 'frontend' or 'backend'; an empty App where there is none."""
    packages = [_package(listing, folder) for folder in listing.folders("package.json")]
    able = [package for package in packages if package.script and package.serves == role]
    chosen = next((p for p in able if p.tool), None) or next(iter(able), None)
    if chosen is None:
        return App()
    manager = chosen.manager
    service = _service(chosen, role)
    test = chosen.scripts.get("test", "")
    has_test = test and "no test specified" not in test
    path = join(chosen.folder, "package.json")
    return App(
        setup=(Step(manager.install, manager.folder),),
        service=service,
        test=Step(f"{manager.run} test", chosen.folder) if has_test else None,
        said=(
            f"{manager.source} → setup: {manager.install}",
            f"{path} ({chosen.tool or 'script ' + str(chosen.script)})"
            f" → services.{role}: {service.run}",
        ),
        leaves=(f"{join(manager.folder, 'node_modules')}/", *manager.leaves),
    )


def _service(package: _Package, role: str) -> Service:
    port = f"${role.upper()}_PORT"
    command = f"{package.manager.run} {package.script}"
    arguments = _TOOLS.get(package.tool or "", "").format(port=port)
    if arguments:
        command += package.manager.between + arguments
    else:
        command = f"HOST=0.0.0.0 PORT={port} {command}"
        if package.tool == "react-scripts":
            command = f"BROWSER=none {command}"
    return Service(role, command, package.folder, timeout=180 if package.tool in _SLOW else 60)


def _package(listing: Listing, folder: str) -> _Package:
    data = _json(listing.text(folder, "package.json"))
    names = [name for key in ("dependencies", "devDependencies") for name in _mapping(data, key)]
    return _Package(
        folder=folder,
        scripts={k: v for k, v in _mapping(data, "scripts").items() if isinstance(v, str)},
        dependencies=frozenset(names),
        manager=_manager(listing, folder),
    )


def _manager(listing: Listing, folder: str) -> _Manager:
    """By the lock file in the folder, or in one around it (a workspace)."""
    for around in listing.upwards(folder):
        for name, make in _BY_LOCK.items():
            if listing.has(around, name):
                return make(listing, around, name)
    source = f"{join(folder, 'package.json')} (no lock file)"
    return _Manager(folder, "npm install --no-package-lock", "npm run", source, " -- ")


def _npm(listing: Listing, folder: str, lock: str) -> _Manager:
    return _Manager(folder, "npm ci", "npm run", f"{join(folder, lock)} (npm)", " -- ")


def _bun(listing: Listing, folder: str, lock: str) -> _Manager:
    return _Manager(
        folder, "bun install --frozen-lockfile", "bun run", f"{join(folder, lock)} (bun)"
    )


def _pnpm(listing: Listing, folder: str, lock: str) -> _Manager:
    written = re.match(r"lockfileVersion: ['\"]?(\d+)", listing.text(folder, lock))
    by_format = {"5": "7", "6": "8"}.get(written[1] if written else "", "9")
    pnpm = f"npx --yes pnpm@{_wanted(listing, folder, 'pnpm') or by_format}"
    # Its own choice would be /workspace/.pnpm-store, which git then shows.
    install = f'{pnpm} install --frozen-lockfile --store-dir "$HOME/.pnpm-store"'
    return _Manager(folder, install, f"{pnpm} run", f"{join(folder, lock)} (pnpm)")


def _yarn(listing: Listing, folder: str, lock: str) -> _Manager:
    source = f"{join(folder, lock)} (yarn)"
    if "# yarn lockfile v1" in listing.text(folder, lock):
        yarn = "npx --yes yarn@1"
        return _Manager(folder, f"{yarn} install --frozen-lockfile", f"{yarn} run", source)
    own = re.search(r"^yarnPath: (\S+)", listing.text(folder, ".yarnrc.yml"), re.MULTILINE)
    wanted = _wanted(listing, folder, "yarn") or "4"
    yarn = f"npx --yes @yarnpkg/cli-dist@{wanted}"
    leaves = (join(folder, ".yarn/install-state.gz"),)
    if own and listing.has(folder, own[1]):
        yarn = "npx --yes yarn@1"  # it hands over to the yarn that .yarnrc.yml names
    return _Manager(folder, f"{yarn} install --immutable", f"{yarn} run", source, leaves=leaves)


_BY_LOCK = {
    "package-lock.json": _npm,
    "npm-shrinkwrap.json": _npm,
    "pnpm-lock.yaml": _pnpm,
    "bun.lock": _bun,
    "bun.lockb": _bun,
    "yarn.lock": _yarn,
}


def _wanted(listing: Listing, folder: str, name: str) -> str | None:
    """The version that `packageManager` asks for: 'pnpm@10.2.0+sha512...' -> '10.2.0'."""
    named = _json(listing.text(folder, "package.json")).get("packageManager")
    match = re.fullmatch(rf"{name}@(\d[\w.-]*)(\+.*)?", named) if isinstance(named, str) else None
    return match[1] if match else None


def _json(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except ValueError:
        return {}  # theirs to repair; what else is there still counts
    return data if isinstance(data, dict) else {}


def _mapping(data: dict[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}
