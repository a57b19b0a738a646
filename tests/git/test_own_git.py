"""The git directory of an instance: made from any kind of repository, and read as a stranger's."""

import os
from pathlib import Path

import pytest
import yaml

from runner.adapters.files import disk
from runner.adapters.git.private import MAX_REFS, is_ref_name
from runner.controller.instance.private_git import git_mounts
from runner.domain.errors import ConfigError, Refused
from tests.inside import Inside
from tests.real_git import commit, git, write
from tests.shop import Shop

pytestmark = pytest.mark.deep

# --- kinds of repositories ------------------------------------------------------------------


def operations(auth: Inside) -> None:
    """The whole way: clean, whole, a commit out, a commit in, all history there."""
    assert auth("git status --porcelain") == ""
    auth("git fsck --strict")
    auth("git log --stat --format=%H origin/main")
    made = auth.commit({"src/login.txt": "x\n"})
    assert auth.sync().head == made
    assert git(auth.tree, "status", "--porcelain") == ""
    here = commit(auth.tree, {"src/here.txt": "x\n"})
    assert auth.sync().head == here
    assert auth("git status --porcelain") == ""
    assert auth("git rev-parse HEAD") == here
    auth("git fsck --strict")


def up_in(shop: Shop, folder: Path) -> Inside:
    """The instance auth of another repository with the same treedock.yaml."""
    other = Shop(folder, shop.engine)
    other.up("auth")
    return Inside(other)


def clone(shop: Shop, *options: str) -> Path:
    target = shop.repo.with_name("clone")
    source = f"file://{shop.repo}"
    git(shop.repo.parent, "clone", "--quiet", *options, "--", source, str(target))
    return target


def test_a_repository_with_sha256_works(shop: Shop) -> None:
    folder = shop.repo.with_name("sha256")
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main", "--object-format=sha256")
    commit(folder, {"treedock.yaml": (shop.repo / "treedock.yaml").read_text()})
    auth = up_in(shop, folder)
    assert len(auth("git rev-parse HEAD")) == 64
    operations(auth)


def test_a_shallow_clone_works(shop: Shop) -> None:
    commit(shop.repo, {"more.txt": "x\n"})
    folder = clone(shop, "--depth=1")
    operations(up_in(shop, folder))
    assert git(folder, "rev-list", "--count", "main").strip() == "1"


@pytest.mark.parametrize("option", ["--shared", "--reference"])
def test_a_clone_that_borrows_objects_works(shop: Shop, option: str) -> None:
    other = ["--reference", str(shop.repo)] if option == "--reference" else [option]
    target = shop.repo.with_name("clone")
    git(shop.repo.parent, "clone", "--quiet", *other, str(shop.repo), str(target))
    assert (target / ".git/objects/info/alternates").exists()
    operations(up_in(shop, target))


def test_what_is_borrowed_is_shown_read_only_and_its_host_paths_are_covered(shop: Shop) -> None:
    middle, target = shop.repo.with_name("middle"), shop.repo.with_name("clone")
    git(shop.repo.parent, "clone", "--quiet", "--shared", str(shop.repo), str(middle))
    git(shop.repo.parent, "clone", "--quiet", "--shared", str(middle), str(target))
    auth = up_in(shop, target)
    mounts = {mount.target: mount for mount in git_mounts(auth.operation)}
    borrowed = {f"/run/treedock/alternates/{n}" for n in (0, 1)}
    sources = {mounts[target].source for target in borrowed}
    assert sources == {str(shop.repo / ".git/objects"), str(middle / ".git/objects")}
    covers = [m for m in mounts.values() if m.target.endswith("/info/alternates")]
    assert len(covers) == 2  # the last one of the chain has no such list
    assert {Path(cover.source).read_text() for cover in covers} == {""}
    assert [m.target for m in mounts.values() if not m.read_only] == ["/run/treedock/git"]
    listed = (auth.own_git / "objects/info/alternates").read_text().split()
    assert set(listed) == borrowed | {"/run/treedock/objects"}


def test_a_repository_with_packed_refs_works(shop: Shop) -> None:
    git(shop.repo, "gc", "--quiet")
    git(shop.repo, "pack-refs", "--all")
    operations(up_in(shop, shop.repo))


def test_a_sparse_checkout_works(shop: Shop) -> None:
    commit(shop.repo, {"docs/one.md": "1\n", "src/one.txt": "1\n"})
    git(shop.repo, "sparse-checkout", "set", "src")
    auth = up_in(shop, shop.repo)
    assert not (auth.tree / "docs").exists()
    assert auth("git sparse-checkout list") == "src"
    operations(auth)
    assert "docs/one.md" in auth("git ls-files")
    assert not (auth.tree / "docs").exists()


def test_a_main_checkout_that_is_a_linked_worktree_works(shop: Shop) -> None:
    bare, main = shop.repo.with_name("bare.git"), shop.repo.with_name("linked")
    git(shop.repo.parent, "clone", "--quiet", "--bare", str(shop.repo), str(bare))
    git(bare, "worktree", "add", "--quiet", str(main), "main")
    operations(up_in(shop, main))


def test_a_separate_git_directory_works(shop: Shop) -> None:
    operations(up_in(shop, clone(shop, f"--separate-git-dir={shop.repo.with_name('apart.git')}")))


def test_line_ends_are_converted_inside_as_they_are_here(shop: Shop) -> None:
    git(shop.repo, "config", "core.autocrlf", "true")
    auth = up_in(shop, shop.repo)
    assert b"\r\n" in (auth.tree / "README.md").read_bytes()
    assert auth("git status --porcelain") == ""
    auth("printf 'one\\r\\n' > one.txt; git add one.txt; touch README.md; git commit -qam one")
    auth.sync()
    names = git(shop.repo, "show", "--format=", "--name-only", "feature/auth")
    assert names.split() == ["one.txt"]
    assert git(shop.repo, "cat-file", "blob", "feature/auth:one.txt") == "one\n"
    assert git(auth.tree, "status", "--porcelain") == ""


def test_files_of_a_required_filter_are_said_and_never_committed_raw(shop: Shop) -> None:
    for key, value in (("clean", "cat"), ("smudge", "cat"), ("required", "true")):
        git(shop.repo, "config", f"filter.big.{key}", value)
    commit(shop.repo, {".gitattributes": "*.bin filter=big\n", "one.bin": "1\n"})
    auth = up_in(shop, shop.repo)
    assert any("filter big" in said and "not changed" in said for said in auth.shop.warnings)
    assert auth("git status --porcelain; cat one.bin") == "1"
    (auth.tree / "one.bin").write_text("raw\n")
    refused = auth.run("git add one.bin")
    assert refused.code != 0
    assert "one.bin goes through a filter" in refused.err
    assert "on the host, in trees/auth" in refused.err
    auth("git checkout one.bin")
    assert auth("git status --porcelain; git switch -qc other; git status --porcelain") == ""
    made = auth(
        "git switch -q feature/auth; touch x; git add .; git commit -qm x; git log -1 --format=%H"
    )
    assert auth.sync().head == made


def test_a_filter_that_no_file_goes_through_is_not_worth_a_word(shop: Shop) -> None:
    git(shop.repo, "config", "filter.big.required", "true")
    commit(shop.repo, {".gitattributes": "*.bin filter=big\n", "one.txt": "1\n"})
    auth = up_in(shop, shop.repo)
    assert not any("filter big" in said for said in auth.shop.warnings)


def test_a_partial_clone_is_refused_with_a_way_out(shop: Shop) -> None:
    git(shop.repo, "config", "uploadpack.allowFilter", "true")
    folder = clone(shop, "--filter=blob:none")
    with pytest.raises(ConfigError, match="partial clone") as caught:
        Shop(folder, shop.engine).bring("auth")
    assert "--filter" in caught.value.hint


def test_a_base_with_submodules_is_refused_with_a_way_out(shop: Shop) -> None:
    head = git(shop.repo, "rev-parse", "HEAD").strip()
    git(shop.repo, "update-index", "--add", "--cacheinfo", f"160000,{head},library")
    git(shop.repo, "commit", "--quiet", "--message", "library")
    with pytest.raises(Refused, match="has submodules") as caught:
        shop.bring("auth")
    assert "subtree" in caught.value.hint


def test_the_projects_hooks_run_inside_on_commit_and_never_here(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = tmp_path / "canary"
    hook = f'#!/bin/sh\necho "$0 ${{INSIDE-on the host}}" >> {canary}\n'
    names = ["pre-commit", "post-commit", "post-checkout", "post-merge", "reference-transaction",
             "post-index-change", "post-rewrite", "pre-push"]  # fmt: skip
    write(shop.repo, {f".hooks/{name}": hook for name in names})
    for name in names:
        (shop.repo / ".hooks" / name).chmod(0o755)
    git(shop.repo, "add", ".hooks")
    git(shop.repo, "commit", "--quiet", "--message", "hooks")
    git(shop.repo, "config", "core.hooksPath", ".hooks")
    auth = up_in(shop, shop.repo)
    made = auth("export INSIDE=inside; echo x > x; git add x; git commit -qm x; git rev-parse HEAD")
    assert auth.sync().head == made
    shop.down("auth")
    shop.up("auth")
    assert ".hooks/pre-commit inside" in canary.read_text()
    assert "on the host" not in canary.read_text()
    git(auth.tree, "update-index", "--refresh")  # a person's own git, in the worktree
    git(auth.tree, "commit", "--quiet", "--allow-empty", "--message", "by hand")
    assert "on the host" not in canary.read_text()


# --- what code inside can do to it ----------------------------------------------------------


def test_a_symlink_or_a_pipe_in_place_of_a_ref_is_no_ref(auth: Inside) -> None:
    head = auth.head
    secret = auth.shop.repo.with_name("secret")
    secret.write_text(f"{'a' * 40}\n")
    heads = auth.own_git / "refs/heads"
    (heads / "link").symlink_to(secret)
    (heads / "folder").symlink_to(auth.shop.repo / ".git/refs")
    os.mkfifo(heads / "pipe")
    (auth.own_git / "refs/stash").symlink_to(secret)
    assert auth.sync().head == head
    assert auth.kept("inside/") == {}


def test_a_pipe_in_place_of_packed_refs_or_the_stash_does_not_hang(auth: Inside) -> None:
    auth("echo x > README.md; git stash --quiet")
    auth.sync()
    (auth.own_git / "logs/refs/stash").unlink()
    os.mkfifo(auth.own_git / "logs/refs/stash")
    os.mkfifo(auth.own_git / "packed-refs")
    auth.sync()
    assert list(auth.kept("inside")) == ["inside-stash/0"]


@pytest.mark.parametrize(
    "garbage", ["", "garbage\n", "ref: refs/heads/../../x\n", "ref: HEAD\n", "\0" * 100]
)
def test_garbage_as_head_is_refused_and_up_makes_it_anew_and_keeps_the_old(
    auth: Inside, garbage: str
) -> None:
    synced = auth.commit({"one.txt": "1\n"})
    auth.sync()
    lost = auth.commit({"two.txt": "2\n"})
    (auth.own_git / "HEAD").write_text(garbage)
    error = auth.refused()
    assert "no git directory any more" in error.message
    assert "treedock up" in error.hint
    auth.shop.up("auth")
    assert any("git.damaged-1" in said for said in auth.shop.warnings)
    assert "stopping" in auth.shop.steps  # a container shows what was there when it started
    assert auth("git rev-parse HEAD") == synced
    assert auth("git status --porcelain") == "?? two.txt"
    assert (auth.folder / "git.damaged-1/objects" / lost[:2] / lost[2:]).exists()


def test_a_pipe_as_head_does_not_hang(auth: Inside) -> None:
    (auth.own_git / "HEAD").unlink()
    os.mkfifo(auth.own_git / "HEAD")
    assert "no git directory any more" in auth.refused().message


def test_more_refs_than_anybody_needs_are_refused_loose_or_packed(auth: Inside) -> None:
    many = [f"refs/heads/many/{n}" for n in range(MAX_REFS + 1000)]
    head = auth.head
    write(auth.own_git, dict.fromkeys(many, f"{head}\n"))
    assert f"more than {MAX_REFS} refs" in auth.refused().message
    disk.remove_tree(auth.own_git / "refs/heads/many")
    assert auth.sync().head == head
    packed = "".join(f"{head} {name}\n" for name in many)
    (auth.own_git / "packed-refs").write_text(packed)
    error = auth.refused()
    assert f"more than {MAX_REFS} refs" in error.message
    assert "git branch -D" in error.hint


def test_huge_packed_refs_are_refused_without_reading_them_whole(auth: Inside) -> None:
    with (auth.own_git / "packed-refs").open("wb") as file:
        file.truncate(10 * 2**30)  # sparse
    assert "refs" in auth.refused().message


def test_folders_deeper_than_the_stack_are_read_all_the_same(auth: Inside) -> None:
    here = os.open(auth.own_git / "refs/heads", os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    assert auth.sync().head == auth.head
    disk.remove_tree(auth.own_git / "refs/heads/d")  # Python's own rmtree cannot


def test_names_that_git_forbids_are_no_refs(auth: Inside) -> None:
    packed = "".join(
        f"{auth.head} {name}\n"
        for name in ("refs/heads/../../../x", "refs/heads/a..b", "refs/heads/a.lock",
                     "refs/heads/\x1b[31mred", "/refs/heads/x", "HEAD", "refs/heads/" + "x" * 251)
    )  # fmt: skip
    (auth.own_git / "packed-refs").write_text(packed)
    auth.sync()
    assert auth.kept("inside/") == {}


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("refs/heads/a", True),
        ("refs/heads/a b", False),
        ("refs/heads/-a", True),
        ("refs/heads/ä", True),
        ("refs/heads/a/.b", False),
        ("refs/heads/a.", False),
        ("refs/heads/a@{1}", False),
        ("refs//heads", False),
        ("refs/heads/", False),
        ("refs/heads/a.lock/b", False),
        ("refs/heads/a\\b", False),
        ("refs/heads/a\x7f", False),
        ("", False),
    ],
)
def test_names_of_refs_are_judged_as_git_judges_them(repo: Path, name: str, good: bool) -> None:
    assert is_ref_name(name) == good
    said = os.spawnvp(os.P_WAIT, "git", ["git", "check-ref-format", name])
    assert (said == 0) == good


def test_a_configuration_written_inside_does_not_lead_git_astray(
    auth: Inside, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    auth.commit({"login.txt": "x\n"})
    config = {
        "core.worktree": "/",
        "core.fsmonitor": f"touch {canary}",
        "core.hooksPath": "/workspace",
        "core.sshCommand": f"touch {canary}",
        "core.alternateRefsCommand": f"touch {canary}",
        "uploadpack.packObjectsHook": f"touch {canary}",
    }
    text = "".join(
        f"[{key.partition('.')[0]}]\n\t{key.partition('.')[2]} = {value}\n"
        for key, value in config.items()
    )
    (auth.own_git / "config").write_text(text)
    auth.sync()
    assert not canary.exists()


def test_nothing_of_treedock_yaml_is_needed_to_sync(auth: Inside) -> None:
    made = auth.commit({"login.txt": "x\n"})
    (auth.shop.repo / "treedock.yaml").write_text(yaml.safe_dump({"nonsense": 1}))
    assert auth.sync().head == made


def test_a_replaced_git_file_of_the_worktree_stops_the_container(auth: Inside) -> None:
    (auth.tree / ".git").write_text("gitdir: /tmp/elsewhere\n")
    error: Refused = auth.refused()
    assert "not the file that git wrote" in error.message
    assert "was stopped" in error.message
    (container,) = auth.shop.engine.containers()
    assert container.status == "exited"
