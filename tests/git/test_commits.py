"""What commits hold and how they lie to each other, on real repositories."""

from pathlib import Path

import pytest

from runner.adapters.git import base_branch, refs
from runner.adapters.git.first_parents import is_newest_of
from runner.adapters.git.refs import Holders
from runner.adapters.git.repository import Git
from runner.domain.errors import GitFailed
from tests.real_git import commit, git, make_repository

NONE = "0" * 39 + "1"


@pytest.fixture
def own(repo: Path) -> Git:
    return Git(repo / ".git")


@pytest.fixture
def fork(repo: Path) -> tuple[str, str, str]:
    """(where two branches part, the head of main, that of other)."""
    start = commit(repo, {"start": "1"})
    git(repo, "switch", "--quiet", "--create", "other")
    other = commit(repo, {"other": "1"})
    git(repo, "switch", "--quiet", "main")
    return start, commit(repo, {"main": "1"}), other


def test_a_commit_holds_itself_and_what_it_comes_from(own: Git, fork: tuple[str, str, str]) -> None:
    start, main, other = fork
    for _ in range(2):  # the second time from memory
        assert own.fork_point(main, other) == own.fork_point(other, main) == start
        assert own.is_ancestor(start, main)
        assert own.is_ancestor(main, main)
        assert not own.is_ancestor(main, start)
        assert not own.is_ancestor(main, other)
    assert own.is_ancestor("main", main)


def test_a_name_is_looked_up_each_time(repo: Path, own: Git, fork: tuple[str, str, str]) -> None:
    assert not own.is_ancestor("other", "main")
    git(repo, "merge", "--quiet", "--no-edit", "other")
    assert own.is_ancestor("other", "main")


def test_unrelated_histories_have_no_fork_and_a_missing_commit_is_an_error(
    repo: Path, own: Git
) -> None:
    head = own.branch("main") or ""
    git(repo, "checkout", "--quiet", "--orphan", "island")
    island = commit(repo, {"island": "1"})
    assert own.fork_point(head, island) is None
    assert not own.is_ancestor(head, island)
    with pytest.raises(GitFailed):
        own.is_ancestor(NONE, head)


def test_a_commit_that_was_just_made_holds_its_parents(
    own: Git, fork: tuple[str, str, str]
) -> None:
    _, main, other = fork
    tree = git(own.common_dir.parent, "rev-parse", f"{main}^{{tree}}").strip()
    made = own.commit_tree(tree, [main, other], "both")
    assert own.is_ancestor(main, made)
    assert own.is_ancestor(other, made)
    assert Git(own.common_dir).fork_point(made, other) == own.fork_point(made, other)


def test_a_file_is_found_whether_its_commit_was_listed_or_not(repo: Path, own: Git) -> None:
    head = commit(repo, {"a b/c\td": "odd", ".env": "X=1\n"})
    for _ in range(2):
        assert own.blob(head, ".env") == b"X=1\n"
        assert own.blob(head, "a b/c\td") == b"odd"
        assert own.blob(head, "d") is None
        assert own.blob(head, "env") is None
        assert {"a b/c\td", ".env"} <= set(own.names(head))
    assert not own.has_gitlinks(head)


def test_a_submodule_is_seen_wherever_it_lies(repo: Path, own: Git) -> None:
    for path in ("0first", "deep/er"):
        git(repo, "update-index", "--add", "--cacheinfo", f"160000,{NONE},{path}")
        git(repo, "commit", "--quiet", "--message", "a submodule")
        assert own.has_gitlinks(own.branch("main") or "")
        git(repo, "reset", "--quiet", "--hard", "HEAD~1")


def test_contents_come_in_one_go_whatever_they_hold(repo: Path, own: Git) -> None:
    texts = {"empty": "", "lines": "a\n\nblob 3\n", "open": "no end"}
    head = commit(repo, texts)
    ids = {name: own.object_id(head, name) or "" for name in texts}
    found = own.contents([*ids.values(), *ids.values()])
    assert {name: found[id_].decode() for name, id_ in ids.items()} == texts
    assert own.contents([]) == {}
    with pytest.raises(GitFailed, match="is missing"):
        own.contents([NONE])


def test_what_nobody_holds_follows_the_refs_of_now(repo: Path, own: Git) -> None:
    git(repo, "switch", "--quiet", "--create", "going")
    lost = commit(repo, {"lost": "1"})
    holders = Holders(going=["going"])
    assert refs.unheld(own, [lost], holders) == {lost}
    git(repo, "branch", "saved")
    assert refs.unheld(own, [lost], holders) == set()
    assert refs.unheld(own, [lost], Holders(going=["going", "saved"])) == {lost}
    git(repo, "branch", "--delete", "--force", "saved")
    assert refs.unheld(own, [lost], holders) == {lost}
    git(repo, "update-ref", "refs/treedock-archive/one/head", lost)
    assert refs.unheld(own, [lost], Holders(["going"], "refs/treedock-archive/one")) == set()


def test_tags_mean_their_commit_and_trees_none(repo: Path, own: Git) -> None:
    head = commit(repo, {"file": "1"})
    git(repo, "tag", "--annotate", "--message", "first", "v1")
    for name, what in {"plain": head, "tag": "v1", "tree": "HEAD^{tree}"}.items():
        git(repo, "update-ref", f"refs/treedock/auth/inside/{name}", what)
    for _ in range(2):
        found = refs.below(own, "refs/treedock/auth", "refs/heads/main")
        assert {ref.name: ref.commit for ref in found} == {
            "inside/plain": head,
            "inside/tag": head,
            "inside/tree": None,
            "refs/heads/main": head,
        }


def test_files_of_the_person_are_seen_to_be_in_the_way_of_a_fast_forward(repo: Path) -> None:
    own = Git(repo / ".git", repo)
    start = commit(repo, {"start": "1"})
    git(repo, "switch", "--quiet", "--create", "other")
    ahead = commit(repo, {"start": "2", "new": "1"})
    git(repo, "switch", "--quiet", "main")
    assert base_branch.foreseen(own, "main", start, {"x": ahead}) == {}
    (repo / "new").write_text("mine")
    assert "new" in base_branch.foreseen(own, "main", start, {"x": ahead})["x"].message


# --- the newest of a line ---------------------------------------------------------------------


def test_the_newest_commit_with_the_same_files_is_told_from_older_ones(
    repo: Path, own: Git
) -> None:
    first = commit(repo, {"sql/1.sql": "a", "app": "1"})
    second = commit(repo, {"app": "2"})
    third = commit(repo, {"sql/1.sql": "b"})
    assert is_newest_of(own, third, third, ["sql/**"])
    assert is_newest_of(own, second, third, ["sql/**"])
    assert not is_newest_of(own, first, second, ["sql/**"])
    assert not is_newest_of(own, first, third, ["sql/**"])
    assert is_newest_of(own, first, second, [])
    assert is_newest_of(own, first, third, ["app"])
    back = commit(repo, {"sql/1.sql": "a"})
    assert not is_newest_of(own, second, back, ["sql/**"])
    assert is_newest_of(own, second, back, ["app", "none"]) is False


def test_what_a_merge_brought_in_is_not_of_the_line(
    repo: Path, own: Git, fork: tuple[str, str, str]
) -> None:
    _, main, other = fork
    git(repo, "merge", "--quiet", "--no-edit", "other")
    head = own.branch("main") or ""
    assert is_newest_of(own, main, head, [])
    assert not is_newest_of(own, other, head, [])
    assert not is_newest_of(own, head, main, [])


def test_in_an_empty_repository_there_is_nothing(tmp_path: Path) -> None:
    assert Git(make_repository(tmp_path / "empty") / ".git").refs("refs") == {}
