"""What installs the git hooks of a project: pre-commit, lefthook or husky."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace

from runner.domain.detect.findings import Findings
from runner.domain.detect.listing import Listing, Step

_LEFTHOOK = [f"{dot}lefthook.{end}" for dot in ("", ".") for end in ("yml", "yaml", "toml", "json")]
_NODE = re.compile(r"\b(?:npm|pnpm|yarn|cli-dist|bun)\b")


def with_hooks(findings: Findings, listing: Listing) -> Findings:
    """The findings with a set-up step for each such tool that set-up has; the others are asked
    about."""
    setup, said, unsure = list(findings.setup), list(findings.said), list(findings.unsure)
    for source, tool, run in _tools(findings, listing):
        if run:
            setup.append(Step(run))
            said.append(f"{source} → setup: {run}")
        else:
            unsure.append(
                f"{source}: hooks run inside only where a set-up step runs {tool} install"
            )
    return replace(findings, setup=tuple(setup), said=tuple(said), unsure=tuple(unsure))


def _tools(findings: Findings, listing: Listing) -> Sequence[tuple[str, str, str | None]]:
    """(the file that asks for it, the tool, the command that installs its hooks)"""
    found: list[tuple[str, str, str | None]] = []
    if listing.has(".", ".pre-commit-config.yaml"):
        run: str | None = "uv tool install --quiet pre-commit && uv tool run pre-commit install"
        if _has_python(findings, listing, "pre-commit"):
            run = "uv run pre-commit install"
        # An image of the project's own may have no uv.
        found.append((".pre-commit-config.yaml", "pre-commit", None if findings.image else run))
    named = next((name for name in _LEFTHOOK if listing.has(".", name)), None)
    if named:
        node = "node_modules/.bin/lefthook install"
        run = node if _wanted(findings, listing, "lefthook") is not None else None
        if run is None and _has_python(findings, listing, "lefthook"):
            run = "uv run lefthook install"
        found.append((named, "lefthook", run))
    if any(re.fullmatch(r"\.husky/[a-z-]+", file) for file in listing.files):
        version = _wanted(findings, listing, "husky")
        run = None if version is None else "node_modules/.bin/husky"
        old = version is not None and re.match(r"\D*[0-8]\b", version)
        found.append((".husky", "husky", f"{run} install" if old else run))
    return found


def _has_python(findings: Findings, listing: Listing, name: str) -> bool:
    """Whether set-up installs this package at the top with uv."""
    synced = any(step.folder == "." and step.run.startswith("uv ") for step in findings.setup)
    return synced and f'name = "{name}"\n' in listing.text(".", "uv.lock")


def _wanted(findings: Findings, listing: Listing, name: str) -> str | None:
    """The version of a package that set-up installs at the top with npm or the like."""
    if not any(step.folder == "." and _NODE.search(step.run) for step in findings.setup):
        return None
    try:
        package = json.loads(listing.text(".", "package.json") or "{}")
        version = {**package.get("dependencies", {}), **package.get("devDependencies", {})}[name]
    except (ValueError, TypeError, AttributeError, KeyError):
        return None
    return version if isinstance(version, str) else None
