"""git inside and git on this side see the same attributes, ignore rules and sparse patterns."""

from pathlib import Path

import pytest

from runner.controller.lifecycle.exec import place_of
from tests.inside import Inside
from tests.real_git import commit, git
from tests.shop import Shop

pytestmark = pytest.mark.deep


def up(shop: Shop) -> Inside:
    shop.up("auth")
    return Inside(shop)


def clean_on_both(auth: Inside) -> None:
    """Also where git looks at every file."""
    for name in git(auth.tree, "ls-files").splitlines():
        (auth.tree / name).touch()
    assert auth("git status --porcelain") == ""
    assert git(auth.tree, "status", "--porcelain") == ""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where git looks for the person's rules by itself."""
    folder = tmp_path / "person"
    (folder / "git").mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    return folder / "git"


@pytest.mark.parametrize("named", [True, False])
def test_attributes_of_the_person_apply_inside_as_here(shop: Shop, home: Path, named: bool) -> None:
    rules = "*.txt text eol=crlf\n*.md text eol=crlf\n"
    (home / ("elsewhere" if named else "attributes")).write_text(rules)
    if named:
        git(shop.repo, "config", "core.attributesFile", str(home / "elsewhere"))
    commit(shop.repo, {"one.txt": "1\n2\n", "two.txt": "1\n2\n"})
    auth = up(shop)
    assert (auth.tree / "one.txt").read_bytes() == b"1\r\n2\r\n"
    clean_on_both(auth)
    (auth.tree / "one.txt").write_bytes(b"1\r\n3\r\n")
    auth("git commit -qam three")
    auth.sync()
    assert git(shop.repo, "show", "--format=", "--numstat", "feature/auth") == "1\t1\tone.txt\n"
    clean_on_both(auth)


@pytest.mark.parametrize("named", [True, False])
def test_ignore_rules_of_the_person_keep_secrets_out_inside_too(
    shop: Shop, home: Path, named: bool
) -> None:
    (home / ("elsewhere" if named else "ignore")).write_text("*.secret\n")
    if named:
        git(shop.repo, "config", "core.excludesFile", str(home / "elsewhere"))
    auth = up(shop)
    (auth.tree / "a.secret").write_text("x\n")
    (auth.tree / "b.key").write_text("x\n")
    assert auth("git add -A; git status --porcelain") == "A  b.key"
    auth("git reset --quiet")
    # What the person adds later is seen from the next verb on.
    (home / ("elsewhere" if named else "ignore")).write_text("*.secret\n*.key\n")
    auth.sync()
    assert auth("git add -A; git status --porcelain") == ""


def test_line_ends_follow_what_the_person_sets_later(shop: Shop) -> None:
    auth = up(shop)
    assert auth("git config core.autocrlf") == "false"
    git(shop.repo, "config", "core.autocrlf", "true")
    auth.sync()
    assert auth("git config core.autocrlf") == "true"
    (auth.tree / "one.txt").write_bytes(b"1\r\n")
    auth("git add one.txt; git commit -qm one")
    assert git(shop.repo, "cat-file", "blob", f"{auth.sync().head}:one.txt") == "1\n"
    git(shop.repo, "config", "--unset", "core.autocrlf")
    auth.sync()
    assert auth("git config core.autocrlf") == "false"


def test_where_the_same_is_said_twice_the_same_one_wins_on_both_sides(
    shop: Shop, home: Path
) -> None:
    (home / "attributes").write_text("*.a eol=crlf\n*.b eol=crlf\n*.c eol=crlf\n")
    (home / "ignore").write_text("*.x\n*.y\n*.z\n")
    info = shop.repo / ".git/info"
    info.mkdir(exist_ok=True)
    (info / "attributes").write_text("*.c eol=lf\n")
    (info / "exclude").write_text("!*.y\n")
    rules = {".gitattributes": "*.b eol=lf\n*.c eol=crlf\n", ".gitignore": "!*.z\n"}
    commit(shop.repo, {**rules, "f.a": "1\n", "f.b": "1\n", "f.c": "1\n"})
    auth = up(shop)
    ends = [(auth.tree / f"f.{name}").read_bytes()[1:] for name in "abc"]
    assert ends == [b"\r\n", b"\n", b"\n"]
    clean_on_both(auth)
    asked = "git check-attr eol f.a f.b f.c"
    assert auth(asked) == git(auth.tree, *asked.split()[1:]).strip()
    for name in "xyz":
        (auth.tree / f"f.{name}").write_text("x\n")
    assert auth("git status --porcelain") == "?? f.y\n?? f.z"
    assert git(auth.tree, "status", "--porcelain") == "?? f.y\n?? f.z\n"


def test_a_filter_that_is_only_here_changes_nothing_inside(shop: Shop, tmp_path: Path) -> None:
    for name, letters in (("clean", "A-Z a-z"), ("smudge", "a-z A-Z")):
        script = tmp_path / name
        script.write_text(f"#!/bin/sh\nexec tr {letters}\n")
        script.chmod(0o755)
        git(shop.repo, "config", f"filter.loud.{name}", str(script))
    commit(shop.repo, {".gitattributes": "*.txt filter=loud\n", "one.txt": "one\n", "b": "b\n"})
    auth = up(shop)
    assert (auth.tree / "one.txt").read_text() == "ONE\n"
    assert any("filter loud" in said for said in shop.warnings)
    assert auth("git status --porcelain") == ""
    (auth.tree / "b").write_text("longer\n")
    auth("git commit -qam b")
    auth.sync()
    (auth.tree / "one.txt").write_text("THREE\n")
    assert auth.run("git commit -qam two").code != 0
    git(auth.tree, "commit", "--quiet", "--all", "--message", "two")
    auth.sync()
    assert git(shop.repo, "show", "feature/auth:one.txt") == "three\n"


# --- sparse checkouts -----------------------------------------------------------------------


@pytest.fixture
def sparse(shop: Shop) -> Inside:
    """An instance of a repository with the folders one and two."""
    commit(shop.repo, {"one/a.txt": "1\n", "one/b.txt": "1\n", "two/c.txt": "1\n"})
    return up(shop)


@pytest.mark.parametrize("cone", ["--cone", "--no-cone"])
def test_a_sparse_checkout_that_is_set_here_is_followed_inside(sparse: Inside, cone: str) -> None:
    git(sparse.tree, "sparse-checkout", "set", cone, "two")
    sparse.sync()
    (sparse.tree / "two/c.txt").write_text("2\n")
    assert sparse("git commit -qam two; git status --porcelain; git ls-files -t one") == (
        "S one/a.txt\nS one/b.txt"
    )
    sparse.sync()
    assert git(sparse.shop.repo, "ls-tree", "-r", "--name-only", "feature/auth", "one") != ""
    assert git(sparse.tree, "status", "--porcelain") == ""
    git(sparse.tree, "sparse-checkout", "set", cone, "one")
    sparse.sync()
    assert sparse("git status --porcelain; git ls-files -t two") == "S two/c.txt"
    git(sparse.tree, "sparse-checkout", "disable")
    sparse.sync()
    assert sparse("git ls-files -t | grep -v ^H || true; git status --porcelain") == ""
    assert (sparse.tree / "two/c.txt").read_text() == "2\n"


def test_a_commit_that_deletes_what_is_left_out_here_does_not_come_out(sparse: Inside) -> None:
    old = sparse.head
    git(sparse.tree, "sparse-checkout", "set", "two")
    (sparse.tree / "two/c.txt").write_text("2\n")
    sparse("git commit -qam two")  # no verb ran meanwhile
    error = sparse.refused()
    assert "one/a.txt, one/b.txt" in error.message
    assert sparse.head == old
    assert f"treedock exec auth -- git reset {old[:10]}" in error.hint
    sparse(f"git reset {old[:10]}; git commit -qam two")  # as the hint says
    made = sparse.sync().head
    assert git(sparse.shop.repo, "diff", "--name-only", old, made) == "two/c.txt\n"
    assert git(sparse.tree, "status", "--porcelain") == ""


def test_what_is_left_out_here_can_be_deleted_inside_once_it_is_seen(sparse: Inside) -> None:
    git(sparse.tree, "sparse-checkout", "set", "two")
    made = sparse("git commit -qam two; git rev-parse HEAD")
    assert f"git -C {sparse.tree} sparse-checkout disable" in sparse.refused().hint
    git(sparse.tree, "sparse-checkout", "disable")  # as the hint says
    assert sparse.sync().head == made


def test_a_file_that_the_person_froze_here_is_not_deleted_from_inside(sparse: Inside) -> None:
    git(sparse.tree, "update-index", "--skip-worktree", "one/a.txt")
    made = sparse("git rm -q one/a.txt one/b.txt; git commit -qm away; git rev-parse HEAD")
    error = sparse.refused()
    assert "one/a.txt" in error.message
    assert "one/b.txt" not in error.message
    git(sparse.tree, "update-index", "--no-skip-worktree", "one/a.txt")
    assert sparse.sync().head == made


def test_a_sparse_checkout_of_the_instances_own_stays_its_own(sparse: Inside) -> None:
    sparse("git sparse-checkout set two")
    sparse.sync()
    assert sparse("git sparse-checkout list") == "two"


def test_a_command_inside_follows_what_was_set_here_just_now(sparse: Inside) -> None:
    git(sparse.tree, "sparse-checkout", "set", "two")
    place_of(sparse.shop.repository, "auth", sparse.tree)
    assert sparse("git status --porcelain; git ls-files -t one") == "S one/a.txt\nS one/b.txt"


def test_commits_come_out_although_the_rules_cannot_go_in(sparse: Inside) -> None:
    made = sparse.commit({"three.txt": "3\n"})
    sparse('rm -r "$GIT_DIR/info"; touch "$GIT_DIR/info"')
    assert sparse.sync().head == made
    assert any("info/exclude cannot be written" in said for said in sparse.said)
