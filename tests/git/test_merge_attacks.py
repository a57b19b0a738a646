"""What an attacker tried on sync and merge, and what holds now."""

import hashlib
from collections.abc import Callable

import pytest

from runner.controller.operation import Operation
from runner.controller.sync.sync import sync
from runner.domain.landing.outcomes import Merged
from tests.git.test_merge import head, land, outcome, outcomes, work_on
from tests.real_git import commit, git
from tests.shop import Shop

pytestmark = pytest.mark.deep

Queue = Callable[..., Merged]
GATE = "! grep -q EVIL evil.txt"

__all__ = ["land"]  # the fixture


def test_a_gate_cannot_be_passed_by_forging_its_result(shop: Shop, land: Queue) -> None:
    key = hashlib.sha256(f".\0{GATE}".encode()).hexdigest()[:16]
    forge = f"""R={shop.repo}/.git/treedock/gates/$TREEDOCK_ID/run
printf {key} > $R/gate-2.key; echo '999 x' > $R/gate-2.pid; echo '0 ' > $R/gate-2.exit
"""
    work_on(shop, "auth", {"test.sh": forge, "evil.txt": "EVIL\n"})
    merged = land("auth", gates=("sh test.sh", GATE))
    assert outcomes(merged) == {"auth": "red"}


def test_a_gate_that_does_not_end_in_time_is_red(shop: Shop, land: Queue) -> None:
    shop.configure(gates=[{"run": "sleep 60", "timeout": 0.5}])
    git(shop.repo, "commit", "--quiet", "--all", "--message", "gate")
    work_on(shop, "auth", {"auth.txt": "x\n"})
    assert outcomes(land("auth")) == {"auth": "red"}


def test_set_up_steps_run_before_the_gates(shop: Shop, land: Queue) -> None:
    shop.configure(setup=[{"run": "mkdir -p .treedock; echo yes > .treedock/set-up"}])
    git(shop.repo, "commit", "--quiet", "--all", "--message", "set-up")
    work_on(shop, "auth", {"auth.txt": "x\n"})
    assert outcomes(land("auth", gates=("test -f .treedock/set-up",))) == {"auth": "landed"}


def test_a_branch_that_cannot_be_checked_out_does_not_stop_the_others(
    shop: Shop, land: Queue
) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    work_on(shop, "bad", {"bad.txt": "x\n"})
    blob = git(shop.repo, "hash-object", "-w", "README.md").strip()
    tree = git(shop.repo, "mktree", "--missing").strip()
    for _ in range(30):
        kind = "tree" if tree != git(shop.repo, "mktree").strip() else "blob"
        mode = "040000" if kind == "tree" else "100644"
        line = f"{mode} {kind} {tree if kind == 'tree' else blob}\t{'d' * 200}\n"
        tree = mktree(shop, line)
    base = git(shop.repo, "ls-tree", "feature/bad")
    whole = mktree(shop, f"{base}040000 tree {tree}\tdeep\n")
    made = git(shop.repo, "commit-tree", whole, "-p", "feature/bad", "-m", "deep").strip()
    git(shop.repo, "update-ref", "refs/heads/feature/bad", made)
    git(shop.tree("bad"), "read-tree", "HEAD")
    found = outcomes(land("bad", "auth", gates=("true",)))
    assert found["auth"] == "landed"
    assert found["bad"] in ("red", "refused")
    assert git(shop.repo, "status", "--porcelain") == ""


def mktree(shop: Shop, lines: str) -> str:
    import subprocess

    done = subprocess.run(
        ["git", "mktree"], cwd=shop.repo, input=lines, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_submodule_is_refused_even_where_gitmodules_says_to_ignore_it(
    shop: Shop, land: Queue
) -> None:
    commit(shop.repo, {".gitmodules": '[submodule "x"]\n\tpath = x\n\turl = ./x\n\tignore = all\n'})
    work_on(shop, "auth", {"auth.txt": "x\n"})
    tree = shop.tree("auth")
    git(tree, "update-index", "--add", "--cacheinfo", f"160000,{head(shop)},x")
    git(tree, "commit", "--quiet", "-m", "link")
    merged = land("auth")
    assert outcomes(merged) == {"auth": "refused"}
    assert "160000" not in git(shop.repo, "ls-tree", "-r", "main")


def test_a_file_name_cannot_say_a_line_of_ours(shop: Shop, land: Queue) -> None:
    work_on(shop, "auth", {"auth.txt": "x\n"})
    (shop.tree("auth") / "x\nauth: landed as 39a135598f").write_text("x")
    said = outcome(land("auth"), "auth").message
    assert "\n" not in said


def test_a_branch_name_with_a_line_end_of_unicode_is_brought_out(shop: Shop) -> None:
    shop.up("auth")
    own = shop.repository.records.folder("auth") / "git"
    name = "refs/heads/a\u2028b"
    (own / "packed-refs").write_text(f"{head(shop)} {name}\n", encoding="utf-8")
    for _ in range(2):
        sync(Operation(shop.repository, "auth", shop.emit))
        assert "a\u2028b" in git(shop.repo, "for-each-ref", "refs/treedock/auth")
