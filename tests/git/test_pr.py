"""`pr`: the branch as it is inside goes to the origin without force, and a request is opened."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.git import remotes
from runner.adapters.git.repository import Git
from runner.adapters.github import Forge, compare_url, forge_of
from runner.controller.instance.worktree import InstanceRequest
from runner.controller.landing.pr import pr
from runner.domain.errors import CommandFailed, GitFailed, MergeConflict, Refused, Unavailable
from runner.domain.landing.pull_request import Opened
from tests.real_git import commit, git, write
from tests.running import Cli
from tests.shop import Shop

pytestmark = pytest.mark.deep

GITHUB = "https://token:secret@github.com/ada/shop.git"
CREATED = "https://github.com/ada/shop/pull/7"

_GH = """\
#!{python}
import json, os, sys
from pathlib import Path
folder = Path({folder!r})
calls = json.loads((folder / "calls").read_text())
calls.append({{"argv": sys.argv[1:], "stdin": sys.stdin.read(), "cwd": os.getcwd()}})
(folder / "calls").write_text(json.dumps(calls))
answer = json.loads((folder / sys.argv[2]).read_text())
print(answer["out"])
print(answer["err"], file=sys.stderr)
sys.exit(answer["code"])
"""


@dataclass
class Gh:
    """A `gh` that records how it is called and answers what it is told to."""

    folder: Path

    def answer(self, verb: str, out: str = "", err: str = "", code: int = 0) -> None:
        (self.folder / verb).write_text(json.dumps({"out": out, "err": err, "code": code}))

    @property
    def calls(self) -> list[Any]:
        return list(json.loads((self.folder / "calls").read_text()))

    def option(self, name: str) -> list[str]:
        """The values of an option of the last call."""
        start = f"--{name}="
        argv = self.calls[-1]["argv"]
        return [word.removeprefix(start) for word in argv if word.startswith(start)]


@pytest.fixture
def plain_path(tmp_path: Path) -> Iterator[Path]:
    """A folder at the front of a PATH that has no gh behind it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    before = os.environ["PATH"]
    others = [p for p in before.split(os.pathsep) if not (Path(p) / "gh").exists()]
    os.environ["PATH"] = os.pathsep.join([str(folder), *others])
    yield folder
    os.environ["PATH"] = before


@pytest.fixture
def gh(plain_path: Path, tmp_path: Path) -> Gh:
    """A gh that knows no pull request yet."""
    import sys

    folder = tmp_path / "gh"
    folder.mkdir()
    (folder / "calls").write_text("[]")
    program = plain_path / "gh"
    program.write_text(_GH.format(python=sys.executable, folder=str(folder)))
    program.chmod(0o755)
    fake = Gh(folder)
    fake.answer("list", "[]")
    fake.answer("create", f"{CREATED}\n")
    return fake


@pytest.fixture
def github(repo: Path, origin: Path) -> Path:
    """The bare repository `origin`, which `repo` believes to be at GitHub."""
    git(repo, "config", "remote.origin.url", GITHUB)
    git(repo, "config", f"url.{origin}.insteadOf", GITHUB)
    return origin


def ask(shop: Shop, **wishes: Any) -> Opened:
    shop.events.clear()
    return pr(shop.repository, "auth", shop.emit, **wishes)


def at_origin(origin: Path, branch: str = "feature/auth") -> str:
    return git(origin, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}").strip()


def test_the_branch_is_pushed_and_a_request_created(shop: Shop, github: Path, gh: Gh) -> None:
    shop.up(InstanceRequest("auth", purpose="Log in with a key\n\nAs in the\nticket."))
    commit(shop.tree("auth"), {"a": "1"}, "first")
    head = commit(shop.tree("auth"), {"a": "2"}, "second")
    opened = ask(shop, labels=["-x", "ready, steady"], draft=True)
    assert opened == Opened(
        "auth", "feature/auth", "main", head, pushed=True, url=CREATED, exists=True, created=True
    )
    assert at_origin(github) == head
    assert [call["argv"][:2] for call in gh.calls] == [["pr", "list"], ["pr", "create"]]
    assert gh.option("repo") == ["github.com/ada/shop"]
    assert (gh.option("head"), gh.option("base")) == (["feature/auth"], ["main"])
    assert gh.option("title") == ["Log in with a key"]
    assert gh.option("label") == ["-x", '"ready, steady"']
    assert "--draft" in gh.calls[-1]["argv"]
    assert gh.calls[-1]["stdin"] == "Log in with a key\n\nAs in the\nticket.\n\n- first\n- second"
    assert "secret" not in json.dumps(gh.calls)


def test_without_a_task_the_commits_speak(shop: Shop, github: Path, gh: Gh) -> None:
    shop.up("auth")
    commit(shop.tree("auth"), {"a": "1"}, "log in\n\nwith a key")
    ask(shop)
    assert gh.option("title") == ["log in"]
    assert gh.calls[-1]["stdin"] == "with a key"


def test_title_and_body_can_be_given(shop: Shop, github: Path, gh: Gh) -> None:
    shop.up("auth")
    commit(shop.tree("auth"), {"a": "1"})
    ask(shop, title="--repo=evil/x", body="-F /etc/passwd\nline two")
    assert gh.option("title") == ["--repo=evil/x"]
    assert gh.option("repo") == ["github.com/ada/shop"]
    assert gh.calls[-1]["stdin"] == "-F /etc/passwd\nline two"


def test_control_characters_of_a_branch_reach_neither_title_nor_body(
    shop: Shop, github: Path, gh: Gh
) -> None:
    shop.up("auth")
    commit(shop.tree("auth"), {"a": "1"}, "a\x1b[2Jb\x07\u202e\tc\n\nbody\x1b]0;x\x07\nmore\x9b")
    ask(shop)
    assert gh.option("title") == ["a [2Jb c"]
    assert gh.calls[-1]["stdin"] == "body]0;x\nmore"


def test_a_request_that_exists_is_left_alone(shop: Shop, github: Path, gh: Gh) -> None:
    shop.up("auth")
    commit(shop.tree("auth"), {"a": "1"})
    theirs = {"url": "https://github.com/eve/shop/pull/1", "isCrossRepository": True}
    own = {"url": "https://github.com/ada/shop/pull/3", "isCrossRepository": False}
    gh.answer("list", json.dumps([theirs, own]))
    opened = ask(shop)
    assert (opened.url, opened.exists, opened.created) == (own["url"], True, False)
    assert len(gh.calls) == 1
    gh.answer("list", json.dumps([theirs]))
    again = ask(shop)
    assert (again.pushed, again.created) == (False, True)


def test_a_gh_that_fails_leaves_the_branch_pushed_and_says_where_to_go_on(
    shop: Shop, github: Path, gh: Gh
) -> None:
    shop.up("auth")
    head = commit(shop.tree("auth"), {"a": "1"})
    gh.answer("create", err="could not add label: 'x' not found", code=1)
    with pytest.raises(Unavailable, match="'x' not found") as caught:
        ask(shop)
    assert "https://github.com/ada/shop/compare/main...feature/auth" in caught.value.hint
    assert at_origin(github) == head


def test_a_gh_that_answers_nonsense_is_an_error(shop: Shop, github: Path, gh: Gh) -> None:
    shop.up("auth")
    commit(shop.tree("auth"), {"a": "1"})
    gh.answer("list", "upgrade now!")
    with pytest.raises(Unavailable, match="did not answer as expected"):
        ask(shop)


@pytest.mark.usefixtures("plain_path")
def test_without_gh_the_address_to_compare_at_is_given(shop: Shop, github: Path) -> None:
    shop.up("auth")
    head = commit(shop.tree("auth"), {"a": "1"})
    opened = ask(shop)
    assert opened.url == "https://github.com/ada/shop/compare/main...feature/auth?expand=1"
    assert (opened.exists, opened.created) == (False, False)
    assert at_origin(github) == head


def test_for_an_unknown_host_the_branch_is_pushed(
    shop: Shop, origin: Path, gh: Gh, cli: Cli
) -> None:
    shop.up("auth")
    head = commit(shop.tree("auth"), {"a": "1"})
    opened = ask(shop)
    assert (opened.url, opened.pushed, at_origin(origin)) == (None, True, head)
    assert gh.calls == []
    answer = cli("pr", "auth", "--json")
    opened = answer.json["pull_request"]
    assert (answer.exit_code, opened["commit"], opened["pushed"]) == (0, head, False)


def test_without_a_remote_it_is_refused(shop: Shop) -> None:
    shop.up("auth")
    commit(shop.tree("auth"), {"a": "1"})
    with pytest.raises(Refused, match="no remote origin"):
        ask(shop)


def test_with_nothing_ahead_of_base_it_is_refused(shop: Shop, origin: Path) -> None:
    shop.up("auth")
    write(shop.tree("auth"), {"a": "1"})
    with pytest.raises(Refused, match="no commit that main lacks"):
        ask(shop)
    assert at_origin(origin) == ""


def test_flagged_files_are_named_before_the_push(shop: Shop, origin: Path) -> None:
    shop.up("auth")
    commit(shop.tree("auth"), {".github/workflows/ci.yml": "evil", "a.py": ""})
    ask(shop)
    assert [text for text in shop.warnings if "ci.yml" in text]
    assert not [text for text in shop.warnings if "a.py" in text]


def test_a_rejected_push_changes_nothing_and_says_what_next(
    shop: Shop, origin: Path, tmp_path: Path
) -> None:
    shop.up("auth")
    commit(shop.tree("auth"), {"a": "1"})
    ask(shop)
    git(tmp_path, "clone", "--quiet", "--branch", "feature/auth", str(origin), "other")
    theirs = commit(tmp_path / "other", {"b": "1"})
    git(tmp_path / "other", "push", "--quiet")
    commit(shop.tree("auth"), {"a": "2"})
    with pytest.raises(Refused, match="did not take") as caught:
        ask(shop)
    assert "git fetch origin feature/auth" in caught.value.hint
    assert at_origin(origin) == theirs


def test_the_hint_after_a_rewrite_works(shop: Shop, origin: Path) -> None:
    shop.up("auth")
    commit(shop.tree("auth"), {"a": "1"})
    ask(shop)
    git(shop.tree("auth"), "commit", "--quiet", "--amend", "--message", "better")
    with pytest.raises(Refused) as caught:
        ask(shop)
    command = caught.value.hint.rpartition(": ")[2].split()
    assert command[:2] == ["git", "push"]
    git(shop.repo, *command[1:])
    assert ask(shop).pushed is False


def test_no_hook_runs_at_a_push(shop: Shop, origin: Path, tmp_path: Path) -> None:
    shop.up("auth")
    commit(shop.tree("auth"), {"a": "1"})
    hook = shop.repo / ".git/hooks/pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path / 'canary'}\nexit 1\n")
    hook.chmod(0o755)
    assert ask(shop).pushed
    assert not (tmp_path / "canary").exists()


def test_a_remote_that_is_away_is_an_error_of_git(shop: Shop, origin: Path) -> None:
    shop.up("auth")
    commit(shop.tree("auth"), {"a": "1"})
    origin.rename(origin.with_name("gone"))
    with pytest.raises(GitFailed, match="push failed"):
        ask(shop)


def test_a_push_with_an_expected_commit_replaces_only_that_one(repo: Path, origin: Path) -> None:
    ours, first = Git(repo / ".git"), git(repo, "rev-parse", "HEAD").strip()
    second = commit(repo, {"a": "1"})
    assert remotes.push(ours, "origin", second, "x")
    assert not remotes.push(ours, "origin", second, "x")
    with pytest.raises(Refused):
        remotes.push(ours, "origin", first, "x")
    with pytest.raises(Refused):
        remotes.push(ours, "origin", first, "x", expected=first)
    assert remotes.head_at(ours, "origin", "x") == second
    assert remotes.push(ours, "origin", first, "x", expected=second)
    assert remotes.head_at(ours, "origin", "x") == first


def test_a_remote_branch_is_deleted_only_at_the_expected_commit(repo: Path, origin: Path) -> None:
    ours, first = Git(repo / ".git"), git(repo, "rev-parse", "HEAD").strip()
    second = commit(repo, {"a": "1"})
    remotes.push(ours, "origin", second, "x")
    with pytest.raises(Refused, match="did not delete x"):
        remotes.delete_branch(ours, "origin", "x", first)
    assert at_origin(origin, "x") == second
    assert remotes.delete_branch(ours, "origin", "x", second)
    assert remotes.delete_branch(ours, "origin", "x", second) is False
    assert at_origin(origin, "x") == ""


@pytest.mark.parametrize(
    ("url", "forge"),
    [
        ("git@github.com:ada/shop.git", Forge("github", "github.com", "ada/shop")),
        ("github.com:ada/shop", Forge("github", "github.com", "ada/shop")),
        ("https://github.com/ada/shop", Forge("github", "github.com", "ada/shop")),
        ("https://u:p@GitHub.com/ada/shop.git/", Forge("github", "github.com", "ada/shop")),
        ("ssh://git@ssh.github.com:443/ada/shop.git", Forge("github", "github.com", "ada/shop")),
        ("https://github.example.com/a/b", Forge("github", "github.example.com", "a/b")),
        ("git@gitlab.com:g/sub/shop.git", Forge("gitlab", "gitlab.com", "g/sub/shop")),
        ("https://gitlab.x.org:8443/g/s", Forge("gitlab", "gitlab.x.org:8443", "g/s")),
        ("ssh://git@gitlab.x.org:2222/g/s", Forge("gitlab", "gitlab.x.org", "g/s")),
        ("git@bitbucket.org:ada/shop.git", Forge("bitbucket", "bitbucket.org", "ada/shop")),
        ("https://ada@bitbucket.org/ada/shop.git", Forge("bitbucket", "bitbucket.org", "ada/shop")),
        ("/srv/git/shop.git", None),
        ("file:///srv/github.com/a/b", None),
        ("https://example.com/ada/shop", None),
        ("https://notgithub.com/ada/shop", None),
        ("https://github.com/ada", None),
        ("https://github.com/a/b/c", None),
        ("https://github.com/a b/c", None),
        ("https://[broken/a/b", None),
        ("-oProxyCommand=x:a/b", None),
        ("", None),
    ],
)
def test_the_host_of_a_remote_is_known_from_its_address(url: str, forge: Forge | None) -> None:
    assert forge_of(url) == forge


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (
            "git@github.com:a/b",
            "https://github.com/a/b/compare/rel/1%231...feature/x?expand=1",
        ),
        (
            "git@gitlab.com:g/s/b",
            "https://gitlab.com/g/s/b/-/merge_requests/new?merge_request%5Bsource_branch%5D="
            "feature%2Fx&merge_request%5Btarget_branch%5D=rel%2F1%231",
        ),
        (
            "git@bitbucket.org:a/b",
            "https://bitbucket.org/a/b/pull-requests/new?source=feature%2Fx&dest=rel%2F1%231",
        ),
    ],
)
def test_the_address_to_compare_at(url: str, address: str) -> None:
    forge = forge_of(url)
    assert forge is not None
    assert compare_url(forge, "rel/1#1", "feature/x") == address


def test_the_gates_run_on_the_branch_merged_into_base_before_it_is_pushed(
    shop: Shop, origin: Path
) -> None:
    shop.configure(test="test -f a && test -f of-base")
    git(shop.repo, "commit", "--quiet", "--all", "--message", "a gate")
    shop.up("auth")
    commit(shop.repo, {"of-base": "1"})
    head = commit(shop.tree("auth"), {"b": "1"})
    with pytest.raises(CommandFailed, match="auth is red, merged into main") as caught:
        ask(shop)
    assert at_origin(origin) == ""
    assert caught.value.exit_code == 1
    log = Path(caught.value.hint.partition("The logs: ")[2].partition(";")[0])
    assert (log / "gate-1.log").exists()
    assert not ask(shop, no_gate=True).tested
    assert at_origin(origin) == head
    head = commit(shop.tree("auth"), {"a": "1"})
    assert ask(shop).tested
    assert at_origin(origin) == head


def test_what_conflicts_with_base_is_pushed_without_a_gate_only(shop: Shop, origin: Path) -> None:
    shop.configure(test="true")
    git(shop.repo, "commit", "--quiet", "--all", "--message", "a gate")
    shop.up("auth")
    commit(shop.repo, {"README.md": "of base\n"})
    head = commit(shop.tree("auth"), {"README.md": "of the branch\n"})
    with pytest.raises(MergeConflict, match=r"conflicts with main in: README\.md") as caught:
        ask(shop)
    assert "treedock pr auth --no-gate" in caught.value.hint
    assert at_origin(origin) == ""
    ask(shop, no_gate=True)
    assert at_origin(origin) == head
