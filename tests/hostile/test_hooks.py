"""Hooks: planted anywhere that git on this machine could look for them."""

from collections.abc import Callable

import pytest

from tests.hostile.layouts import House, Naive, plain_git
from tests.real_git import git

pytestmark = pytest.mark.engine

_NAMES = "pre-commit post-commit post-checkout post-merge post-index-change reference-transaction"
_PLANT = (
    f'plant() {{ mkdir -p "$1"; for name in {_NAMES}; do '
    'printf \'#!/bin/sh\\ntouch "%s"\\n\' "$CANARY" >"$1/$name"; chmod +x "$1/$name"; done; }; '
)

PLACES = {
    "the repository's folder": 'plant "$(git rev-parse --git-common-dir)/hooks"',
    "the worktree's git directory": 'plant "$(git rev-parse --git-dir)/hooks"; '
    'plant "$(git rev-parse --git-path hooks)"',
    "a folder that is configured": 'plant .hooks; git config core.hooksPath "$TREE/.hooks"',
    "a folder of the home's configuration": 'plant "$HOME/hooks"; '
    'git config --global core.hooksPath "$HOME/hooks"',
    "a template": 'plant "$HOME/template/hooks"; plant "$(git rev-parse --git-common-dir)/hooks"; '
    'git config --global init.templateDir "$HOME/template"',
    "the branch's .husky": "plant .husky",
}
_COMMIT = ("commit", "--allow-empty", "--message", "x")


@pytest.fixture(scope="module")
def house(build: Callable[..., House]) -> House:
    """A project whose own configuration has a relative core.hooksPath, as husky sets it."""
    return build(git_config={"core.hooksPath": ".husky"})


@pytest.mark.parametrize("name", PLACES)
def test_naively_a_hook_that_is_planted_inside_runs_on_this_machine(
    naive: Naive, name: str
) -> None:
    if "husky" in name:
        git(naive.folder, "config", "core.hooksPath", ".husky")
    naive.attack(_PLANT + PLACES[name])
    naive.git(*_COMMIT)
    assert naive.canary.exists()


def test_naively_a_merge_runs_the_hook_that_the_branch_brings(naive: Naive) -> None:
    git(naive.folder, "config", "core.hooksPath", ".husky")
    naive.attack(_PLANT + "plant .husky; git -c core.hooksPath= add .husky")
    naive.attack("git -c core.hooksPath= commit -qm hooks")
    plain_git(naive.folder, "merge", "feature/auth")
    assert naive.canary.exists()


def test_no_hook_that_is_planted_inside_runs_on_this_machine(house: House) -> None:
    for name, script in PLACES.items():
        house.attacked(_PLANT + script, name)
    house.look()
    assert plain_git(house.tree("auth"), *_COMMIT) == 0
    house.require_silence("git commit in the worktree")
    house.look()


def test_landing_runs_no_hook_that_the_branch_brings_and_review_shows_it(house: House) -> None:
    script = "plant .husky; git -c core.hooksPath= add .husky; git -c core.hooksPath= commit -qm x"
    house.up("lands")
    assert house.attack(_PLANT + script, instance="lands").exit_code == 0
    review = house.cli("review", "lands", "--stat")
    flagged = review.stdout.partition("\nCommits:")[0]
    assert ".husky/post-merge" in flagged
    answer = house.cli("merge", "lands", "--no-gate", timeout=300)
    assert answer.exit_code == 0, answer.stderr
    assert (house.folder / ".husky/post-merge").exists()
    house.require_calm("merge", answer)
    house.before = house.state()
