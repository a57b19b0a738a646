"""Repositories planted in the worktree: git on this machine goes into them by itself."""

import pytest

from tests.hostile.layouts import House, Naive, plain_git

pytestmark = pytest.mark.engine

_MODULE = (
    "git init -q sub; echo a >sub/a; git -C sub add a; git -C sub commit -qm a; "
    "echo b >>sub/a; "
    'git -C sub config core.fsmonitor "touch $CANARY; :"; '
    'git -C sub config filter.x.clean "touch $CANARY; cat"; '
    'git -C sub config diff.external "touch $CANARY; :"; echo "* filter=x" >sub/.gitattributes; '
    "printf '[submodule \"sub\"]\\n\\tpath = sub\\n\\turl = ./sub\\n\\tignore = none\\n' "
    ">.gitmodules; "
)
STAGED = _MODULE + (
    "git update-index --add --cacheinfo 160000,$(git -C sub rev-parse HEAD),sub; "
    "git add .gitmodules"
)
COMMITTED = STAGED + "; git commit -qm submodule"
NESTED = (
    "git init -q nested; echo a >nested/a; "
    'git -C nested config core.fsmonitor "touch $CANARY; :"; '
    "git init -q --bare bare; git -C bare config core.bare false; "
    'git -C bare config core.fsmonitor "touch $CANARY; :"; '
    'git -C bare config core.worktree "$TREE"'
)


@pytest.mark.parametrize("script", [STAGED, COMMITTED], ids=["staged", "committed"])
def test_naively_a_planted_submodule_runs_code_in_a_plain_status(naive: Naive, script: str) -> None:
    naive.attack(script)
    naive.git("status")
    assert naive.canary.exists()


@pytest.mark.parametrize("folder", ["nested", "bare"])
def test_naively_a_planted_repository_runs_code_for_who_stands_in_it(
    naive: Naive, folder: str
) -> None:
    naive.attack(NESTED)
    plain_git(naive.tree / folder, "status")
    assert naive.canary.exists()


def test_no_verb_runs_code_for_who_stands_in_a_planted_repository(house: House) -> None:
    house.attacked(NESTED, "nested")
    for folder in ("nested", "bare"):
        for arguments in (("list",), ("status",), ("sync",), ("review",), ("clean", "--dry-run")):
            answer = house.cli(*arguments, cwd=house.tree("auth") / folder)
            house.require_calm(f"{arguments[0]} in {folder}", answer)
    house.look()


def test_a_commit_with_a_submodule_is_refused_and_runs_nothing(house: House) -> None:
    before = house.head()
    house.attacked(STAGED, "staged")
    house.look()
    house.attacked("git commit -qm submodule")
    answers = house.look()
    assert answers["sync"].exit_code == 4
    assert "makes 'sub' a submodule" in answers["sync"].stderr
    assert house.head() == before
    assert plain_git(house.tree("auth"), "status") == 0
    house.require_silence("git status in the worktree")
    house.attacked("git reset -q --hard HEAD~1; rm -rf sub")
    assert house.cli("sync", "auth").exit_code == 0
