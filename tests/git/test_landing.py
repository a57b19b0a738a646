"""Base moves in the person's own checkout: under git's own lock, and nothing of theirs is lost."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.adapters.store.runs import Journal, Landing
from runner.controller.landing.land import land, settle, take_back
from runner.domain.errors import GitFailed, Refused
from tests.real_git import commit, git
from tests.shop import Shop

KILLED = """
import sys
from runner.adapters.store.runs import Landing
from runner.controller.landing.land import land
from runner.controller.project import open_repository
from pathlib import Path
land(open_repository(Path(sys.argv[1])), Landing("", *sys.argv[2:], {}), print)
"""


@pytest.fixture
def candidate(shop: Shop) -> str:
    """A commit on top of main that changes README.md and adds new.txt; main is checked out."""
    git(shop.repo, "switch", "--quiet", "-c", "work")
    made = commit(shop.repo, {"README.md": "# changed\n", "new.txt": "new\n"}, "work")
    git(shop.repo, "switch", "--quiet", "main")
    return made


@pytest.fixture
def just_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """just_before("merge", "echo x > y"): a git that does this once, before that command of it."""

    def arrange(verb: str, does: str) -> None:
        folder, done = tmp_path / "bin", tmp_path / "done"
        folder.mkdir()
        found = subprocess.run(["which", "git"], capture_output=True, text=True, check=True)
        real = found.stdout.strip()
        then = f"touch {done}; unset GIT_INDEX_FILE; {does}"
        look = f'for w; do [ "$w" = {verb} ] && [ ! -e {done} ] && ( {then} ); done'
        (folder / "git").write_text(f'#!/bin/sh\n{look}\nexec {real} "$@"\n')
        (folder / "git").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    return arrange


def landing(shop: Shop, candidate: str) -> Landing:
    return Landing("", "main", head(shop), candidate, {})


def head(shop: Shop, name: str = "main") -> str:
    return git(shop.repo, "rev-parse", name).strip()


def journal(shop: Shop) -> Path:
    return Journal(shop.repository.records.root).path


def do(hint: str, cwd: Path) -> None:
    """Type what a hint says behind its last ': '."""
    subprocess.run(["sh", "-ec", hint.rpartition(": ")[2]], cwd=cwd, check=True)


def is_whole(shop: Shop, candidate: str) -> None:
    assert head(shop) == candidate
    assert git(shop.repo, "status", "--porcelain") == ""
    assert (shop.repo / "new.txt").read_text() == "new\n"
    assert not [*(shop.repo / ".git").glob("*index*.lock"), *shop.repo.glob(".git/treedock-*")]
    assert not journal(shop).exists()


@pytest.mark.deep
def test_a_commit_that_is_being_written_keeps_its_lock_and_goes_through(
    shop: Shop, candidate: str, tmp_path: Path, eventually: Callable[..., object]
) -> None:
    (shop.repo / "mine.txt").write_text("mine\n")
    git(shop.repo, "add", "mine.txt")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    editor = f"sh -c 'cat {pipe}; echo mine > \"$0\"'"
    writing = subprocess.Popen(
        ["git", "commit", "--quiet", "--all"],
        cwd=shop.repo,
        env=os.environ | {"GIT_EDITOR": editor},
    )
    lock = shop.repo / ".git/index.lock"
    eventually(lambda: os.path.lexists(lock))
    before = lock.lstat()
    with pytest.raises(Refused, match="git is at work in"):
        land(shop.repository, landing(shop, candidate), shop.emit)
    assert os.path.samestat(lock.lstat(), before)
    assert not journal(shop).exists()
    pipe.write_text("")
    assert writing.wait(30) == 0
    assert git(shop.repo, "log", "-1", "--format=%s").strip() == "mine"
    assert git(shop.repo, "status", "--porcelain") == ""


@pytest.mark.deep
def test_a_lock_that_appears_between_look_and_landing_is_left_alone(
    shop: Shop, candidate: str, just_before: Callable[[str, str], None]
) -> None:
    lock = shop.repo / ".git/index.lock"
    just_before("status", f"touch {lock}")
    with pytest.raises(Refused, match="git is at work in") as refused:
        land(shop.repository, landing(shop, candidate), shop.emit)
    assert lock.exists()
    assert not journal(shop).exists()
    do(refused.value.hint, shop.repo)
    land(shop.repository, landing(shop, candidate), shop.emit)
    is_whole(shop, candidate)


def test_an_edit_just_as_base_moves_stays_and_the_way_out_keeps_it(
    shop: Shop, candidate: str, just_before: Callable[[str, str], None]
) -> None:
    just_before("merge", f": > {shop.repo}/README.md; echo mine > {shop.repo}/new.txt")
    with pytest.raises(Refused, match=r"README\.md") as refused:
        land(shop.repository, landing(shop, candidate), shop.emit)
    assert (shop.repo / "README.md").read_text() == ""
    assert (shop.repo / "new.txt").read_text() == "mine\n"
    assert "cut off" not in refused.value.message
    assert not journal(shop).exists()
    do(refused.value.hint, shop.repo)
    land(shop.repository, landing(shop, candidate), shop.emit)
    is_whole(shop, candidate)
    assert git(shop.repo, "show", "stash@{0}^3:new.txt") == "mine\n"


def test_a_checkout_that_goes_to_another_branch_is_not_moved(
    shop: Shop, candidate: str, just_before: Callable[[str, str], None]
) -> None:
    git(shop.repo, "branch", "other")
    before = head(shop)
    just_before("status", f"git -C {shop.repo} switch --quiet other")
    land(shop.repository, landing(shop, candidate), shop.emit)
    assert head(shop) == candidate
    assert head(shop, "other") == before
    assert not (shop.repo / "new.txt").exists()
    assert git(shop.repo, "status", "--porcelain") == ""


def test_no_git_of_the_person_gets_between_the_look_at_head_and_the_move(
    shop: Shop, candidate: str, just_before: Callable[[str, str], None], tmp_path: Path
) -> None:
    git(shop.repo, "branch", "other")
    said = tmp_path / "said"
    just_before("merge", f"git -C {shop.repo} switch other 2> {said} && touch {said}.switched")
    land(shop.repository, landing(shop, candidate), shop.emit)
    is_whole(shop, candidate)
    assert "index.lock" in said.read_text()


@pytest.mark.deep
def test_a_kill_at_any_step_leaves_old_or_new_and_the_next_one_completes_it(
    shop: Shop, candidate: str
) -> None:
    before, killed = head(shop), 0
    arguments = [sys.executable, "-c", KILLED, str(shop.repo), "main", before, candidate]
    for number in range(1, 20):
        git(shop.repo, "reset", "--quiet", "--hard", before)
        (shop.repo / "staged.txt").write_text("mine\n")
        git(shop.repo, "add", "staged.txt")
        env = os.environ | {"TREEDOCK_KILL_AFTER": str(number)}
        done = subprocess.run(arguments, env=env, cwd=Path(__file__).parents[2])
        killed += done.returncode < 0
        settle(shop.repository, shop.emit)
        assert git(shop.repo, "status", "--porcelain") == "A  staged.txt\n", number
        if head(shop) != candidate:
            land(shop.repository, landing(shop, candidate), shop.emit)
        git(shop.repo, "rm", "--quiet", "--force", "staged.txt")
        is_whole(shop, candidate)
        if done.returncode == 0:
            break
    assert killed >= 5


def test_a_git_that_is_killed_while_it_writes_leaves_nothing_half_done(
    shop: Shop, candidate: str, just_before: Callable[[str, str], None]
) -> None:
    just_before("merge", f"printf ne > {shop.repo}/new.txt; kill -9 $$")
    with pytest.raises(GitFailed):
        land(shop.repository, landing(shop, candidate), shop.emit)
    assert git(shop.repo, "status", "--porcelain") == ""
    assert not journal(shop).exists()
    land(shop.repository, landing(shop, candidate), shop.emit)
    is_whole(shop, candidate)


def test_edits_after_a_cut_off_are_put_aside_by_what_the_refusal_says(
    shop: Shop, candidate: str
) -> None:
    Journal(shop.repository.records.root).begin(landing(shop, candidate))
    (shop.repo / "README.md").write_text("mine\n")
    (shop.repo / "new.txt").write_text("mine too\n")
    with pytest.raises(Refused, match="cut off") as refused:
        settle(shop.repository, shop.emit)
    assert (shop.repo / "README.md").read_text() == "mine\n"
    do(refused.value.hint, shop.repo)
    settle(shop.repository, shop.emit)
    assert git(shop.repo, "show", "stash@{0}:README.md") == "mine\n"
    assert git(shop.repo, "show", "stash@{0}^3:new.txt") == "mine too\n"


def test_an_ignored_file_in_the_way_is_moved_by_what_the_refusal_says(
    shop: Shop, candidate: str
) -> None:
    with (shop.repo / ".git/info/exclude").open("a") as file:
        file.write("new.txt\n")
    (shop.repo / "new.txt").write_text("mine\n")
    (shop.repo / "README.md").write_text("mine as well\n")
    with pytest.raises(Refused, match=r"new\.txt") as refused:
        land(shop.repository, landing(shop, candidate), shop.emit)
    do(refused.value.hint, shop.repo)
    land(shop.repository, landing(shop, candidate), shop.emit)
    assert head(shop) == candidate
    assert (shop.repo / "new.txt.kept").read_text() == "mine\n"
    assert git(shop.repo, "show", "stash@{0}:README.md") == "mine as well\n"


def test_a_file_where_a_folder_is_to_be_is_in_the_way(shop: Shop) -> None:
    git(shop.repo, "switch", "--quiet", "-c", "work")
    made = commit(shop.repo, {"docs/a.txt": "a\n"})
    git(shop.repo, "switch", "--quiet", "main")
    (shop.repo / "docs").write_text("mine\n")
    with pytest.raises(Refused, match=r"This would overwrite changes in .*: docs"):
        land(shop.repository, landing(shop, made), shop.emit)
    (shop.repo / "docs").unlink()
    (shop.repo / "docs").mkdir()
    land(shop.repository, landing(shop, made), shop.emit)
    assert (shop.repo / "docs/a.txt").exists()


def test_a_folder_that_becomes_a_file_lands_unless_something_of_the_person_is_in_it(
    shop: Shop,
) -> None:
    commit(shop.repo, {"docs/a.txt": "a\n"})
    git(shop.repo, "switch", "--quiet", "-c", "work")
    git(shop.repo, "rm", "--quiet", "docs/a.txt")
    made = commit(shop.repo, {"docs": "a\n"})
    git(shop.repo, "switch", "--quiet", "main")
    (shop.repo / "docs/mine.txt").write_text("mine\n")
    with pytest.raises(Refused, match=r"docs/mine\.txt"):
        land(shop.repository, landing(shop, made), shop.emit)
    (shop.repo / "docs/mine.txt").unlink()
    land(shop.repository, landing(shop, made), shop.emit)
    assert (shop.repo / "docs").read_text() == "a\n"


def test_nothing_lands_while_a_mail_is_being_applied(shop: Shop, candidate: str) -> None:
    patch = git(shop.repo, "format-patch", "--stdout", "-1", "work")
    commit(shop.repo, {"README.md": "# other\n"})
    subprocess.run(["git", "am", "-q"], input=patch, text=True, cwd=shop.repo, capture_output=True)
    with pytest.raises(Refused, match="am is in progress"):
        land(shop.repository, landing(shop, candidate), shop.emit)


@pytest.fixture
def landed(shop: Shop) -> Landing:
    """A landing that removed settings.txt and ignores it since; it can be taken back."""
    before = commit(shop.repo, {"settings.txt": "shared\n", "a.txt": "a\n", "b.txt": "b\n"})
    git(shop.repo, "rm", "--quiet", "settings.txt")
    after = commit(shop.repo, {".gitignore": "settings.txt\n", "new.txt": "new\n"})
    return Landing("", "main", after, before, {})


def test_taking_back_overwrites_no_ignored_file(shop: Shop, landed: Landing) -> None:
    (shop.repo / "settings.txt").write_text("mine\n")
    with pytest.raises(Refused, match=r"would overwrite changes in .*: settings\.txt") as refused:
        take_back(shop.repository, landed, shop.emit)
    assert head(shop) == landed.expected
    assert (shop.repo / "settings.txt").read_text() == "mine\n"
    do(refused.value.hint, shop.repo)
    take_back(shop.repository, landed, shop.emit)
    assert head(shop) == landed.candidate
    assert (shop.repo / "settings.txt").read_text() == "shared\n"
    assert (shop.repo / "settings.txt.kept").read_text() == "mine\n"


def test_taking_back_leaves_what_is_staged(shop: Shop, landed: Landing) -> None:
    (shop.repo / "a.txt").write_text("staged\n")
    git(shop.repo, "add", "a.txt")
    (shop.repo / "a.txt").write_text("later\n")
    git(shop.repo, "rm", "--quiet", "--cached", "b.txt")
    take_back(shop.repository, landed, shop.emit)
    assert head(shop) == landed.candidate
    assert git(shop.repo, "show", ":a.txt") == "staged\n"
    assert (shop.repo / "a.txt").read_text() == "later\n"
    status = git(shop.repo, "status", "--porcelain").splitlines()
    assert status == ["MM a.txt", "D  b.txt", "?? b.txt"]


@pytest.mark.parametrize("flag", ["skip-worktree", "assume-unchanged"])
def test_an_edit_under_an_index_flag_is_put_aside_by_what_the_refusal_says(
    shop: Shop, candidate: str, flag: str
) -> None:
    git(shop.repo, "update-index", f"--{flag}", "README.md")
    (shop.repo / "README.md").write_text("mine\n")
    with pytest.raises(Refused, match=r"README\.md") as refused:
        land(shop.repository, landing(shop, candidate), shop.emit)
    do(refused.value.hint, shop.repo)
    land(shop.repository, landing(shop, candidate), shop.emit)
    assert head(shop) == candidate
    assert git(shop.repo, "show", "stash@{0}:README.md") == "mine\n"


def test_a_kill_while_it_is_taken_back_leaves_old_or_new(
    shop: Shop, landed: Landing, just_before: Callable[[str, str], None]
) -> None:
    just_before("update-ref", "kill -9 $$")
    with pytest.raises(GitFailed):
        take_back(shop.repository, landed, shop.emit)
    settle(shop.repository, shop.emit)
    assert head(shop) == landed.expected
    assert git(shop.repo, "status", "--porcelain") == ""
    assert not (shop.repo / "settings.txt").exists()
