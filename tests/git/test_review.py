"""`review`: what a branch brings is shown whole, and nothing that a stranger wrote gets out."""

import json
import os
import pty
import select
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.git import diffs
from runner.controller.landing.review import review
from runner.domain.errors import NotFound, Refused
from runner.domain.landing.changes import Text
from runner.domain.landing.review import Review
from tests.real_git import commit, git, write
from tests.running import CHECKOUT, Answer, Cli
from tests.shop import Shop

pytestmark = pytest.mark.deep

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202etxt.exe"


def look(shop: Shop, *, patches: bool = True) -> Review:
    shop.events.clear()
    return review(shop.repository, "auth", shop.emit, patches=patches)


@pytest.fixture
def tree(shop: Shop) -> Path:
    """The worktree of an instance that is up."""
    shop.up("auth")
    return shop.tree("auth")


def test_commits_files_and_diff_are_those_since_the_merge_base(shop: Shop, tree: Path) -> None:
    first = commit(tree, {"src/login.py": "one\n"}, "log in\n\nwith a key")
    second = commit(tree, {"src/login.py": "one\ntwo\n"}, "and out")
    moved = commit(shop.repo, {"other.txt": "not ours"}, "main goes on")
    seen = look(shop)
    assert (seen.base, seen.base_commit, seen.head) == ("main", moved, second)
    assert seen.fork == git(shop.repo, "rev-parse", "main~1").strip()
    assert (seen.ahead, seen.behind, seen.synced) == (2, 1, True)
    assert [(c.id, c.subject) for c in seen.commits] == [(second, "and out"), (first, "log in")]
    assert (seen.commits[1].author, seen.commits[1].body) == ("Ada", "with a key")
    (change,) = seen.files
    assert (change.path, change.kind, change.added, change.deleted) == (
        "src/login.py",
        "added",
        2,
        0,
    )
    assert seen.diff is not None
    assert "+one\n+two\n" in seen.diff.text
    assert "not ours" not in seen.diff.text
    assert seen.uncommitted is not None
    assert seen.uncommitted.files == []


def test_an_empty_branch_is_shown_as_one(shop: Shop, tree: Path) -> None:
    seen = look(shop)
    assert (seen.ahead, seen.commits, seen.files, seen.flagged) == (0, [], [], [])
    assert seen.diff == Text("")


def test_uncommitted_work_is_shown_apart(shop: Shop, tree: Path) -> None:
    commit(tree, {"gone.txt": "x\n"})
    write(tree, {"README.md": "# shop\nmore\n", "new\nfile": "12345"})
    (tree / "gone.txt").unlink()
    seen = look(shop)
    assert [change.path for change in seen.files] == ["gone.txt"]
    assert seen.uncommitted is not None
    found = {
        one.path: (one.kind, one.size, one.added, one.deleted) for one in seen.uncommitted.files
    }
    assert found == {
        "README.md": ("modified", 12, 1, 0),
        "gone.txt": ("deleted", None, 0, 1),
        "new\nfile": ("untracked", 5, None, None),
    }
    assert seen.uncommitted.diff is not None
    assert "+more\n" in seen.uncommitted.diff.text
    assert seen.diff is not None
    assert "+more" not in seen.diff.text


def test_renamed_and_binary_files_are_told(shop: Shop, tree: Path) -> None:
    lines = "".join(f"line {n}\n" for n in range(30))
    commit(shop.repo, {"old name.txt": lines})
    git(tree, "merge", "--quiet", "main")
    git(tree, "mv", "old name.txt", "new\tname.txt")
    (tree / "image.png").write_bytes(bytes(range(256)))
    git(tree, "add", "image.png")
    git(tree, "commit", "--quiet", "--message", "moved")
    found = {change.path: change for change in look(shop).files}
    assert found.keys() == {"new\tname.txt", "image.png"}
    assert found["new\tname.txt"].was == "old name.txt"
    assert found["new\tname.txt"].kind == "renamed"
    assert (found["image.png"].added, found["image.png"].deleted) == (None, None)


def test_unrelated_histories_are_shown_whole(shop: Shop, tree: Path) -> None:
    git(tree, "checkout", "--quiet", "--orphan", "other")
    commit(tree, {"alone.txt": "x\n"}, "from nothing")
    git(tree, "branch", "--force", "feature/auth")
    git(tree, "checkout", "--quiet", "feature/auth")
    seen = look(shop)
    assert seen.fork is None
    assert {change.kind for change in seen.files} == {"added"}
    assert {change.path for change in seen.files} >= {"alone.txt", "README.md"}
    assert any("share no history" in text for text in shop.warnings)


def test_a_huge_diff_is_cut_and_says_so(shop: Shop, tree: Path) -> None:
    many = {f"{n}.txt": f"{n} {'x' * 90}\n" * 9000 for n in range(6)}
    commit(tree, {**many, "small.txt": "small\n"})
    seen = look(shop)
    assert seen.diff is not None
    assert seen.diff.cut
    assert len(seen.diff.text) <= diffs.DIFF_BOUND
    assert len(seen.files) == 7


def test_one_huge_file_does_not_hide_the_others(shop: Shop, tree: Path) -> None:
    commit(tree, {"0-huge.txt": "x\n" * diffs.DIFF_BOUND, "small.txt": "small\n"})
    seen = look(shop)
    assert seen.diff is not None
    assert not seen.diff.cut
    assert "+small" in seen.diff.text
    assert [change.added for change in seen.files] == [None, 1]


def test_flagged_files_have_a_section_with_reasons(shop: Shop, tree: Path) -> None:
    package = {"package.json": '{"scripts": {"test": "jest"}, "version": "1"}'}
    commit(shop.repo, package)
    git(tree, "merge", "--quiet", "main")
    write(tree, {"package.json": package["package.json"].replace('"1"', '"2"')})
    (tree / "out").symlink_to("/etc/passwd")
    git(tree, "add", "out")
    commit(
        tree, {"package.json": (tree / "package.json").read_text(), ".envrc": "evil", "a.py": ""}
    )
    write(tree, {"Makefile": "all: ; evil", "package.json": '{"scripts": {"test": "evil"}}'})
    found = {(flag.path, flag.committed): flag.reason for flag in look(shop).flagged}
    assert found.keys() == {
        *((".envrc", True), ("out", True)),
        *(("Makefile", False), ("package.json", False)),
    }
    assert "direnv" in found[".envrc", True]


def test_a_flagged_file_that_is_moved_away_is_flagged(shop: Shop, tree: Path) -> None:
    workflow = {".github/workflows/ci.yml": "".join(f"step: {n}\n" for n in range(20))}
    commit(shop.repo, workflow)
    git(tree, "merge", "--quiet", "main")
    git(tree, "mv", ".github/workflows/ci.yml", "ci.txt")
    git(tree, "commit", "--quiet", "--message", "moved")
    assert [flag.path for flag in look(shop).flagged] == ["ci.txt"]


def test_nothing_of_the_branch_runs_on_this_machine(shop: Shop, tree: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {canary}\ncat\n")
    program.chmod(0o755)
    for key in ("filter.x.clean", "filter.x.process", "diff.x.textconv", "diff.x.command"):
        git(shop.repo, "config", key, str(program))
    git(shop.repo, "config", "filter.x.required", "true")
    git(shop.repo, "config", "diff.external", str(program))
    git(shop.repo, "config", "log.showSignature", "true")
    git(shop.repo, "config", "gpg.program", str(program))
    sign(tree)
    write(tree, {".gitattributes": "* filter=x diff=x\n", "README.md": "changed\n", "n": "new"})
    seen = look(shop)
    assert seen.uncommitted is not None
    assert {one.path for one in seen.uncommitted.files} == {".gitattributes", "README.md", "n"}
    assert seen.uncommitted.diff is not None
    assert "+changed" in seen.uncommitted.diff.text
    assert not canary.exists()


def sign(tree: Path) -> None:
    """An empty commit on the branch that says it is signed."""
    plain = git(tree, "commit-tree", "-p", "HEAD", "-m", "signed", "HEAD^{tree}").strip()
    head, _, message = git(tree, "cat-file", "commit", plain).partition("\n\n")
    signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n x\n -----END PGP SIGNATURE-----"
    (tree / "signed").write_text(f"{head}\n{signature}\n\n{message}")
    signed = git(tree, "hash-object", "-t", "commit", "-w", "signed").strip()
    (tree / "signed").unlink()
    git(tree, "update-ref", "refs/heads/feature/auth", signed)


def test_what_is_no_file_does_not_stop_it(shop: Shop, tree: Path) -> None:
    commit(tree, {"a": "a\n", "b": "b\n", "c": "c\n", "d": "d\n"})
    look(shop)  # git has seen the files as they were
    for name in ("a", "b", "c"):
        (tree / name).unlink()
    os.mkfifo(tree / "a")
    with (tree / "b").open("wb") as file:
        file.truncate(10 * 2**40)
    (tree / "c").symlink_to("/dev/zero")
    write(tree, {"d": "dd\n"})
    seen = look(shop)
    assert seen.uncommitted is not None
    sizes = {one.path: one.size for one in seen.uncommitted.files}
    assert sizes.keys() == {"a", "b", "c", "d"}
    assert sizes["b"] == 10 * 2**40
    assert seen.uncommitted.diff is not None
    assert "+dd\n" in seen.uncommitted.diff.text


def test_a_git_file_that_was_tampered_with_is_refused(shop: Shop, tree: Path) -> None:
    (tree / ".git").write_text("gitdir: /elsewhere\n")
    with pytest.raises(Refused, match="not the file that git wrote"):
        look(shop)


def test_a_base_that_is_gone_is_named(shop: Shop, tree: Path) -> None:
    git(shop.repo, "branch", "--move", "main", "trunk")
    with pytest.raises(NotFound, match="started from main"):
        look(shop)


def test_an_unknown_instance_is_named_and_leaves_nothing(shop: Shop) -> None:
    with pytest.raises(NotFound, match="no instance 'auth'"):
        look(shop)
    assert not shop.repository.records.lock("auth").exists()


@pytest.fixture
def hostile(shop: Shop, tree: Path) -> Path:
    """A branch whose names, texts and messages carry terminal escapes and bad UTF-8."""
    raw = os.fsencode(tree)
    for name in (b"esc\x1b[2J", b"new\nline", b"not-utf8-\xff", b"-rf"):
        with open(raw + b"/" + name, "wb") as file:  # noqa: PTH123
            file.write(f"a\ttab {ESCAPES}\r\n-- a/b\n++ c\n\xff".encode("latin-1", "replace"))
    git(tree, "add", "--all")
    git(tree, "-c", "user.name=E\x1b[31mve", "commit", "--quiet", "--message", f"sub{ESCAPES}")
    with open(raw + b"/loose\x1b\xfe", "wb"):  # noqa: PTH123
        pass
    return tree


def run(shop: Shop, *arguments: str) -> Answer:
    return Cli(shop.repo)(*arguments, env={"DOCKER_HOST": "unix:///nowhere"})


def has_escapes(text: str) -> bool:
    return any(
        (ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0 or c == "\u202e" for c in text
    )


@pytest.mark.parametrize("option", ["--stat", "--files", None])
def test_no_terminal_escape_gets_through(shop: Shop, hostile: Path, option: str | None) -> None:
    answer = run(shop, "review", "auth", *([option] if option else []))
    assert answer.exit_code == 0, answer.stderr
    assert "esc\\x1b[2J" in answer.stdout
    assert "new\\x0aline" in answer.stdout
    assert "not-utf8-" in answer.stdout
    assert not has_escapes(answer.stdout + answer.stderr)


def test_json_is_the_same_value(shop: Shop, hostile: Path) -> None:
    answer = run(shop, "review", "auth", "--json")
    assert answer.exit_code == 0, answer.stderr
    document = answer.json["review"]
    same: dict[str, Any] = json.loads(json.dumps(asdict(look(shop))))
    assert {key: document[key] for key in same if key != "synced"} == {
        key: value for key, value in same.items() if key != "synced"
    }
    assert [change["path"] for change in document["files"]][:2] == ["-rf", "esc\x1b[2J"]


def test_an_engine_that_is_away_is_a_warning(shop: Shop, tree: Path) -> None:
    known = commit(tree, {"a": "1"})
    shop.engine.vanish()
    seen = look(shop)
    assert (seen.head, seen.synced) == (known, False)
    assert any("since the last sync" in text for text in shop.warnings)


def test_a_terminal_gets_colours_of_ours_and_a_pager_and_nothing_else(
    shop: Shop, hostile: Path, tmp_path: Path
) -> None:
    paged = tmp_path / "paged"
    shown = on_terminal(shop, {"PAGER": f"tee {paged}"}, "review", "auth")
    text = paged.read_text()
    assert "\x1b[32m+a\ttab" in text
    assert "\x1b[32m+-- a/b" in text
    assert "\x1b[32m+++ c" in text
    for sequence in ("\x1b[0m", "\x1b[1m", "\x1b[32m", "\x1b[31m", "\x1b[36m"):
        text = text.replace(sequence, "")
    assert not has_escapes(text)
    assert "owned" in shown


def on_terminal(shop: Shop, env: dict[str, str], *arguments: str) -> str:
    """What treedock writes to a terminal of 80 x 24."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "runner", *arguments], cwd=shop.repo, stdin=follower,
        stdout=follower, stderr=subprocess.DEVNULL, start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT), "TERM": "xterm", "LINES": "24",
                          "COLUMNS": "80", "DOCKER_HOST": "unix:///nowhere"} | env,
    )  # fmt: skip
    os.close(follower)
    said = b""
    while select.select([leader], [], [], 60)[0]:
        try:
            data = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        said += data
    os.close(leader)
    assert process.wait(60) == 0
    return said.decode(errors="replace")
