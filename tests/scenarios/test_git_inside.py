"""git inside an instance, and sync and update, on the real engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.adapters.engine.protocol import Engine
from tests.contract.tiny_image import tiny_image
from tests.real_git import commit, git
from tests.scenarios.conftest import App

pytestmark = pytest.mark.engine

WITHOUT_GIT = "treedock-test/without-git:1"
COMMIT = "echo x > login.txt && git add login.txt && git commit --quiet -m login"


@pytest.fixture
def plain(app: App) -> App:
    """The app without services and database: git is the point here."""
    app.configure(services=None, database=None)
    return app


@pytest.fixture
def without_git(docker_engine: Engine) -> Iterator[str]:
    """The name of an image that has a shell and no git."""
    docker_engine.import_image(tiny_image(), WITHOUT_GIT)
    yield WITHOUT_GIT
    docker_engine.remove_image(WITHOUT_GIT)


def head(app: App) -> str:
    return git(app.folder, "rev-parse", "feature/auth").strip()


def inside(app: App, script: str) -> str:
    """What a script says that has to succeed inside."""
    answer = app.inside("auth", script)
    assert answer.exit_code == 0, answer.stderr
    return answer.stdout.strip()


def test_git_inside_works_as_anywhere_and_its_commits_come_out(plain: App, tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.write_text("*.md eol=crlf\n*.secret\n")
    for name in ("attributes", "excludes"):
        git(plain.folder, "config", f"core.{name}File", str(rules))
    commit(plain.folder, {"crlf.md": "one\ntwo\n"})
    plain.up("auth")
    assert inside(plain, "git status --porcelain; git fsck --strict") == ""
    seen = inside(plain, "cat -A crlf.md; touch *; echo x > a.secret; git add -A; git status -s")
    assert seen == "one^M$\ntwo^M$"
    assert plain.inside("auth", "echo > $(git config core.excludesFile)").exit_code != 0
    # Neither of the system's files counts inside, as far as the user of this test can write them.
    plain.inside("auth", "echo '* eol=crlf' > /etc/gitattributes")
    plain.inside("auth", "git config --system core.autocrlf true")
    assert inside(plain, "git check-attr eol x.c") == "x.c: eol: unspecified"
    assert inside(plain, "git config core.autocrlf") == "false"
    git(plain.folder, "config", "core.autocrlf", "input")
    plain.cli("sync", "auth")
    assert inside(plain, "git config core.autocrlf") == "input"
    git(plain.folder, "config", "core.autocrlf", "false")
    made = inside(plain, f"{COMMIT}; git rev-parse HEAD")
    answer = plain.cli("sync", "auth", "--json")
    (synced,) = answer.json["synced"]
    assert (synced["head"], synced["moved"]) == (made, "inside")
    assert head(plain) == made
    assert git(plain.tree("auth"), "status", "--porcelain") == ""
    here = commit(plain.tree("auth"), {"here.txt": "x\n"})
    assert plain.cli("sync", "auth").stdout == f"auth: {here[:10]} went in\n"
    assert inside(plain, "git rev-parse HEAD; git status --porcelain") == here


def test_where_both_moved_the_command_says_both_and_the_ways_on(plain: App) -> None:
    plain.up("auth")
    theirs = inside(plain, f"{COMMIT}; git rev-parse HEAD")
    ours = commit(plain.tree("auth"), {"here.txt": "x\n"})
    refused = plain.cli("sync", "auth")
    assert refused.exit_code == 4
    assert theirs[:10] in refused.stderr
    assert ours[:10] in refused.stderr
    assert plain.cli("sync", "auth", "--keep", "inside").exit_code == 0
    assert head(plain) == theirs
    assert git(plain.folder, "rev-parse", "refs/treedock/auth/was/1").strip() == ours


def test_a_stopped_instance_is_synced_by_a_container_that_goes_again(plain: App) -> None:
    plain.up("auth")
    made = inside(plain, f"{COMMIT}; git rev-parse HEAD")
    (container,) = plain.containers()
    plain.engine.stop(container, 2)
    answer = plain.cli("sync", "auth")
    assert answer.exit_code == 0, answer.stderr
    assert "git runs in a container of its own" in answer.stderr
    assert head(plain) == made
    assert plain.containers() == [container]
    assert plain.status("auth")["state"] != "running"


def test_an_image_without_git_is_synced_all_the_same(without_git: str, plain: App) -> None:
    plain.up("auth")
    made = inside(plain, f"{COMMIT}; git rev-parse HEAD")
    (container,) = plain.containers()
    plain.engine.stop(container, 2)
    plain.configure(image={"name": without_git})
    plain.up("auth")
    assert plain.inside("auth", "git version").exit_code == 127
    assert head(plain) == made
    here = commit(plain.tree("auth"), {"here.txt": "x\n"})
    assert plain.cli("sync", "auth").stdout == f"auth: {here[:10]} went in\n"
    assert len(plain.containers()) == 1


def test_main_is_out_of_reach_of_git_inside(plain: App) -> None:
    plain.up("auth")
    before = git(plain.folder, "for-each-ref"), objects(plain)
    for attempt in (
        "git update-ref -d refs/heads/main",
        "git update-ref refs/heads/main HEAD~1; git gc --quiet --prune=now",
        "git worktree prune; git pack-refs --all; git repack -adq",
        "touch /run/treedock/objects/x",
        "rm -rf /run/treedock/objects/*",
        "git branch -f main HEAD~1; git push --quiet . HEAD:main",
    ):
        plain.inside("auth", attempt)
    assert (git(plain.folder, "for-each-ref"), objects(plain)) == before
    git(plain.folder, "fsck", "--strict")


def objects(app: App) -> list[Path]:
    return sorted(p for p in (app.folder / ".git/objects").rglob("*") if p.is_file())


def test_a_damaged_git_directory_is_made_anew_and_is_what_the_container_shows(plain: App) -> None:
    plain.up("auth")
    made = inside(plain, f"{COMMIT}; git rev-parse HEAD")
    plain.cli("sync", "auth")
    inside(plain, 'echo garbage > "$(cat .git | cut -d" " -f2)/HEAD"')
    refused = plain.cli("sync", "auth")
    assert refused.exit_code == 4
    assert "no git directory any more" in refused.stderr
    plain.up("auth")
    assert inside(plain, "git rev-parse HEAD; git status --porcelain") == made


def test_a_conflict_is_resolved_inside_and_its_file_names_are_shown_escaped(plain: App) -> None:
    name = "a\x1b[31mred.txt"
    commit(plain.folder, {name: "one\n"})
    plain.up("auth")
    (plain.tree("auth") / name).write_text("inside\n")
    inside(plain, "git commit --quiet --all -m inside")
    commit(plain.folder, {"more.txt": "x\n"})
    assert plain.cli("rebase", "auth").exit_code == 0
    git(plain.folder, "merge-base", "--is-ancestor", "main", "feature/auth")
    commit(plain.folder, {name: "base\n"})
    refused = plain.cli("update", "auth")
    assert refused.exit_code == 4
    assert "red.txt" in refused.stderr
    assert "\x1b" not in refused.stderr
    (plain.tree("auth") / name).write_text("both\n")
    inside(plain, "git add --all")
    done = plain.cli("update", "auth", "--continue")
    assert done.exit_code == 0, done.stderr
    assert git(plain.folder, "show", f"feature/auth:{name}") == "both\n"
