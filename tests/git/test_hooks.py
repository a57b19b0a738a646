"""Hooks of the main repository and the inside."""

from pathlib import Path

import pytest

from runner.controller.onboarding.doctor import examine
from runner.domain.instance.container import GIT
from runner.domain.instance.health import Finding
from tests.inside import Inside
from tests.real_git import commit, git, write
from tests.shop import Shop

pytestmark = pytest.mark.deep


def hook(shop: Shop, name: str, script: str, folder: str = ".git/hooks") -> Path:
    write(shop.repo, {f"{folder}/{name}": f"#!/bin/sh\n{script}\n"})
    path = shop.repo / folder / name
    path.chmod(0o755)
    return path


def told(shop: Shop) -> list[str]:
    return [text for text in shop.warnings if "do not run inside" in text]


def finding(shop: Shop) -> Finding:
    found = examine(shop.project, fix=False, emit=shop.emit)
    return next(one for one in found if one.check == "hooks")


def test_hooks_that_do_not_run_inside_are_named_once_with_the_way_in(shop: Shop) -> None:
    shop.bring("first")
    assert told(shop) == []
    assert finding(shop).status == "ok"
    for name in ("pre-commit", "pre-push"):
        hook(shop, name, "exit 1")
    hook(shop, "post-merge", 'git lfs post-merge "$@"')
    (shop.repo / ".git/hooks/commit-msg").write_text("not executable")
    shop.bring("auth", "payments")
    (said,) = told(shop)
    assert f"{shop.repo}/.git/hooks do not run inside: pre-commit, pre-push" in said
    assert "pre-commit install" in said
    assert "hooks: copy" in said
    assert finding(shop).status == "warning"
    assert "hooks: copy" in finding(shop).way_out
    shop.bring("auth", "payments")
    assert told(shop) == []


def test_a_set_up_step_that_installs_them_is_the_way_in(shop: Shop) -> None:
    hook(shop, "pre-commit", "exit 1")
    # The fake engine has no cover over the worktree's .git, so the place is told.
    run = """hooks=$OWN_GIT/hooks && mkdir -p "$hooks" &&
        printf '#!/bin/sh\\nexit 1' >"$hooks/pre-commit" && chmod +x "$hooks/pre-commit" &&
        : pre-commit install"""
    shop.configure(env={"set": {"OWN_GIT": GIT}})
    shop.configure(setup=[{"run": "echo first >>ran"}, {"run": run}, {"run": "echo last >>ran"}])
    shop.bring("auth")
    assert told(shop) == []
    assert finding(shop).status == "ok"
    auth = Inside(shop)
    assert auth.run("git commit -q --allow-empty -m x").code != 0
    # It is installed again into a git directory that was made again, with what comes behind it.
    (auth.own_git / "HEAD").write_text("garbage")
    shop.bring("auth")
    assert auth.run("git commit -q --allow-empty -m x").code != 0
    assert (auth.tree / "ran").read_text().split() == ["first", "last", "last"]


def test_copied_hooks_judge_commits_inside_and_none_of_treedocks_own(shop: Shop) -> None:
    hook(shop, "pre-commit", "test ! -e forbidden || { echo not this >&2; exit 1; }")
    hook(shop, "commit-msg", 'echo checked >> "$1"')
    hook(shop, "pre-merge-commit", "exit 1")
    shop.configure(git={"hooks": "copy"})
    shop.bring("auth")
    assert "pre-merge-commit" in told(shop)[0]
    assert "pre-commit" not in told(shop)[0].replace("pre-commit install", "")
    auth = Inside(shop)
    assert sorted(path.name for path in (auth.own_git / "hooks").iterdir()) == [
        "commit-msg", "pre-commit"
    ]  # fmt: skip
    auth.commit({"one.txt": "1\n"}, "one")
    assert auth("git log -1 --format=%B") == "one\nchecked"
    assert auth.run("touch forbidden; git commit -q --allow-empty -m two").code != 0
    # A merge that treedock makes inside runs none, nor does the rebase that it continues.
    hook(shop, "pre-commit", "exit 1")
    hook(shop, "commit-msg", "exit 1")
    auth("rm forbidden")
    shop.bring("auth")  # with the hooks as they are now
    git(shop.repo, "commit", "-q", "--no-verify", "--allow-empty", "-m", "base moves")
    assert auth.update("merge").changed
    assert auth.run("git commit -q --allow-empty -m three").code != 0


def test_generated_hooks_in_the_work_tree_are_named_and_tracked_ones_are_not(shop: Shop) -> None:
    hook(shop, "pre-commit", "exit 0", folder=".husky/_")
    (shop.repo / ".husky/_/.gitignore").write_text("*")
    git(shop.repo, "config", "core.hooksPath", ".husky/_")
    shop.bring("auth")
    (said,) = told(shop)
    assert f"{shop.repo}/.husky/_ do not run inside: pre-commit" in said
    assert "hooks: copy" not in said
    hook(shop, "pre-commit", "exit 0", folder=".tracked")
    git(shop.repo, "config", "core.hooksPath", ".tracked")
    commit(shop.repo, {".tracked/pre-commit": "#!/bin/sh\n"})
    shop.bring("payments")
    assert told(shop) == []
