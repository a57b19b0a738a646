"""What `clean` is forced to take away stays in an archive, and comes back from it."""

import json
import os
import shutil
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from runner.adapters.files import tarball
from runner.cli.lifecycle import _cleaned
from runner.controller.cleanup.clean import retire
from runner.controller.cleanup.selection import merged, stale
from runner.controller.instance.worktree import InstanceRequest
from runner.controller.operation import Operation
from runner.domain.errors import (
    EngineUnavailable,
    NotFound,
    Refused,
    UncommittedChanges,
    UnmergedCommits,
)
from runner.domain.events import Up
from runner.domain.instance.archive import Archive
from runner.domain.requests.cleanup import Cleaned
from tests.inside import Inside
from tests.real_git import commit, git, write
from tests.shop import Shop

pytestmark = pytest.mark.deep

LONG_AGO = "2020-01-01T00:00:00Z"


def refs(repo: Path, prefix: str) -> list[str]:
    return git(repo, "for-each-ref", "--format=%(refname)", prefix).split()


def archives(shop: Shop) -> list[Path]:
    folder = shop.repo / ".git/treedock/archive"
    return sorted(folder.iterdir()) if folder.is_dir() else []


def archive_of(cleaned: Cleaned) -> Archive:
    (archive,) = cleaned.archives
    return archive


def own_commit(shop: Shop, instance: str, ref: str, subject: str) -> str:
    """A commit that only a ref of the instance holds, as a sync would have brought it out."""
    draft = shop.repo.parent / "draft"
    draft.write_text(subject)
    blob = git(shop.repo, "hash-object", "-w", str(draft)).strip()
    listed = subprocess.run(
        ["git", "mktree"], cwd=shop.repo, input=f"100644 blob {blob}\tidea\n", text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    tree = listed.stdout.strip()
    made = git(shop.repo, "commit-tree", tree, "-p", "main", "-m", subject).strip()
    name = f"refs/treedock/{instance}/{ref}"
    git(shop.repo, "update-ref", name, made)
    own = shop.repository.records.folder(instance) / "git/refs/heads"
    if ref.startswith("inside/heads/") and own.is_dir():  # a sync mirrors what is inside
        path = own / ref.removeprefix("inside/heads/")
        path.write_text(f"{made}\n")
    return made


def restore(shop: Shop, commands: tuple[str, ...]) -> None:
    """Type the commands that were printed."""
    for command in commands:
        words = command.split()
        if words[0] == "treedock":
            base = words[4] if "--base" in words else None
            shop.up(InstanceRequest(words[2], base=base, attach="--attach" in words))
        else:
            subprocess.run(["sh", "-c", command], cwd=shop.repo, check=True)


def test_what_was_forced_away_comes_back_by_the_commands_that_are_told(shop: Shop) -> None:
    shop.up("auth")
    made = commit(shop.tree("auth"), {"a": "1"}, "log in")
    write(shop.tree("auth"), {"README.md": "changed", "src/new.py": "draft", "odd\nname": "x"})
    (shop.tree("auth") / "link").symlink_to("/etc/passwd")
    archive = archive_of(shop.clean("auth", force=True))
    assert not (shop.repo / "trees/auth").exists()
    assert git(shop.repo, "branch", "--list", "feature/auth") == ""
    restore(shop, archive.restore)
    tree = shop.tree("auth")
    assert git(tree, "rev-parse", "HEAD").strip() == made
    assert (tree / "README.md").read_text() == "changed"
    assert (tree / "src/new.py").read_text() == "draft"
    assert (tree / "odd\nname").read_text() == "x"
    assert (tree / "link").readlink() == Path("/etc/passwd")


def test_uncommitted_files_come_back_onto_the_commit_they_were_changed_from(shop: Shop) -> None:
    shop.up("auth")
    began = git(shop.tree("auth"), "rev-parse", "HEAD").strip()
    write(shop.tree("auth"), {"README.md": "changed"})
    archive = archive_of(shop.clean("auth", force_dirty=True))
    commit(shop.repo, {"README.md": "main went on"})
    restore(shop, archive.restore)
    assert git(shop.tree("auth"), "rev-parse", "HEAD").strip() == began
    assert git(shop.tree("auth"), "status", "--short") == " M README.md\n"


def test_each_kind_of_force_is_about_its_own(shop: Shop) -> None:
    shop.up("auth")
    commit(shop.tree("auth"), {"a": "1"})
    write(shop.tree("auth"), {"new": "x"})
    with pytest.raises(UncommittedChanges, match="new") as caught:
        shop.clean("auth", force_unmerged=True)
    assert "--force-dirty" in caught.value.hint
    with pytest.raises(UnmergedCommits) as unmerged:
        shop.clean("auth", force_dirty=True)
    assert "--force-unmerged" in unmerged.value.hint
    assert archives(shop) == []
    assert shop.tree("auth").is_dir()


def test_ignored_files_are_not_kept_and_pipes_are_left_out(shop: Shop) -> None:
    commit(shop.repo, {".gitignore": "*.tmp\n", "gone.txt": "1"})
    shop.up("auth")
    tree = shop.tree("auth")
    write(tree, {"a.tmp": "x", "new": "y", "n/inner": "z"})
    git(tree / "n", "init", "--quiet")
    os.mkfifo(tree / "n" / "pipe")
    (tree / "gone.txt").unlink()
    archive = archive_of(shop.clean("auth", force=True))
    assert archive.tar is not None
    with tarfile.open(archive.tar) as tar:
        names = set(tar.getnames())
    assert {"new", "n/inner"} <= names
    assert "a.tmp" not in names
    assert (archive.deleted, archive.omitted) == (("gone.txt",), ("n/pipe",))
    assert (Path(archive.folder) / "deleted.txt").read_text() == "gone.txt\n"


@pytest.mark.parametrize(
    ("ref", "label"),
    [
        ("inside/heads/spike", "branch spike inside"),
        ("inside-stash/0", "the stash inside"),
        ("inside-HEAD", "a detached HEAD"),
    ],
)
def test_commits_beside_the_branch_are_named_and_kept(shop: Shop, ref: str, label: str) -> None:
    shop.up("auth")
    (shop.repository.records.folder("auth") / "git").rename(shop.repo.parent / "elsewhere")
    made = own_commit(shop, "auth", ref, "an idea")
    with pytest.raises(UnmergedCommits, match=rf"a commit .* {made[:10]} an idea \({label}\)"):
        shop.clean("auth")
    archive = archive_of(shop.clean("auth", force_unmerged=True))
    assert archive.refs == {f"{archive.prefix}/{ref}": made}
    assert git(shop.repo, "rev-parse", f"{archive.prefix}/{ref}").strip() == made
    assert refs(shop.repo, "refs/treedock") == []


def test_a_branch_that_was_made_inside_just_now_is_not_lost(shop: Shop) -> None:
    shop.up("auth")
    own_commit(shop, "auth", "inside/heads/spike", "an idea")
    with pytest.raises(UnmergedCommits, match="an idea"):
        shop.clean("auth")
    assert [c.status for c in shop.engine.containers()] == ["running"]


def test_what_was_rewritten_away_is_no_reason_to_refuse_but_is_kept(shop: Shop) -> None:
    shop.up("auth")
    made = own_commit(shop, "auth", "was/1", "before the amend")
    archive = archive_of(shop.clean("auth"))
    assert archive.refs == {f"{archive.prefix}/was/1": made}


def test_after_a_clean_only_the_archive_refs_are_left(shop: Shop) -> None:
    shop.up("auth")
    assert refs(shop.repo, "refs/treedock")
    archive = archive_of(shop.clean("auth"))
    assert refs(shop.repo, "refs/treedock") == []
    assert refs(shop.repo, "refs/treedock-archive") == []
    assert not archive.holds_work


def test_logs_are_kept_without_following_anything(shop: Shop, tmp_path: Path) -> None:
    shop.up("auth")
    folder = shop.repository.records.folder("auth")
    write(tmp_path, {"secret": "s3cret"})
    logs = {"service.web.log": "hello\n", "setup-1.log": "after\n", "setup-1.log.1": "before\n"}
    write(folder / "run", logs)
    (folder / "run" / "verify.log").symlink_to(tmp_path / "secret")
    os.mkfifo(folder / "run" / "reset.log")
    kept = Path(archive_of(shop.clean("auth")).folder)
    names = {path.name for path in (kept / "logs").iterdir()}
    assert {"service.web.log", "setup-1.log.1"} <= names
    assert not names & {"verify.log", "reset.log"}
    assert (kept / "logs/service.web.log").read_text() == "hello\n"
    assert '"event":"created"' in (kept / "events.jsonl").read_text()
    assert '"feature/auth"' in (kept / "record.json").read_text()


def test_of_a_huge_log_the_end_is_kept(shop: Shop) -> None:
    shop.up("auth")
    log = shop.repository.records.folder("auth") / "run" / "service.web.log"
    with log.open("wb") as file:
        file.truncate(10 * 2**30)
        file.seek(0, os.SEEK_END)
        file.write(b"the end")
    kept = Path(archive_of(shop.clean("auth")).folder) / "logs/service.web.log"
    assert kept.stat().st_size == 16 * 2**20
    assert kept.read_bytes().endswith(b"the end")


def test_where_nothing_can_be_archived_nothing_is_forced_away(shop: Shop) -> None:
    shop.up("auth")
    write(shop.tree("auth"), {"new": "x"})
    (shop.repo / ".git/treedock/archive").write_text("in the way")
    with pytest.raises(Refused, match="nothing was removed"):
        shop.clean("auth", force=True)
    assert (shop.tree("auth") / "new").read_text() == "x"
    assert shop.engine.containers()
    assert shop.up("auth").ready


def test_logs_alone_keep_nobody_from_cleaning(shop: Shop) -> None:
    shop.up("auth")
    (shop.repo / ".git/treedock/archive").write_text("in the way")
    assert shop.clean("auth").archives == []
    assert any("Only logs would be in it" in text for text in shop.warnings)
    assert shop.list() == []


def test_more_than_the_disk_can_hold_is_refused_before_it_is_written(shop: Shop) -> None:
    shop.up("auth")
    with (shop.tree("auth") / "huge").open("wb") as file:
        file.truncate(8 * 2**40)
    with pytest.raises(Refused, match="8796093022208 bytes"):
        shop.clean("auth", force=True)
    assert archives(shop) == []
    assert (shop.tree("auth") / "huge").exists()


def forced(shop: Shop) -> None:
    """An instance with work of both kinds."""
    shop.up("auth")
    commit(shop.tree("auth"), {"a": "1"}, "log in")
    write(shop.tree("auth"), {"new": "x", "README.md": "changed"})


def cut_off(shop: Shop) -> None:
    """A forced clean that ends between the archive and the first removal."""
    forced(shop)
    shop.clean("auth", force=True, dry_run=True)
    for after in range(20):
        shop.engine.vanish(after)
        try:
            shop.clean("auth", force=True)
        except EngineUnavailable:
            shop.engine.come_back()
            if archives(shop):
                return
    raise AssertionError("it was never cut off there")


def test_a_clean_that_was_cut_off_after_the_archive_is_completed_without_force(shop: Shop) -> None:
    cut_off(shop)
    (folder,) = archives(shop)
    (shop.tree("auth") / "README.md").unlink()  # as far as it had come
    archive = archive_of(shop.clean("auth"))
    assert archives(shop) == [folder]
    assert archive.folder == str(folder)
    assert shop.list() == []
    restore(shop, archive.restore)
    assert (shop.tree("auth") / "README.md").read_text() == "changed"
    assert (shop.tree("auth") / "new").read_text() == "x"


def test_work_that_came_after_the_cut_is_not_lost_with_it(shop: Shop) -> None:
    cut_off(shop)
    write(shop.tree("auth"), {"new": "y"})
    with pytest.raises(UncommittedChanges, match=r"changes: new\."):
        shop.clean("auth")
    cleaned = shop.clean("auth", force=True)
    first, second = cleaned.archives
    assert [path.name for path in archives(shop)] == [first.name, second.name]
    assert second.tar is not None
    with tarfile.open(second.tar) as tar:
        assert "new" in tar.getnames()


def test_a_commit_that_came_after_the_cut_is_not_lost_with_it(shop: Shop) -> None:
    cut_off(shop)
    git(shop.tree("auth"), "commit", "--quiet", "--all", "--message", "later")
    with pytest.raises(UnmergedCommits, match=r"a commit that no other branch holds: .* later"):
        shop.clean("auth")


@pytest.mark.parametrize("gone", ["worktree", "refs"])
def test_a_clean_that_was_cut_off_late_is_completed(shop: Shop, gone: str) -> None:
    cut_off(shop)
    repository = shop.repository
    repository.engine.remove(repository.engine.containers()[0].id)
    repository.git.remove_worktree(shop.tree("auth"))
    if gone == "refs":
        for ref in [*refs(shop.repo, "refs/treedock"), "refs/heads/feature/auth"]:
            git(shop.repo, "update-ref", "-d", ref)
    archive = archive_of(shop.clean("auth"))
    assert len(archives(shop)) == 1
    restore(shop, archive.restore)
    assert (shop.tree("auth") / "new").read_text() == "x"


def test_a_clean_that_was_cut_off_at_the_very_end_is_completed(shop: Shop) -> None:
    archive = archive_of(_forced_away(shop))
    treedock = shop.repo / ".git/treedock"
    write(treedock, {"trash/auth-4711/record.json": "{}", "locks/instance-auth.lock": ""})
    write(treedock, {"trash/auth-more-4711/record.json": "{}"})
    cleaned = shop.clean("auth")
    assert cleaned.removed == [f"folder {treedock / 'trash/auth-4711'}"]
    assert cleaned.archives == [archive]
    assert [path.name for path in (treedock / "trash").iterdir()] == ["auth-more-4711"]
    assert not (treedock / "locks/instance-auth.lock").exists()
    with pytest.raises(NotFound):
        shop.clean("auth")


def test_of_two_instances_with_the_same_commits_one_keeps_them(shop: Shop) -> None:
    shop.up("auth")
    made = commit(shop.tree("auth"), {"a": "1"})
    shop.up(InstanceRequest("more", base="feature/auth"))
    records = shop.repository.records
    records.write(replace(shop.record("auth"), cleaning=True))  # it has passed its checks
    with pytest.raises(UnmergedCommits, match=made[:10]):
        shop.clean("more")
    assert refs(shop.repo, "refs/heads/feature/more")


def test_what_cannot_be_brought_out_is_a_reason_to_refuse(shop: Shop) -> None:
    shop.up("auth")
    own = shop.repository.records.folder("auth") / "git"
    (own / "HEAD").write_text("nonsense\n")
    with pytest.raises(Refused, match=r"cannot be brought out.*is no git directory any more"):
        shop.clean("auth")
    archive = archive_of(shop.clean("auth", force_unmerged=True))
    assert archive.git is not None
    assert (Path(archive.git) / "HEAD").read_text() == "nonsense\n"
    assert f"{archive.prefix}/base" in archive.refs
    assert shop.list() == []


def test_a_worktree_without_a_genuine_git_file_can_be_forced_away(shop: Shop) -> None:
    commit(shop.repo, {"gone.txt": "1"})
    shop.up("auth")
    write(shop.tree("auth"), {"new": "x", "README.md": "changed"})
    (shop.tree("auth") / "gone.txt").unlink()
    (shop.tree("auth") / ".git").write_text("gitdir: /elsewhere\n")
    with pytest.raises(Refused, match="not the file that git wrote"):
        shop.clean("auth")
    archive = archive_of(shop.clean("auth", force=True))
    assert archive.tar is not None
    with tarfile.open(archive.tar) as tar:
        assert sorted(tar.getnames()) == ["README.md", "new", "treedock.yaml"]
    assert archive.deleted == ("gone.txt",)


def test_a_pipe_that_git_would_wait_for_is_named_and_nothing_is_lost(shop: Shop) -> None:
    shop.up("auth")
    write(shop.tree("auth"), {"src/new": "x"})
    os.mkfifo(shop.tree("auth") / "src" / ".gitignore")
    with pytest.raises(Refused, match=r"src/\.gitignore"):
        shop.clean("auth", force=True)
    (shop.tree("auth") / "src" / ".gitignore").unlink()
    assert archive_of(shop.clean("auth", force=True)).tar


def old_archive(shop: Shop) -> Path:
    """A folder that is old by its name and by its time."""
    folder = shop.repo / ".git/treedock/archive/auth-20200101-000000"
    folder.mkdir(parents=True)
    os.utime(folder, (0, 0))
    return folder


def seen_as_old(shop: Shop, at: float) -> None:
    """As if a clean had seen it as old then, in seconds since 1970."""
    marks = shop.repo / ".git/treedock/archives-seen-as-old.json"
    marks.write_text(json.dumps(dict.fromkeys(json.loads(marks.read_text()), at)))


def clean_another(shop: Shop) -> str:
    """Clean an instance in which nothing was done; returns the name of its archive."""
    shop.up("pay")
    return archive_of(shop.clean("pay")).name


def test_archives_that_are_too_old_go_and_others_stay(shop: Shop) -> None:
    young = archive_of(_forced_away(shop)).name
    old = old_archive(shop)
    git(shop.repo, "update-ref", f"refs/treedock-archive/{old.name}/head", "main")
    write(old.parent, {"notes.txt": "mine"})
    clean_another(shop)
    assert old.is_dir()
    assert f"refs/treedock-archive/{old.name}/head" in refs(shop.repo, "refs/treedock-archive")
    seen_as_old(shop, at=0)
    clean_another(shop)
    names = {path.name for path in archives(shop)}
    assert names >= {young, "notes.txt"}
    assert old.name not in names
    assert refs(shop.repo, "refs/treedock-archive") == [f"refs/treedock-archive/{young}/head"]


def test_how_long_an_archive_stays_is_configured(shop: Shop) -> None:
    shop.configure(limits={"disk_free": 0, "archive_days": 36500})
    old = old_archive(shop)
    clean_another(shop)
    assert len(archives(shop)) == 2
    (shop.repo / "treedock.yaml").write_text("nonsense: [")
    _cleaned_again(shop)
    seen_as_old(shop, at=0)
    commit_less = archive_of(_cleaned_again(shop))
    assert archives(shop)[-1].name == commit_less.name
    assert not old.exists()


def test_a_clock_that_was_set_back_costs_no_archive(shop: Shop) -> None:
    made = archive_of(_forced_away(shop))
    old = Path(made.folder).with_name("auth-20200101-000000")
    Path(made.folder).rename(old)  # its name is of then, its file is of now
    clean_another(shop)
    os.utime(old, (0, 0))  # and now both are of then
    clean_another(shop)
    clean_another(shop)
    assert old.is_dir()


def test_a_clock_that_is_ahead_costs_no_archive(shop: Shop) -> None:
    old = old_archive(shop)
    clean_another(shop)
    seen_as_old(shop, at=4e9)  # by a clock that was far ahead
    clean_another(shop)
    clean_another(shop)
    assert old.is_dir()


def test_after_a_branch_was_renamed_by_hand_the_commands_bring_the_files_back(shop: Shop) -> None:
    shop.up("auth")
    tree = shop.tree("auth")
    made = commit(tree, {"a": "1"})
    git(tree, "branch", "--move", "mine")
    write(tree, {"README.md": "changed"})
    archive = archive_of(shop.clean("auth", force=True))
    assert git(shop.repo, "rev-parse", "mine").strip() == made
    restore(shop, archive.restore)
    assert git(tree, "rev-parse", "HEAD").strip() == made
    assert (tree / "README.md").read_text() == "changed"


def test_files_of_a_branch_that_is_checked_out_elsewhere_come_back_beside_it(
    shop: Shop, tmp_path: Path
) -> None:
    shop.up("auth")
    git(shop.tree("auth"), "switch", "--quiet", "--detach")
    git(shop.repo, "worktree", "add", "--quiet", str(tmp_path / "mine"), "feature/auth")
    write(shop.tree("auth"), {"README.md": "changed"})
    archive = archive_of(shop.clean("auth", force=True))
    restore(shop, archive.restore)
    assert (Path(archive.folder) / "files/README.md").read_text() == "changed"


def test_refs_come_back_under_names_that_are_free(shop: Shop) -> None:
    shop.up("auth")
    own_commit(shop, "auth", "inside/heads/a-b", "one")
    git(shop.repo, "branch", "auth-was-1/x")
    made = own_commit(shop, "auth", "was/1", "two")
    archive = archive_of(shop.clean("auth", force=True))
    restore(shop, archive.restore)
    assert git(shop.repo, "rev-parse", "auth-was-1-2").strip() == made
    assert git(shop.repo, "log", "-1", "--format=%s", "auth-a-b") == "one\n"


def test_an_attached_branch_gets_its_files_back(shop: Shop) -> None:
    git(shop.repo, "branch", "feature/auth")
    shop.up(InstanceRequest("auth", attach=True))
    write(shop.tree("auth"), {"README.md": "changed"})
    archive = archive_of(shop.clean("auth", force=True))
    restore(shop, archive.restore)
    assert (shop.tree("auth") / "README.md").read_text() == "changed"


def _forced_away(shop: Shop) -> Cleaned:
    forced(shop)
    return shop.clean("auth", force=True)


def _cleaned_again(shop: Shop) -> Cleaned:
    text = (shop.repo / "treedock.yaml").read_text()
    git(shop.repo, "restore", "treedock.yaml")
    shop.up("zoo")
    (shop.repo / "treedock.yaml").write_text(text)
    return shop.clean("zoo")


def cut_off_long_ago(shop: Shop) -> Path:
    """The same, in 2020; returns the archive's folder."""
    cut_off(shop)
    (folder,) = archives(shop)
    old = folder.with_name("auth-20200101-000000")
    folder.rename(old)
    manifest = old / "archive.json"
    manifest.write_text(manifest.read_text().replace(folder.name, old.name))
    for ref in refs(shop.repo, "refs/treedock-archive"):
        git(shop.repo, "update-ref", ref.replace(folder.name, old.name), ref)
        git(shop.repo, "update-ref", "-d", ref)
    shop.repository.records.write(replace(shop.record("auth"), archive=old.name))
    return old


def test_the_archive_of_a_clean_that_was_cut_off_long_ago_stays(shop: Shop) -> None:
    old = cut_off_long_ago(shop)
    shop.up("pay")
    shop.clean("pay")
    assert old.is_dir()


def test_an_archive_that_is_told_just_now_is_still_there(shop: Shop) -> None:
    old = cut_off_long_ago(shop)
    archive = archive_of(shop.clean("auth"))
    assert archive.folder == str(old)
    restore(shop, archive.restore)
    assert (shop.tree("auth") / "new").read_text() == "x"


def test_an_archive_that_was_never_complete_leaves_no_ref(shop: Shop) -> None:
    forced(shop)
    half = "auth-20991231-000000"  # killed between its refs and its folder
    git(shop.repo, "update-ref", f"refs/treedock-archive/{half}/head", "feature/auth")
    shop.repository.records.write(replace(shop.record("auth"), cleaning=True, archive=half))
    write(shop.repo, {".git/treedock/archive/.new-auth/logs/x.log": "x"})
    archive = archive_of(shop.clean("auth", force=True))
    assert refs(shop.repo, "refs/treedock-archive") == [f"{archive.prefix}/head"]
    assert [path.name for path in archives(shop)] == [archive.name]


def test_a_dry_run_says_what_would_be_kept(shop: Shop) -> None:
    forced(shop)
    told = shop.clean("auth", force=True, dry_run=True)
    assert told.would_keep == [
        "commits that no other branch holds, of 1 refs",
        "uncommitted changes in 2 files",
    ]
    assert archives(shop) == []
    assert not shop.record("auth").cleaning


def test_an_instance_that_has_landed_is_retired_with_its_logs(shop: Shop) -> None:
    shop.up("auth")
    commit(shop.tree("auth"), {"a": "1"})
    git(shop.repo, "merge", "--quiet", "feature/auth")
    idea = own_commit(shop, "auth", "inside/heads/spike", "an idea")
    operation = Operation(shop.repository, "auth", shop.emit)
    with operation.locked():
        removed = retire(operation)
    assert [part.split()[0] for part in removed] == ["container", "worktree", "branch", "record"]
    (folder,) = archives(shop)
    kept = f"refs/treedock-archive/{folder.name}/inside/heads/spike"
    assert git(shop.repo, "rev-parse", kept).strip() == idea
    assert any(kept in text for text in shop.remarks)
    assert (folder / "events.jsonl").exists()


def test_only_what_landed_is_merged(shop: Shop) -> None:
    for name in ("fresh", "ahead", "landed", "squashed", "dirty"):
        shop.up(name)
    for name in ("ahead", "landed", "squashed", "dirty"):
        commit(shop.tree(name), {name: "1"}, name)
    for name in ("landed", "dirty"):
        git(shop.repo, "merge", "--quiet", f"feature/{name}", "--message", name)
    git(shop.repo, "merge", "--quiet", "--squash", "feature/squashed")
    git(shop.repo, "commit", "--quiet", "--message", "squashed")
    write(shop.tree("dirty"), {"new": "x"})
    shop.events.clear()
    assert merged(shop.repository, shop.emit) == ["landed", "squashed"]
    assert any("uncommitted changes; it stays" in text for text in shop.remarks)


def test_an_instance_that_only_followed_base_is_not_merged(shop: Shop) -> None:
    shop.up("auth")
    there = commit(shop.repo, {"a": "1"})
    git(shop.tree("auth"), "merge", "--quiet", "main")
    git(shop.repo, "update-ref", "refs/treedock/auth/base", there)  # as `update` does
    assert merged(shop.repository, shop.emit) == []


def old_commit(folder: Path) -> None:
    date = f"GIT_COMMITTER_DATE={LONG_AGO}"
    command = ["env", date, "git", "commit", "--quiet", "--allow-empty", "--message", "old"]
    subprocess.run(command, cwd=folder, check=True)


@pytest.mark.parametrize("life", ["none", "commit", "up"])
def test_stale_is_what_showed_no_life_for_long(shop: Shop, life: str) -> None:
    old_commit(shop.repo)
    shop.up("auth")
    folder = shop.repository.records.folder("auth")
    shop.repository.records.write(replace(shop.record("auth"), created_at=LONG_AGO))
    (folder / "events.jsonl").write_text('{"at":"2020-01-02T00:00:00Z","event":"up"}\n{"cut of\n')
    if life == "commit":
        commit(shop.tree("auth"), {"a": "1"})
    if life == "up":
        Operation(shop.repository, "auth", shop.emit).tell(Up("/tree", "/workspace"))
    assert stale(shop.repository, shop.emit) == (["auth"] if life == "none" else [])


def test_a_person_is_told_what_is_kept_and_how_to_get_it_back(shop: Shop) -> None:
    cleaned = _forced_away(shop)
    archive = archive_of(cleaned)
    lines = list(_cleaned(cleaned, dry_run=False))
    assert f"kept until {archive.until} in {archive.folder}" in lines
    back = [line for line in lines if line.startswith("get it back with: ")]
    assert back[0].endswith(f"git branch feature/auth {archive.prefix}/head")
    assert back[-1].endswith(f"-C {shop.repo / 'trees/auth'}")


def test_what_is_sparse_stays_sparse(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    with (tmp_path / "tree/sparse").open("wb") as file:
        file.truncate(2**28)
        file.seek(2**27)
        file.write(b"data")
    (tmp_path / "tree/tail").write_bytes(bytes(2**21))
    made = tmp_path / "uncommitted.tar"
    assert tarball.write(made, tmp_path / "tree", ["sparse", "tail"]) == []
    assert made.stat().st_blocks * 512 < 2**23
    asked = ["sparse", "tail", "none"]
    assert tarball.held(made, tmp_path / "tree", asked) == {"sparse", "tail"}


def test_a_copied_file_with_edits_of_its_own_is_kept_and_an_equal_one_is_not(shop: Shop) -> None:
    commit(shop.repo, {".gitignore": ".env*\n"})
    (shop.repo / ".env").write_text("KEY=shared\n")
    (shop.repo / ".env.local").write_text("LOCAL=shared\n")
    shop.up("auth")
    assert shop.clean("auth").archives[0].tar is None
    shop.up("auth")
    with (shop.tree("auth") / ".env").open("a") as file:
        file.write("ONLY=here\n")
    shop.up("auth")
    (archive,) = shop.clean("auth").archives
    assert archive.tar
    with tarfile.open(archive.tar) as tar:
        assert tar.getnames() == [".env"]
        kept = tar.extractfile(".env")
        assert kept
        assert b"ONLY=here" in kept.read()


def test_commits_in_a_kept_git_directory_come_back_as_branches(shop: Shop) -> None:
    shop.up("auth")
    auth = Inside(shop)
    first = auth.commit({"a": "1"}, "first")
    auth("git switch --quiet -c spike; git config core.fsmonitor 'touch /tmp/never; false'")
    second = auth.commit({"b": "1"}, "second")
    broken = auth("git commit-tree -m broken $(git rev-parse HEAD^{tree})")
    auth(f"git update-ref refs/heads/broken {broken}")
    (auth.own_git / "objects" / broken[:2] / broken[2:]).unlink()
    (auth.own_git / "HEAD").write_text("nonsense\n")
    archive = archive_of(shop.clean("auth", force=True))
    restore(shop, archive.restore)
    assert (Path(archive.folder) / "git/HEAD").read_text() == "nonsense\n"
    assert git(shop.repo, "rev-parse", f"{archive.name}/feature/auth").strip() == first
    assert git(shop.repo, "rev-parse", f"{archive.name}/spike").strip() == second
    assert not any("broken" in branch for branch in refs(shop.repo, "refs/heads"))
    shutil.rmtree(archive.folder)
    git(shop.repo, "fsck", "--connectivity-only")


def test_a_kept_git_directory_with_nothing_whole_in_it_has_no_command(shop: Shop) -> None:
    shop.up("auth")
    own = shop.repository.records.folder("auth") / "git"
    shutil.rmtree(own / "refs")
    (own / "packed-refs").unlink(missing_ok=True)
    (own / "HEAD").write_text("nonsense\n")
    assert archive_of(shop.clean("auth", force=True)).restore == ()
