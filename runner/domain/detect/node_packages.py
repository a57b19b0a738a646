"""JavaScript packages of a checkout: their scripts, their package manager, their workspace."""

import fnmatch
import json
import re
from dataclasses import dataclass
from typing import Any

from runner.domain.detect.listing import Listing, join


@dataclass(frozen=True)
class Manager:
    """A package manager: `install` makes node_modules in `folder`, `run` runs a script.

    `between` parts the script's name from its arguments: npm takes them after `--`, the others
    would hand the `--` on. `execute` runs a program of node_modules.
    """

    folder: str
    install: str
    run: str
    source: str
    between: str = " "
    leaves: tuple[str, ...] = ()
    execute: str = "npx"


@dataclass(frozen=True)
class Package:
    """One package.json. `member` tells whether a workspace around it has it."""

    folder: str
    name: str
    scripts: dict[str, str]
    dependencies: frozenset[str]
    manager: Manager
    member: bool = False
    seed: str | None = None

    def script(self, name: str, arguments: str = "") -> str:
        """The command that runs one of its scripts."""
        between = self.manager.between if arguments else ""
        return f"{self.manager.run} {name}{between}{arguments}"


def packages_of(listing: Listing) -> list[Package]:
    """All packages that may be part of the project, the top first."""
    members = _members(listing)
    return [_package(listing, folder, members) for folder in listing.folders("package.json")]


def _package(listing: Listing, folder: str, members: tuple[str, ...]) -> Package:
    data = read_json(listing.text(folder, "package.json"))
    names = [name for key in ("dependencies", "devDependencies") for name in mapping(data, key)]
    seed = mapping(data, "prisma").get("seed")
    return Package(
        folder=folder,
        name=str(data.get("name", "")),
        scripts={k: v for k, v in mapping(data, "scripts").items() if isinstance(v, str)},
        dependencies=frozenset(names),
        manager=_manager(listing, folder),
        member=any(fnmatch.fnmatchcase(folder, pattern) for pattern in members),
        seed=seed if isinstance(seed, str) else None,
    )


def _members(listing: Listing) -> tuple[str, ...]:
    """The patterns of folders that the workspace at the top names: npm, yarn, bun and pnpm."""
    named = read_json(listing.text(".", "package.json")).get("workspaces")
    if isinstance(named, dict):
        named = named.get("packages")
    found = [item for item in named if isinstance(item, str)] if isinstance(named, list) else []
    block = re.search(
        r"^packages:[ \t]*\n((?:[ \t]*(?:-.*|#.*)\n?)*)",
        listing.text(".", "pnpm-workspace.yaml"),
        re.M,
    )
    found += re.findall(r"-\s*['\"]?([\w./*@-]+)", block[1]) if block else []
    if listing.has(".", "nx.json") or listing.has(".", "lerna.json"):
        found += ["apps/*", "packages/*"]
    return tuple(pattern.removeprefix("./").rstrip("/") for pattern in found)


def _manager(listing: Listing, folder: str) -> Manager:
    """By the lock file in the folder, or in one around it (a workspace)."""
    for around in listing.upwards(folder):
        for name, make in _BY_LOCK.items():
            if listing.has(around, name):
                return make(listing, around, name)
    source = f"{join(folder, 'package.json')} (no lock file)"
    return Manager(folder, "npm install --no-package-lock", "npm run", source, " -- ")


def _npm(listing: Listing, folder: str, lock: str) -> Manager:
    return Manager(folder, "npm ci", "npm run", f"{join(folder, lock)} (npm)", " -- ")


def _bun(listing: Listing, folder: str, lock: str) -> Manager:
    source = f"{join(folder, lock)} (bun)"
    return Manager(folder, "bun install --frozen-lockfile", "bun run", source, execute="bunx")


def _pnpm(listing: Listing, folder: str, lock: str) -> Manager:
    written = re.match(r"lockfileVersion: ['\"]?(\d+)", listing.text(folder, lock))
    by_format = {"5": "7", "6": "8"}.get(written[1] if written else "", "9")
    pnpm = f"npx --yes pnpm@{_wanted(listing, folder, 'pnpm') or by_format}"
    # Its own choice would be /workspace/.pnpm-store, which git then shows.
    install = f'{pnpm} install --frozen-lockfile --store-dir "$HOME/.pnpm-store"'
    source = f"{join(folder, lock)} (pnpm)"
    return Manager(folder, install, f"{pnpm} run", source, execute=f"{pnpm} exec")


def _yarn(listing: Listing, folder: str, lock: str) -> Manager:
    source = f"{join(folder, lock)} (yarn)"
    if "# yarn lockfile v1" in listing.text(folder, lock):
        yarn = "npx --yes yarn@1"
        install = f"{yarn} install --frozen-lockfile"
        return Manager(folder, install, f"{yarn} run", source, execute=f"{yarn} run")
    own = re.search(r"^yarnPath: (\S+)", listing.text(folder, ".yarnrc.yml"), re.MULTILINE)
    wanted = _wanted(listing, folder, "yarn") or "4"
    yarn = f"npx --yes @yarnpkg/cli-dist@{wanted}"
    leaves = (join(folder, ".yarn/install-state.gz"),)
    if own and listing.has(folder, own[1]):
        yarn = "npx --yes yarn@1"  # it hands over to the yarn that .yarnrc.yml names
    install = f"{yarn} install --immutable"
    return Manager(folder, install, f"{yarn} run", source, leaves=leaves, execute=f"{yarn} run")


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
    named = read_json(listing.text(folder, "package.json")).get("packageManager")
    match = re.fullmatch(rf"{name}@(\d[\w.-]*)(\+.*)?", named) if isinstance(named, str) else None
    return match[1] if match else None


def read_json(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except ValueError:
        return {}  # theirs to repair; what else is there still counts
    return data if isinstance(data, dict) else {}


def mapping(data: dict[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}
