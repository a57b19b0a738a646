"""Refs read from git's own files, compared with what git itself prints."""

import threading
from pathlib import Path

import pytest

from runner.adapters.git.ref_files import Odd, RefFiles
from runner.adapters.git.repository import Git
from tests.real_git import commit, git


@pytest.fixture
def own(repo: Path) -> Git:
    return Git(repo / ".git")


def as_git_says(repo: Path, *prefixes: str) -> dict[str, str]:
    out = git(repo, "for-each-ref", "--format=%(refname) %(objectname)", "--", *prefixes)
    return dict(line.split(" ") for line in out.splitlines())


def as_read(repo: Path, *prefixes: str) -> dict[str, str]:
    return RefFiles(repo / ".git").below(*prefixes)


def update(repo: Path, name: str, to: str = "HEAD") -> None:
    git(repo, "update-ref", name, to)


def test_loose_and_packed_refs_are_those_that_git_lists(repo: Path) -> None:
    for name in ("a", "a-b", "a.b", "ab/c", "deep/er/one"):
        update(repo, f"refs/heads/x/{name}")
        update(repo, f"refs/treedock/{name}")
    git(repo, "pack-refs", "--all")
    git(repo, "tag", "--annotate", "--message", "first", "v1")
    commit(repo, {"new": "1"})
    update(repo, "refs/heads/x/a")  # newer than the packed one
    git(repo, "update-ref", "-d", "refs/heads/x/ab/c")
    update(repo, "refs/heads/loose")
    git(repo, "pack-refs", "--all", "--no-prune")
    update(repo, "refs/heads/after")
    for asked in (["refs"], ["refs/heads"], ["refs/heads/x/a"], ["refs/heads/x", "refs/tags"],
                  ["refs/heads/none"], ["refs/heads/x/ab"], ["refs/treedock/deep"]):  # fmt: skip
        assert as_read(repo, *asked) == as_git_says(repo, *asked), asked
    assert list(as_read(repo, "refs")) == list(as_git_says(repo, "refs"))


def test_a_ref_that_moves_is_seen_at_once_packed_or_not(repo: Path, own: Git) -> None:
    for number in range(4):
        new = commit(repo, {"file": str(number)})
        update(repo, "refs/treedock/one", new)
        if number % 2:
            git(repo, "pack-refs", "--all")
        assert own.ref("refs/treedock/one") == own.branch("main") == new
    git(repo, "update-ref", "-d", "refs/treedock/one")
    assert own.ref("refs/treedock/one") is None


def test_a_symbolic_ref_has_the_id_of_what_it_leads_to(repo: Path, own: Git) -> None:
    name, target = "refs/remotes/origin/HEAD", "refs/remotes/origin/trunk"
    git(repo, "symbolic-ref", name, target)
    assert own.ref(name) is None  # it leads nowhere
    assert own.ref_behind(name) is None
    update(repo, target)
    git(repo, "pack-refs", "--all")
    assert as_read(repo, "refs/remotes") == as_git_says(repo, "refs/remotes")
    assert own.ref_behind(name) == target
    assert own.ref_behind(target) is None
    assert own.branches()[1] == "trunk"


def test_what_git_passes_over_is_no_ref(repo: Path) -> None:
    head = commit(repo, {"file": "1"})
    for name in ("main.lock", ".hidden"):
        (repo / ".git/refs/heads" / name).write_text(f"{head}\n")
    assert list(as_read(repo, "refs/heads")) == ["refs/heads/main"]
    assert as_read(repo, "refs/heads/../../..", "refs//heads") == {}
    assert Git(repo / ".git").branch("x" * 300) is None


@pytest.mark.parametrize("text", ["", "ref: ../config", "no id"])
def test_what_is_odd_is_left_to_git(repo: Path, own: Git, text: str) -> None:
    (repo / ".git/refs/heads/odd").write_text(text)
    with pytest.raises(Odd):
        as_read(repo, "refs/heads")
    assert list(own.refs("refs/heads")) == ["refs/heads/main"]  # git warns, and passes it over


def test_a_link_is_left_to_git(repo: Path, own: Git) -> None:
    (repo / ".git/refs/heads/alias").symlink_to("main")
    with pytest.raises(Odd):
        as_read(repo, "refs/heads/alias")
    assert own.branch("alias") == own.branch("main")


def test_refs_are_never_missed_while_git_packs_them(repo: Path, own: Git) -> None:
    names = [f"refs/heads/busy/{number}" for number in range(20)]
    for name in names:
        update(repo, name)
    done = threading.Event()

    def pack() -> None:
        try:
            for number in range(20):
                git(repo, "pack-refs", "--all")
                commit(repo, {"file": str(number)})
                for name in names[:5]:
                    update(repo, name)
        finally:
            done.set()

    packing = threading.Thread(target=pack)
    packing.start()
    while not done.is_set():
        assert list(own.refs("refs/heads/busy")) == sorted(names)
    packing.join()
