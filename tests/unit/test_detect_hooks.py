"""What installs a project's git hooks, as a set-up step."""

import json

import pytest

from runner.domain.detect import Findings, Listing, Step, detect
from runner.domain.git.hooks import installs_hooks

VITE = {"scripts": {"dev": "vite"}, "devDependencies": {"vite": "^7"}}
UV = {"pyproject.toml": '[project]\nname = "a"\ndependencies = ["httpx"]\n[tool.uv]\n'}


def found(files: dict[str, str]) -> Findings:
    return detect(Listing(frozenset(files), files.__getitem__, lambda file: False))


def node(**wanted: str) -> dict[str, str]:
    package = {**VITE, "devDependencies": {"vite": "^7", **wanted}}
    return {"package.json": json.dumps(package), "package-lock.json": "{}"}


@pytest.mark.parametrize(
    ("files", "run"),
    [
        (
            {".pre-commit-config.yaml": "repos: []\n"},
            "uv tool install --quiet pre-commit && uv tool run pre-commit install",
        ),
        (
            {**UV, "uv.lock": 'name = "pre-commit"\n', ".pre-commit-config.yaml": ""},
            "uv run pre-commit install",
        ),
        ({**node(lefthook="^1"), "lefthook.yml": ""}, "node_modules/.bin/lefthook install"),
        ({**UV, "uv.lock": 'name = "lefthook"\n', ".lefthook.toml": ""}, "uv run lefthook install"),
        ({**node(husky="^9.1"), ".husky/pre-commit": ""}, "node_modules/.bin/husky"),
        ({**node(husky="~8.0"), ".husky/commit-msg": ""}, "node_modules/.bin/husky install"),
    ],
)
def test_hooks_are_installed_by_the_last_step(files: dict[str, str], run: str) -> None:
    findings = found(files)
    assert findings.setup[-1] == Step(run)
    assert installs_hooks(run)
    assert any(said.endswith(f"→ setup: {run}") for said in findings.said)


@pytest.mark.parametrize(
    ("files", "source"),
    [
        ({"lefthook.yml": ""}, "lefthook.yml: hooks run inside only where"),
        ({".husky/pre-commit": ""}, ".husky: hooks run inside only where"),
        ({".husky/pre-commit": "", "package.json": "[1]"}, ".husky: hooks run inside only where"),
    ],
)
def test_a_tool_that_set_up_does_not_install_is_asked_about(
    files: dict[str, str], source: str
) -> None:
    findings = found(files)
    assert findings.setup == ()
    assert any(line.startswith(source) for line in findings.unsure)


def test_without_hooks_nothing_is_said_of_them() -> None:
    findings = found({**UV, **node(), "uv.lock": "", ".husky/_/pre-commit": ""})
    assert not any("hook" in line for line in (*findings.said, *findings.unsure))
