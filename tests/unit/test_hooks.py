"""Which hooks run inside, and what installs them."""

import pytest

from runner.domain.git.hooks import Hooks, installs_hooks, omitted_hooks, way_in


@pytest.mark.parametrize(
    "run",
    [
        *("pre-commit install", "uv run pre-commit install", "uvx pre-commit install --overwrite"),
        *("uv tool install -q pre-commit && uv tool run pre-commit install", "npx husky"),
        *("node_modules/.bin/husky", "npx husky install", "node_modules/.bin/lefthook install"),
        *("git config core.hooksPath .githooks", "npx simple-git-hooks"),
    ],
)
def test_what_installs_hooks_is_known(run: str) -> None:
    assert installs_hooks(run)


@pytest.mark.parametrize(
    "run",
    ["npm ci", "uv sync", "pre-commit run -a", "./husky.sh", "echo lefthook", "npm i husky-x"],
)
def test_what_does_something_else_is_not_taken_for_it(run: str) -> None:
    assert not installs_hooks(run)


def test_hooks_that_neither_a_step_nor_a_copy_brings_are_left_out() -> None:
    found = Hooks("/shop/.git/hooks", ("commit-msg", "pre-commit", "pre-push"))
    assert omitted_hooks(found, copied=False, steps=["npm ci"]) == found.names
    assert omitted_hooks(found, copied=True, steps=[]) == ("pre-push",)
    assert omitted_hooks(found, copied=False, steps=["lefthook install"]) == ()
    assert "hooks: copy" in way_in(found, copied=False)
    assert "hooks: copy" not in way_in(found, copied=True)


def test_generated_hooks_of_the_work_tree_cannot_be_copied() -> None:
    husky = Hooks("/shop/.husky/_", ("pre-commit",), relative=True)
    assert omitted_hooks(husky, copied=True, steps=[]) == ("pre-commit",)
    assert "hooks: copy" not in way_in(husky, copied=False)
