"""Commits travel out of an instance and into it; the side that moved wins, and nothing is lost."""

import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import pytest

from runner.domain.errors import BothMoved, GitFailed
from tests.inside import Inside
from tests.real_git import commit, git, write
from tests.shop import Shop

pytestmark = pytest.mark.deep


def test_git_inside_is_clean_and_whole_from_the_start(auth: Inside) -> None:
    assert auth("git status --porcelain") == ""
    assert auth("git symbolic-ref HEAD") == "refs/heads/feature/auth"
    assert auth("git log -1 --format=%s origin/main") == "configured"
    auth("git fsck --strict")


def test_a_commit_made_inside_is_on_the_branch_here(auth: Inside) -> None:
    made = auth.commit({"login.txt": "x\n"})
    synced = auth.sync()
    assert (synced.head, synced.moved) == (made, "inside")
    assert auth.head == made
    assert git(auth.shop.repo, "log", "-1", "--format=%an %ae", made) == "Ada ada@example.com\n"
    assert git(auth.tree, "status", "--porcelain") == ""


def test_with_nothing_new_no_container_is_asked(auth: Inside) -> None:
    auth.commit({"login.txt": "x\n"})
    auth.sync()
    auth.shop.engine.calls.clear()
    assert auth.sync().moved is None
    assert auth.shop.engine.calls == []


def test_an_amended_commit_comes_out_and_the_old_one_is_kept(auth: Inside) -> None:
    old = auth.commit({"login.txt": "x\n"})
    auth.sync()
    new = auth("echo y > login.txt; git commit --quiet --all --amend -m better; git rev-parse HEAD")
    assert auth.sync().head == new
    assert auth.head == new
    assert auth.kept("was/") == {"was/1": old}
    assert git(auth.tree, "status", "--porcelain") == ""


def test_a_rebased_branch_comes_out_and_the_old_one_is_kept(auth: Inside) -> None:
    first = auth.commit({"one.txt": "1\n"}, "one")
    old = auth.commit({"two.txt": "2\n"}, "two")
    auth.sync()
    auth(f"git rebase --quiet --onto {first}~1 {first}")
    assert auth.sync().head == auth.head != old
    assert git(auth.shop.repo, "log", "--format=%s", "main..feature/auth").split() == ["two"]
    assert auth.kept("was/") == {"was/1": old}


def test_every_rewriting_keeps_what_it_gave_up(auth: Inside) -> None:
    given_up = []
    for n in range(3):
        given_up.append(auth.commit({"login.txt": f"{n}\n"}))
        auth.sync()
        auth("git reset --quiet --hard HEAD~1")
    auth.sync()
    assert sorted(auth.kept("was/").values()) == sorted(given_up)


def test_all_branches_tags_the_stash_and_a_detached_head_come_out(auth: Inside) -> None:
    auth("git checkout --quiet -b other")
    other = auth.commit({"other.txt": "x\n"})
    tag = auth("git tag -a v1 -m one; git rev-parse v1")
    stash = []
    for n in range(2):
        stash.append(auth(f"echo {n} > README.md; git stash --quiet; git rev-parse stash"))
    auth("git checkout --quiet --detach")
    detached = auth.commit({"detached.txt": "x\n"})
    auth.sync()
    assert auth.kept("inside") == {
        "inside/heads/other": other,
        "inside/tags/v1": tag,
        "inside-stash/0": stash[1],
        "inside-stash/1": stash[0],
        "inside-HEAD": detached,
    }
    git(auth.shop.repo, "fsck", "--strict")


def test_refs_named_like_what_is_mirrored_beside_them_come_out(auth: Inside) -> None:
    auth("echo x > README.md; git stash --quiet; git checkout --quiet --detach")
    detached = auth.commit({"detached.txt": "x\n"})
    names = ("HEAD/x", "other/HEAD", "stash-0")
    auth("".join(f"git update-ref refs/{name} HEAD;" for name in names))
    auth.sync()
    stash = auth("git rev-parse stash")
    mirrored = {f"inside/{name}": detached for name in names}
    assert auth.kept("inside") == {
        **mirrored, "inside-HEAD": detached, "inside-stash/0": stash
    }  # fmt: skip
    auth("git stash drop --quiet; git update-ref -d refs/HEAD/x")
    auth("git update-ref refs/HEAD HEAD~1; git update-ref refs/stash/0 HEAD")
    auth.sync()
    assert auth.kept("inside") == {
        "inside/HEAD": auth("git rev-parse HEAD~1"), "inside/stash/0": detached,
        "inside/other/HEAD": detached, "inside/stash-0": detached, "inside-HEAD": detached,
    }  # fmt: skip


def test_packed_refs_and_a_gc_inside_come_out_as_well(auth: Inside) -> None:
    made = auth.commit({"login.txt": "x\n"})
    auth("git branch other; git tag v1; git pack-refs --all; git gc --quiet")
    assert auth.sync().head == made
    assert auth.kept("inside/") == {"inside/heads/other": made, "inside/tags/v1": made}


def test_a_branch_deleted_inside_is_kept(auth: Inside) -> None:
    auth("git checkout --quiet -b other")
    other = auth.commit({"other.txt": "x\n"})
    auth.sync()
    auth("git checkout --quiet feature/auth; git branch --quiet -D other")
    auth.sync()
    assert auth.kept("inside/") == {}
    assert auth.kept("was/") == {"was/1": other}


def test_a_branch_can_become_a_folder_of_branches(auth: Inside) -> None:
    auth("git branch side")
    auth.sync()
    auth("git branch -D side; git branch side/one")
    auth.sync()
    assert list(auth.kept("inside/")) == ["inside/heads/side/one"]


def test_a_branch_name_with_a_line_separator_is_a_name_as_any(auth: Inside) -> None:
    auth("git branch 'a\u2028b\x85c'")
    auth.sync()
    assert auth.sync().refs == 0
    auth("git branch -D 'a\u2028b\x85c'")
    assert auth.sync().refs == 1


def test_a_commit_made_here_goes_in(auth: Inside) -> None:
    made = commit(auth.tree, {"here.txt": "x\n"})
    synced = auth.sync()
    assert (synced.head, synced.moved, synced.later) == (made, "host", False)
    assert auth("git rev-parse HEAD") == made
    assert auth("git status --porcelain") == ""
    assert auth.sync().moved is None


def test_what_is_rewritten_here_goes_in_and_the_old_is_kept(auth: Inside) -> None:
    old = auth.commit({"login.txt": "x\n"})
    auth.sync()
    git(auth.tree, "commit", "--quiet", "--amend", "--message", "better")
    assert auth.sync().moved == "host"
    assert auth("git log -1 --format=%s") == "better"
    assert old in auth.kept("was/").values()


def test_a_commit_made_here_while_it_is_down_goes_in_at_the_next_up(auth: Inside) -> None:
    auth.shop.down("auth")
    made = commit(auth.tree, {"here.txt": "x\n"})
    assert auth.sync().later
    auth.shop.up("auth")
    assert auth("git rev-parse HEAD") == made
    assert auth("git status --porcelain") == ""


def test_commits_of_both_sides_in_turn_all_arrive(auth: Inside) -> None:
    for n in range(3):
        auth.commit({f"inside{n}.txt": "x\n"})
        auth.sync()
        commit(auth.tree, {f"here{n}.txt": "x\n"})
        auth.sync()
    assert auth("git rev-list --count origin/main..HEAD") == "6"
    assert auth("git rev-parse HEAD") == auth.head
    assert auth.kept("was/") == {}


def test_what_is_uncommitted_stays_as_it_is_on_the_way_in(auth: Inside) -> None:
    write(auth.tree, {"README.md": "changed\n", "new.txt": "new\n"})
    commit(auth.tree, {"here.txt": "x\n"})
    auth.sync()
    assert auth("git status --porcelain").splitlines() == ["M README.md", "?? new.txt"]


def both_moved(auth: Inside) -> tuple[str, str]:
    """(inside, here): the commits that the branch has moved to on both sides."""
    here = commit(auth.tree, {"here.txt": "x\n"})
    return auth.commit({"inside.txt": "x\n"}), here


def test_where_both_moved_both_commits_are_named_and_nothing_moves(auth: Inside) -> None:
    inside, here = both_moved(auth)
    before = everything(auth)
    error = auth.refused()
    assert isinstance(error, BothMoved)
    assert inside[:10] in error.message
    assert here[:10] in error.message
    assert "treedock sync auth --keep inside" in error.hint
    assert "--keep host" in error.hint
    assert everything(auth) == before
    assert auth("git rev-parse HEAD") == inside


def test_the_inside_can_be_kept_and_what_was_here_stays_as_a_ref(auth: Inside) -> None:
    inside, here = both_moved(auth)
    assert auth.sync("inside").head == inside
    assert auth.head == inside
    assert auth.kept("was/") == {"was/1": here}
    assert git(auth.tree, "status", "--porcelain") == "?? here.txt\n"


def test_the_host_can_be_kept_and_what_was_inside_stays_as_a_ref(auth: Inside) -> None:
    inside, here = both_moved(auth)
    assert auth.sync("host").head == here
    assert auth("git rev-parse HEAD") == here
    assert auth.kept("was/") == {"was/1": inside}
    assert auth("git status --porcelain") == "?? inside.txt"
    assert auth.sync().moved is None


def test_the_host_can_be_kept_while_the_instance_is_down(auth: Inside) -> None:
    inside, here = both_moved(auth)
    auth.shop.down("auth")
    synced = auth.sync("host")
    assert (synced.head, synced.later) == (here, False)
    assert auth.sync().moved is None
    assert auth.kept("was/") == {"was/1": inside}
    assert len(auth.shop.engine.containers()) == 1


def test_changes_staged_here_stop_a_commit_of_the_same_file(auth: Inside) -> None:
    write(auth.tree, {"README.md": "staged\n"})
    git(auth.tree, "add", "README.md")
    made = auth.commit({"README.md": "committed\n"})
    before = everything(auth)
    error = auth.refused()
    assert "changes are staged" in error.message
    assert "git -C" in error.hint
    assert everything(auth) | {"objects": []} == before | {"objects": []}  # they did no harm
    git(auth.tree, "reset", "--quiet")
    assert auth.sync().head == made
    assert (auth.tree / "README.md").read_text() == "committed\n"


def test_changes_staged_inside_stop_a_commit_from_here(auth: Inside) -> None:
    auth("echo staged > README.md; git add README.md")
    commit(auth.tree, {"README.md": "committed\n"})
    assert "changes are staged inside" in auth.refused().message
    assert auth("git diff --cached --name-only") == "README.md"


def test_with_another_branch_inside_nothing_goes_in(auth: Inside) -> None:
    auth("git switch --quiet -c other")
    made = commit(auth.tree, {"here.txt": "x\n"})
    assert "another branch is checked out inside" in auth.refused().message
    auth("git switch --quiet feature/auth")
    assert auth.sync().head == made


def test_while_a_rebase_is_in_progress_inside_nothing_goes_in(auth: Inside) -> None:
    auth.commit({"README.md": "one\n"})
    auth.commit({"README.md": "two\n"})
    auth.sync()
    assert auth.run("git rebase --onto HEAD~2 HEAD~1").code != 0
    commit(auth.tree, {"here.txt": "x\n"})
    error = auth.refused()
    assert "a rebase is in progress inside" in error.message
    assert "treedock update auth --continue" in error.hint


def test_while_a_rebase_is_in_progress_its_commits_come_out(auth: Inside) -> None:
    auth.commit({"one.txt": "x\n"})
    head = auth.commit({"two.txt": "x\n"})
    auth("git -c sequence.editor='sed -i s/pick/edit/' rebase --quiet -i HEAD~1")
    auth.commit({"between.txt": "x\n"})
    assert auth.sync().head == head
    assert auth.kept("inside") == {"inside-HEAD": auth("git rev-parse HEAD")}


def test_commits_that_base_holds_cannot_be_rewritten_away(auth: Inside) -> None:
    old = auth.commit({"login.txt": "x\n"})
    auth.sync()
    git(auth.shop.repo, "merge", "--quiet", "--ff-only", "feature/auth")
    auth("git commit --quiet --amend -m better")
    error = auth.refused()
    assert "commits that main holds already are gone" in error.message
    assert (auth.head, auth.kept("was/")) == (old, {})
    auth(f"git reset --quiet --soft {old[:10]}")
    assert auth.sync().head == old


def test_a_branch_that_points_at_no_commit_is_refused(auth: Inside) -> None:
    before = everything(auth)
    auth('echo x | git hash-object -w --stdin > "$GIT_DIR/refs/heads/feature/auth"')
    assert "which is no commit" in auth.refused().message
    assert everything(auth)["refs"] == before["refs"]


def test_a_gone_branch_is_said_with_its_last_commit(auth: Inside) -> None:
    from runner.domain.errors import NotFound

    made = auth.commit({"login.txt": "x\n"})
    auth.sync()
    git(auth.shop.repo, "update-ref", "-d", "refs/heads/feature/auth")
    with pytest.raises(NotFound, match="no branch feature/auth") as caught:
        auth.sync()
    assert made in caught.value.hint


# --- what is not let in ---------------------------------------------------------------------


def everything(auth: Inside) -> dict[str, object]:
    """What a sync that is refused must leave alone: refs, objects and the index here."""
    repo = auth.shop.repo
    objects = repo / ".git/objects"
    return {
        "refs": git(repo, "for-each-ref"),
        "objects": sorted(str(p) for p in objects.rglob("*") if p.is_file()),
        "index": git(auth.tree, "ls-files", "--stage"),
    }


def refused_whole(auth: Inside, why: str, *, aside: bool = True) -> None:
    """A sync is refused for this reason, changes nothing here, and keeps the pack aside."""
    before = everything(auth)
    error = auth.refused()
    assert why in error.message
    assert error.message.startswith("auth: ")
    assert everything(auth) == before
    kept = [str(p) for p in (auth.folder / "refused").glob("*.pack")]
    assert [path in error.hint for path in kept] == [True] * aside
    assert list((auth.folder / "quarantine").glob("*")) == []


def commit_tree_of(auth: Inside, *entries: tuple[bytes, bytes, str]) -> str:
    """Commit, inside, a tree made by hand of (mode, name, id) on top of HEAD."""
    raw = b"".join(mode + b" " + name + b"\0" + bytes.fromhex(id) for mode, name, id in entries)
    (auth.tree / "raw").write_bytes(raw)
    tree = auth("git hash-object -w -t tree --literally raw; rm raw")
    made = auth(f"git commit-tree {tree} -p HEAD -m made-by-hand")
    auth(f"git update-ref refs/heads/feature/auth {made}")
    return tree


def blob(auth: Inside) -> str:
    return auth("echo x | git hash-object -w --stdin")


@pytest.mark.parametrize("name", [b".git", b".GIT", b"git~1", b"..", b"a/b"])
def test_a_tree_with_a_name_that_git_forbids_is_refused_and_kept_aside(
    auth: Inside, name: bytes
) -> None:
    commit_tree_of(auth, (b"100644", name, blob(auth)))
    refused_whole(auth, "git found something wrong with the objects from inside")


def test_a_symlink_as_gitmodules_is_refused(auth: Inside) -> None:
    commit_tree_of(auth, (b"120000", b".gitmodules", blob(auth)))
    refused_whole(auth, "git found something wrong")


def test_a_submodule_is_refused_by_its_name(auth: Inside) -> None:
    auth(f"git update-index --add --cacheinfo 160000,{auth.head},planted; git commit -qm sub")
    refused_whole(auth, "'planted' a submodule")


def test_a_submodule_is_refused_in_a_commit_on_the_way_and_on_any_branch(auth: Inside) -> None:
    auth("git checkout --quiet -b other")
    auth(f"git update-index --add --cacheinfo 160000,{auth.head},planted; git commit -qm sub")
    auth("git rm --quiet --cached planted; git commit -qm gone")
    refused_whole(auth, "'planted' a submodule")


def test_a_submodule_that_a_merge_brings_in_is_refused(auth: Inside) -> None:
    auth("git checkout --quiet -b other")
    auth.commit({"other.txt": "x\n"})
    auth("git checkout --quiet feature/auth")
    auth.commit({"login.txt": "x\n"})
    auth("git merge --quiet --no-commit other")
    auth(f"git update-index --add --cacheinfo 160000,{auth.head},planted; git commit -qm merge")
    refused_whole(auth, "'planted' a submodule")


def test_a_submodule_in_objects_that_are_here_already_is_refused(auth: Inside) -> None:
    repo = auth.shop.repo
    git(repo, "update-index", "--add", "--cacheinfo", f"160000,{auth.head},planted")
    tree = git(repo, "write-tree").strip()
    git(repo, "reset", "--quiet")
    mine = git(repo, "commit-tree", tree, "-p", "main", "-m", "mine").strip()
    auth(f"git update-ref refs/heads/feature/auth {mine}")
    refused_whole(auth, "'planted' a submodule", aside=False)


def test_trees_that_name_more_files_than_any_disk_holds_are_refused_in_time(auth: Inside) -> None:
    tree = auth("echo x > x; git add x; git write-tree")
    for _ in range(9):
        listed = "".join(f"040000 tree {tree}\\t{n}\\n" for n in range(10))
        tree = auth(f"printf '{listed}' | git mktree")
    auth(f"git update-ref refs/heads/feature/auth $(git commit-tree {tree} -p HEAD -m bomb)")
    refused_whole(auth, "too much")


def test_more_than_the_limit_is_refused_packed(auth: Inside) -> None:
    auth.shop.configure(limits={"bundle": "64k", "disk_free": 0})
    auth("head -c 200000 /dev/urandom > large; git add large; git commit -qm large")
    refused_whole(auth, "larger than limits.bundle", aside=False)  # the pack was cut off


def test_more_than_the_limit_is_refused_unpacked(auth: Inside) -> None:
    auth.shop.configure(limits={"bundle": "64k", "disk_free": 0})
    auth("head -c 200000 /dev/zero > large; git add large; git commit -qm large")
    refused_whole(auth, "larger than limits.bundle")


def test_commits_with_missing_objects_are_refused(auth: Inside) -> None:
    gone = "1" * 40
    commit_tree_of(auth, (b"100644", b"gone.txt", gone))
    refused_whole(auth, "git inside failed", aside=False)


def test_a_ref_to_a_missing_object_is_refused(auth: Inside) -> None:
    auth(f'echo {"1" * 40} > "$GIT_DIR/refs/heads/gone"')
    refused_whole(auth, "git inside failed", aside=False)


def test_a_refused_commit_can_be_taken_back_and_the_next_one_comes_out(auth: Inside) -> None:
    commit_tree_of(auth, (b"100644", b".git", blob(auth)))
    auth.refused()
    auth(f"git update-ref refs/heads/feature/auth {auth.head}")
    made = auth.commit({"login.txt": "x\n"})
    assert auth.sync().head == made


def test_only_the_last_refused_packs_are_kept(auth: Inside) -> None:
    for n in range(5):
        auth(f"git update-index --add --cacheinfo 160000,{auth.head},p{n}; git commit -qm {n}")
        auth.refused()
    assert len(list((auth.folder / "refused").iterdir())) <= 3


# --- a treedock that is killed --------------------------------------------------------------


def killed_after(auth: Inside, step: int) -> int:
    """The exit code of a sync, in a process of its own, that kills itself after this step."""

    def run() -> None:
        os.environ["TREEDOCK_KILL_AFTER"] = str(step)
        auth.sync()

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def test_a_sync_that_is_killed_anywhere_is_completed_by_the_next(auth: Inside) -> None:
    auth("git checkout --quiet -b other; git checkout --quiet feature/auth")
    auth.sync()
    for step in range(1, 60):
        auth.commit({"login.txt": f"{step}\n"})
        old = auth.head
        new = auth("git branch -f other; git commit -q --amend -m again; git rev-parse HEAD")
        code = killed_after(auth, step)
        git(auth.shop.repo, "fsck", "--no-dangling")
        git(auth.shop.repo, "cat-file", "-e", old)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        assert auth.sync().head == auth.head == new
        assert git(auth.tree, "status", "--porcelain") == ""
        assert list((auth.folder / "quarantine").iterdir()) == []
    assert 10 < step < 59


def test_a_sync_into_the_instance_that_is_killed_anywhere_is_completed_by_the_next(
    auth: Inside,
) -> None:
    for step in range(1, 60):
        made = commit(auth.tree, {"here.txt": f"{step}\n"})
        code = killed_after(auth, step)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        assert auth.sync().head == made == auth("git rev-parse HEAD") == auth.kept()["head"]
        assert auth("git status --porcelain") == ""
    assert 1 < step < 59


def test_objects_that_arrived_without_their_refs_are_used_by_the_next_sync(auth: Inside) -> None:
    made = auth.commit({"login.txt": "x\n"})
    git(auth.shop.repo, "update-ref", "refs/treedock/auth/inside", auth.head)  # in the way
    auth("git branch other")
    with pytest.raises(GitFailed):
        auth.sync()
    assert auth.head != made
    assert git(auth.tree, "status", "--porcelain") == "?? login.txt\n"
    git(auth.shop.repo, "update-ref", "-d", "refs/treedock/auth/inside")
    assert auth.sync().head == made


# --- while the main repository moves --------------------------------------------------------


def test_gc_in_the_main_repository_leaves_the_instance_whole(auth: Inside, shop: Shop) -> None:
    auth.commit({"login.txt": "x\n"})
    commit(shop.repo, {"more.txt": "x\n"})
    git(shop.repo, "gc", "--quiet", "--prune=now")
    auth("git fsck --strict")
    assert auth("git status --porcelain") == ""


def test_a_forced_base_and_gc_leave_the_instance_whole(shop: Shop) -> None:
    for n in range(4):
        commit(shop.repo, {"more.txt": f"{n}\n"})
    shop.up("auth")
    auth = Inside(shop)
    assert auth.kept("base") == {"base": git(shop.repo, "rev-parse", "main").strip()}
    auth.commit({"login.txt": "x\n"})
    auth.sync()
    auth("git commit --quiet --amend -m again; git gc --quiet --prune=now")
    auth.sync()
    forget(shop.repo, "HEAD~3")
    auth("git fsck --strict")
    auth("git log --stat origin/main HEAD")
    assert auth.commit({"two.txt": "x\n"}) == auth.sync().head


def test_a_branch_inside_outlives_the_one_that_it_was_made_from(auth: Inside, shop: Shop) -> None:
    git(shop.repo, "switch", "--quiet", "-c", "sibling")
    sibling = commit(shop.repo, {"sibling.txt": "x\n"})
    git(shop.repo, "switch", "--quiet", "main")
    auth(f"git branch borrowed {sibling}")
    auth.sync()
    git(shop.repo, "branch", "--quiet", "-D", "sibling")
    forget(shop.repo, "HEAD")
    auth("git fsck --strict")
    assert auth("git log -1 --format=%H borrowed") == sibling


def forget(repo: Path, main: str) -> None:
    """Force base to a commit and drop all that no ref holds, at once."""
    git(repo, "reset", "--quiet", "--hard", main)
    git(repo, "reflog", "expire", "--expire=now", "--expire-unreachable=now", "--all")
    git(repo, "gc", "--quiet", "--prune=now")


def test_a_worktree_that_was_deleted_comes_back_as_the_instance_had_committed(
    auth: Inside,
) -> None:
    auth.commit({"feature.txt": "x\n"})
    shutil.rmtree(auth.tree)
    auth.shop.up("auth")
    assert (auth.tree / "feature.txt").read_text() == "x\n"
    assert git(auth.tree, "status", "--porcelain") == ""
    assert auth("git status --porcelain") == ""
