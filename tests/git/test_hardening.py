"""What a branch could bring along, and host git must not run; and work that must not get lost."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from runner.adapters.git.repository import Git
from runner.controller.data.reset import reset
from runner.controller.instance.worktree import InstanceRequest
from runner.controller.operation import Operation
from runner.controller.project import open_repository
from runner.controller.sync.sync import sync
from runner.domain.errors import (
    BranchExists,
    CommandFailed,
    Refused,
    UncommittedChanges,
    UnmergedCommits,
)
from tests.real_git import commit, git, make_repository
from tests.shop import Shop

pytestmark = pytest.mark.deep


@pytest.mark.parametrize(
    ("key", "command"),
    [
        ("filter.x.clean", "./scripts/clean.sh"),
        ("filter.x.smudge", "tools/smudge"),
        ("filter.x.process", "python filter.py"),
        ("diff.x.textconv", "sh scripts/show.sh"),
        ("merge.x.driver", "./merge %O %A %B"),
        ("lfs.extension.x.clean", "./clean %f"),
        ("lfs.customtransfer.x.path", "tools/agent"),
    ],
)
def test_a_driver_with_a_relative_path_is_refused_with_its_key(
    shop: Shop, key: str, command: str
) -> None:
    git(shop.repo, "config", key, command)
    with pytest.raises(Refused, match=key.replace(".", r"\.")):
        shop.bring("auth")
    assert not (shop.repo / "trees").exists()


@pytest.mark.parametrize("command", ["git-lfs clean -- %f", "/usr/bin/cat", "cat"])
def test_other_drivers_are_left_alone(shop: Shop, command: str) -> None:
    git(shop.repo, "config", "filter.x.clean", command)
    assert shop.up("auth").ready


def test_hooks_that_a_branch_brings_do_not_run_in_its_worktree(shop: Shop, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    git(shop.repo, "config", "core.hooksPath", ".husky")
    shop.up("auth")
    assert any("core.hooksPath is .husky" in text for text in shop.remarks)
    hook = shop.tree("auth") / ".husky" / "pre-commit"
    hook.parent.mkdir()
    hook.write_text(f"#!/bin/sh\ntouch {canary}\n")
    hook.chmod(0o755)
    commit(shop.tree("auth"), {"a.txt": "1"})
    assert not canary.exists()
    assert git(shop.repo, "config", "core.hooksPath").strip() == ".husky"


def test_a_lost_index_is_made_anew_and_the_files_stay(shop: Shop) -> None:
    shop.up("auth")
    (shop.tree("auth") / "README.md").write_text("unsaved work\n")
    Git(shop.repo / ".git").worktree_dir(shop.tree("auth")).joinpath("index").unlink()
    shop.up("auth")
    assert (shop.tree("auth") / "README.md").read_text() == "unsaved work\n"
    with pytest.raises(UncommittedChanges):
        shop.clean("auth")


def test_a_failed_reset_is_kept_and_made_good_by_the_next_up(shop: Shop) -> None:
    database = {"engine": "command", "reset": "echo good > app.db"}
    shop.configure(database=database)
    shop.up("auth")
    shop.configure(database={**database, "reset": "echo bad > app.db; exit 3"})
    with pytest.raises(CommandFailed):
        reset(shop.project, "auth", shop.emit)
    assert [view.state for view in shop.list()] == ["failed"]
    shop.configure(database=database)
    shop.up("auth")
    assert (shop.tree("auth") / "app.db").read_text() == "good\n"


def test_a_changed_step_does_not_pass_for_the_one_that_still_runs(shop: Shop) -> None:
    shop.configure(setup=[{"run": "exit 1"}])
    assert shop.refusal("auth").code == "command_failed"
    shop.configure(setup=[{"run": "echo another > made"}])
    shop.up("auth")
    assert (shop.tree("auth") / "made").read_text() == "another\n"


def test_moved_port_ranges_move_the_instance(shop: Shop) -> None:
    first = shop.up("auth").ports
    moved = {name: f"{port + 200}-{port + 204}" for name, port in first.items()}
    shop.configure(ports=moved)
    after = shop.up("auth")
    assert after.slot is not None
    assert after.ports == {name: port + 200 + after.slot for name, port in first.items()}
    assert any("port ranges have changed" in text for text in shop.remarks)


def test_branches_that_git_cannot_hold_together_are_refused(shop: Shop) -> None:
    git(shop.repo, "branch", "feature")
    error = shop.refusal("auth")
    assert isinstance(error, BranchExists)
    assert "there is a branch feature" in error.message
    assert shop.list() == []


def test_a_branch_that_only_the_origin_has_is_attached_to(shop: Shop, origin: Path) -> None:
    there = commit(shop.repo, {"theirs.txt": "1"})
    git(shop.repo, "push", "--quiet", "origin", "main:feature/auth")
    git(shop.repo, "reset", "--quiet", "--hard", "HEAD~1")
    assert "at origin" in shop.refusal("auth").message
    shop.up(InstanceRequest("auth", attach=True))
    assert git(shop.tree("auth"), "rev-parse", "HEAD").strip() == there


def test_a_damaged_record_does_not_stop_the_others(shop: Shop) -> None:
    shop.bring("auth", "search")
    (shop.repository.records.folder("auth") / "record.json").write_text("{")
    assert shop.up("payments").ready
    assert {view.id for view in shop.list()} == {"payments", "search"}
    assert any("damaged" in text for text in shop.warnings)


def test_a_refused_up_leaves_no_lock(shop: Shop) -> None:
    git(shop.repo, "branch", "feature/auth")
    shop.refusal("auth")
    assert [path.name for path in (shop.repo / ".git/treedock/locks").iterdir()] == [
        "repository.lock"
    ]


@pytest.mark.parametrize(
    "command",
    ["npm run -s strip", "make", "/usr/bin/npm run x", "sh", "/usr/bin/python3 -mjsonfmt"],
)
def test_a_driver_that_looks_into_its_folder_is_refused(shop: Shop, command: str) -> None:
    git(shop.repo, "config", "filter.x.clean", command)
    with pytest.raises(Refused, match=r"filter\.x\.clean"):
        shop.bring("auth")


@pytest.mark.parametrize("kind", ["onbranch:feature/**", "gitdir:**/worktrees/**"])
def test_a_driver_that_counts_only_in_worktrees_is_refused(
    shop: Shop, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "more").write_text('[filter "x"]\n\tclean = ./clean\n')
    git(shop.repo, "config", f"includeIf.{kind}.path", str(tmp_path / "more"))
    assert "filter.x.clean" in shop.refusal("auth").message


def test_a_driver_of_a_worktrees_own_configuration_is_refused(shop: Shop) -> None:
    shop.up("auth")
    git(shop.repo, "config", "extensions.worktreeConfig", "true")
    git(shop.tree("auth"), "config", "--worktree", "diff.x.textconv", "./show")
    with pytest.raises(Refused, match=r"diff\.x\.textconv"):
        shop.clean("auth")


def test_a_driver_that_lies_in_a_checkout_is_refused(shop: Shop, tmp_path: Path) -> None:
    strip = shop.repo / "strip"
    strip.write_text("#!/bin/sh\ncat\n")
    outside = tmp_path / "strip"
    outside.symlink_to(strip)
    for path in (strip, outside, shop.repo / "trees/auth/strip"):
        git(shop.repo, "config", "filter.x.clean", f"{path} --quiet")
        with pytest.raises(Refused, match=r"filter\.x\.clean"):
            shop.bring("auth")
    git(shop.repo, "config", "filter.x.clean", "/usr/bin/tac")
    shop.up("auth")


def test_a_known_program_is_not_looked_for_in_the_worktree(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = tmp_path / "canary"
    fake = f"#!/bin/sh\ntouch {canary}\nexec cat\n"
    commit(shop.repo, {"git-crypt": fake, "bin/git-crypt": fake, "one.bin": "1\n"})
    for name in ("git-crypt", "bin/git-crypt"):
        (shop.repo / name).chmod(0o755)
    commit(
        shop.repo, {"git-crypt": fake, "bin/git-crypt": fake, ".gitattributes": "*.bin filter=x\n"}
    )
    git(shop.repo, "config", "filter.x.smudge", "git-crypt smudge")
    monkeypatch.setenv("PATH", f".:bin:{os.environ['PATH']}:")
    shop.up("auth")
    assert not canary.exists()


def test_commits_that_differ_in_white_space_only_are_not_taken_for_merged(shop: Shop) -> None:
    shop.up("auth")
    commit(shop.tree("auth"), {"loop.py": "for x in y:\n    a()\nb()\n"})
    git(shop.repo, "merge", "--quiet", "--squash", "feature/auth")
    git(shop.repo, "commit", "--quiet", "--message", "squashed")
    commit(shop.tree("auth"), {"loop.py": "for x in y:\n    a()\n    b()\n"}, "indented")
    with pytest.raises(UnmergedCommits, match="indented"):
        shop.clean("auth")


def test_an_interrupted_clean_still_refuses_to_lose_new_work(shop: Shop) -> None:
    shop.up("auth")
    records = shop.repository.records
    records.write(replace(shop.record("auth"), cleaning=True))
    (shop.tree("auth") / "README.md").unlink()
    (shop.tree("auth") / "new.txt").write_text("made after the clean was cut off")
    with pytest.raises(UncommittedChanges, match=r"new\.txt"):
        shop.clean("auth")
    (shop.tree("auth") / "new.txt").unlink()
    shop.clean("auth")
    assert shop.list() == []


def test_very_deep_folders_can_be_cleaned(shop: Shop) -> None:
    shop.up("auth")
    make = "import os\nfor _ in range(2000):\n os.mkdir('d')\n os.chdir('d')\n"
    subprocess.run([sys.executable, "-c", make], cwd=shop.tree("auth"), check=True)
    shop.clean("auth", force=True)
    assert not (shop.repo / "trees" / "auth").exists()


def test_a_repository_planted_in_an_instance_is_never_the_project(shop: Shop) -> None:
    shop.up("auth")
    tree = shop.tree("auth")
    planted = make_repository(tree / "n")
    commit(planted, {"treedock.yaml": "version: 1\nname: planted\n"})
    shop.repository.records.remove("auth")
    assert open_repository(planted).common_dir == shop.repo / ".git"


def test_a_replaced_git_file_stops_the_container_and_is_said(shop: Shop) -> None:
    shop.up("auth")
    cover = shop.tree("auth") / ".git"
    cover.unlink()
    cover.mkdir()
    with pytest.raises(Refused, match="Its container was stopped"):
        sync(Operation(shop.repository, "auth", shop.emit))
    assert shop.engine.containers()[0].status == "exited"
