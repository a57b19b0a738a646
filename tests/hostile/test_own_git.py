"""The instance's own git directory, all of which code inside can write."""

import subprocess
from pathlib import Path

import pytest

from tests.hostile.layouts import House, Naive, plain_git
from tests.real_git import commit, git, make_repository

pytestmark = pytest.mark.engine

_COMMON = '"$(git rev-parse --git-common-dir)"'
_EVIL = (
    "git init -q --bare .evil; git -C .evil config core.bare false; "
    'git -C .evil config core.fsmonitor "touch $CANARY; :"; '
)


def dangling(folder: Path) -> str:
    """A commit of the person that no ref holds any more, only the reflog."""
    lost = commit(folder, {"kept.txt": "an hour of work\n"}, "lost")
    git(folder, "reset", "--quiet", "--hard", "HEAD~1")
    return lost


def has(folder: Path, name: str) -> bool:
    """Whether a repository has this object."""
    return plain_git(folder, "cat-file", "-e", name) == 0


class TestNaively:
    """What each of these does where the main repository is mounted."""

    def test_a_rewritten_commondir_runs_code_on_this_machine(self, naive: Naive) -> None:
        naive.attack(_EVIL + 'echo "$TREE/.evil" >"$(git rev-parse --git-dir)/commondir"')
        naive.git("status")
        assert naive.canary.exists()

    def test_a_rewritten_gitdir_loses_the_worktree(self, naive: Naive) -> None:
        naive.attack('echo /nowhere/.git >"$(git rev-parse --git-dir)/gitdir"')
        git(naive.folder, "worktree", "prune")
        assert naive.git("status") != 0

    def test_pruning_forgets_the_worktrees_that_are_not_mounted(
        self, naive: Naive, tmp_path: Path
    ) -> None:
        git(naive.folder, "worktree", "add", "--quiet", str(tmp_path / "other"))
        naive.attack("git worktree prune")
        assert plain_git(tmp_path / "other", "status") != 0

    def test_a_collection_deletes_what_only_the_reflog_holds(self, naive: Naive) -> None:
        lost = dangling(naive.folder)
        naive.attack("git reflog expire --expire=now --all; git gc -q --prune=now")
        assert not has(naive.folder, lost)

    def test_refs_of_everybody_can_be_deleted_and_moved(self, naive: Naive) -> None:
        git(naive.folder, "branch", "release")
        before = git(naive.folder, "rev-parse", "main")
        naive.attack("git update-ref -d refs/heads/release; git commit -q --allow-empty -m x")
        naive.attack("git update-ref refs/heads/main HEAD")
        assert not has(naive.folder, "release")
        assert git(naive.folder, "rev-parse", "main") != before

    def test_replaced_objects_show_this_machine_another_history(self, naive: Naive) -> None:
        naive.attack("git commit -q --allow-empty -m forged; git replace main HEAD")
        assert "forged" in git(naive.folder, "log", "-1", "--format=%s", "main")

    def test_objects_can_be_deleted(self, naive: Naive) -> None:
        naive.attack(f"rm -rf {_COMMON}/objects/??")
        assert plain_git(naive.folder, "fsck") != 0

    def test_rewritten_alternates_bring_out_what_the_container_cannot_read(
        self, naive: Naive, tmp_path: Path
    ) -> None:
        secret = make_repository(tmp_path / "secret")
        taken = commit(secret, {"secret.txt": "the secret\n"})
        naive.attack(f"echo {secret}/.git/objects >>{_COMMON}/objects/info/alternates")
        assert has(naive.folder, taken)

    def test_commits_that_no_check_lets_through_are_there_at_once(self, naive: Naive) -> None:
        naive.attack(_BAD_TREE)
        assert plain_git(naive.folder, "fsck", "--strict") != 0


_BAD_TREE = (
    "blob=$(echo x | git hash-object -w --stdin); "
    'evil=$(printf "100644 blob $blob\\tconfig\\n" | git mktree); '
    'tree=$(printf "040000 tree $evil\\t.git\\n" | git mktree); '
    "git update-ref refs/heads/feature/auth $(git commit-tree -p HEAD -m bad $tree)"
)


def test_what_git_inside_deletes_and_rewrites_stays_inside(house: House) -> None:
    lost = dangling(house.folder)
    git(house.folder, "branch", "release")
    house.before = house.state()
    house.attack(_EVIL + 'echo "$TREE/.evil" >"$(git rev-parse --git-dir)/commondir"')
    house.look()
    house.attack("rm /run/treedock/git/commondir; rm -rf .evil")
    house.attack('echo /nowhere/.git >"$(git rev-parse --git-dir)/gitdir"; git worktree prune')
    house.attack("git reflog expire --expire=now --all; git gc -q --prune=now")
    house.attack("git update-ref -d refs/heads/release; git update-ref -d refs/heads/main")
    house.attack("git update-ref -d refs/remotes/origin/main; rm -rf /run/treedock/objects/*")
    house.attack("git commit -q --allow-empty -m x; git update-ref refs/heads/main HEAD")
    house.attack("git replace $(git rev-parse HEAD~1) HEAD; git push -q . HEAD:release")
    house.look()
    assert has(house.folder, lost)
    assert git(house.folder, "log", "-1", "--format=%s", "main").strip() == "configured"


def test_alternates_and_refs_bring_out_nothing_that_is_not_inside(
    house: House, tmp_path: Path
) -> None:
    secret = make_repository(tmp_path / "secret")
    taken = commit(secret, {"secret.txt": "the secret\n"})
    house.attacked(
        f"echo {secret}/.git/objects >>/run/treedock/git/objects/info/alternates; "
        f"mkdir -p /run/treedock/git/refs/heads; echo {taken} >/run/treedock/git/refs/heads/stolen"
    )
    answers = house.look()
    assert answers["sync"].exit_code != 0
    assert not has(house.folder, taken)
    house.attacked("rm /run/treedock/git/refs/heads/stolen")
    assert house.cli("sync", "auth").exit_code == 0


def test_a_branch_that_claims_to_be_a_tree_is_not_taken_over(house: House) -> None:
    before = house.head()
    tree = git(house.folder, "rev-parse", "main^{tree}").strip()
    house.attacked(f"echo {tree} >/run/treedock/git/refs/heads/feature/auth")
    answers = house.look()
    assert answers["sync"].exit_code != 0
    assert house.head() == before
    house.attacked(f"echo {before} >/run/treedock/git/refs/heads/feature/auth")
    assert house.cli("sync", "auth").exit_code == 0


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (_BAD_TREE, "git found something wrong with the objects from inside"),
        (
            "head -c 20M /dev/zero >zeros; git add -f zeros; git commit -qm zeros; rm zeros",
            "larger than limits.bundle, 4 MiB",
        ),
        (
            "head -c 6M /dev/urandom >noise; git add -f noise; git commit -qm noise; rm noise",
            "larger than limits.bundle, 4 MiB",
        ),
    ],
    ids=["a tree with .git in it", "a pack that unpacks to too much", "a pack that is too large"],
)
def test_commits_that_no_check_lets_through_do_not_come_out(
    house: House, script: str, said: str
) -> None:
    before = house.head()
    house.attacked(script)
    answers = house.look()
    assert answers["sync"].exit_code == 4
    assert said in answers["sync"].stderr
    assert house.head() == before
    house.attacked(f"git update-ref refs/heads/feature/auth {before}; git reset -q")
    assert house.cli("sync", "auth").exit_code == 0


ODD = {
    "a symlink": "ln -sfn /etc/passwd $name",
    "a FIFO": "mkfifo $name",
    "a folder": "mkdir -p $name/x",
    "10 GB": "truncate -s 10G $name",
}
_FILES = "packed-refs config index description info/exclude logs/refs/stash logs/HEAD shallow"


_LOOKING = [("status",), ("sync", "auth"), ("clean", "auth", "--dry-run"), ("up", "auth")]


@pytest.mark.parametrize("kind", ODD)
def test_odd_files_in_the_own_git_directory_hold_up_nobody(house: House, kind: str) -> None:
    house.attacked(
        "cd /run/treedock/git; mkdir -p info logs/refs refs/heads/odd; "
        f"for name in {_FILES} refs/stash refs/heads/odd/x MERGE_HEAD FETCH_HEAD ORIG_HEAD; do "
        f'rm -rf "$name"; {ODD[kind]}; done'
    )
    house.look(verbs=_LOOKING)


@pytest.mark.parametrize("kind", ODD)
def test_a_broken_head_is_said_and_mended_by_up(house: House, kind: str) -> None:
    house.attacked(f"cd /run/treedock/git; name=HEAD; rm -rf HEAD; {ODD[kind]}")
    answer = house.cli("sync", "auth")
    house.require_calm("sync", answer)
    assert answer.exit_code == 4
    assert "no git directory any more" in answer.stderr
    house.up("auth")
    inside = house.inside("auth", "git rev-parse HEAD && git status --porcelain")
    assert inside.stdout.splitlines()[:1] == [house.head()], inside.stderr


DEEP = """
import os
os.chdir("/run/treedock/git/refs/heads")
for _ in range(1500):
    os.mkdir("d")
    os.chdir("d")
"""


def test_refs_nested_without_end_hold_up_nobody(house: House) -> None:
    house.attacked(f"python3 -c '{DEEP}'")
    house.look(verbs=_LOOKING)
    house.attacked("rm -rf /run/treedock/git/refs/heads/d")


def test_refs_without_number_are_refused(house: House) -> None:
    house.attacked(
        "head=$(git rev-parse HEAD); mkdir -p /run/treedock/git/refs/heads/many; "
        "cd /run/treedock/git/refs/heads/many; for n in $(seq 2100); do echo $head >$n; done"
    )
    answers = house.look(verbs=_LOOKING)
    assert answers["sync"].exit_code == 4
    assert "more than 2000 refs" in answers["sync"].stderr
    house.attacked("rm -rf /run/treedock/git/refs/heads/many")


def test_the_objects_that_are_lent_cannot_be_written(house: House) -> None:
    for script in (
        "touch /run/treedock/objects/x",
        "rm -rf /run/treedock/objects/pack /run/treedock/objects/??",
        "mount -o remount,rw /run/treedock/objects",
        "chmod 777 /run/treedock/objects",
    ):
        assert house.attack(script).exit_code != 0, script
    house.require_unharmed()


def test_git_with_that_directory_would_run_code_here(house: House) -> None:
    """Why no verb may ever use it: the same command, given by hand."""
    house.attacked('git config core.fsmonitor "touch $CANARY; :"', "by-hand")
    folder = house.folder / ".git/treedock/instances/auth/git"
    where = [f"--git-dir={folder}", f"--work-tree={house.tree('auth')}"]
    subprocess.run(["git", *where, "status"], capture_output=True, check=False)
    assert (house.canaries / "by-hand").exists()
    (house.canaries / "by-hand").unlink()
    house.look()
