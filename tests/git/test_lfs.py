"""Git LFS: commits hold pointers, and the files themselves are neither lost nor left behind."""

import shutil
import subprocess
from pathlib import Path

import pytest

from runner.controller.instance.worktree import InstanceRequest
from runner.controller.landing.conflicts import conflicts
from runner.controller.landing.merge import merge
from runner.controller.landing.pr import pr
from runner.controller.landing.review import review
from runner.controller.sync.update import How
from runner.domain.landing.outcomes import Merged, Outcome
from runner.domain.requests.landing import Merge
from tests.inside import Inside
from tests.real_git import commit, git, write
from tests.running import CHECKOUT
from tests.shop import Shop

pytestmark = pytest.mark.deep

POINTER = "version https://git-lfs.github.com/spec/v1"


@pytest.fixture
def large(shop: Shop, origin: Path) -> Shop:
    """The shop with `*.bin` under Git LFS, at an origin that has its files."""
    subprocess.run([CHECKOUT / "tests" / "install-lfs"], check=True)
    for key, value in {
        "clean": "git-lfs clean -- %f",
        "smudge": "git-lfs smudge -- %f",
        "required": "true",
    }.items():
        git(shop.repo, "config", f"filter.lfs.{key}", value)
    commit(shop.repo, {".gitattributes": "*.bin filter=lfs -text\n", "a.bin": "first\n"})
    git(shop.repo, "lfs", "push", "origin", "main")
    git(shop.repo, "push", "--quiet", "--no-verify", "origin", "main")
    return shop


def landed(shop: Shop, **wanted: object) -> tuple[Merged, Outcome]:
    options = Merge(no_gate=True, **wanted)  # type: ignore[arg-type]
    (merged,) = merge(shop.project, ["auth"], options, shop.emit)
    (outcome,) = merged.outcomes
    return merged, outcome


def files_at(origin: Path) -> int:
    return sum(path.is_file() for path in (origin / "lfs/objects").rglob("*"))


def fresh_clone(shop: Shop, origin: Path, branch: str = "main") -> Path:
    """A clone on another machine, as it were, which has git-lfs."""
    clone = shop.repo.parent / "fresh"
    settings = ["filter.lfs.smudge=git-lfs smudge -- %f", "filter.lfs.required=true"]
    options = [part for setting in settings for part in ("-c", setting)]
    git(shop.repo.parent, *options, "clone", "--quiet", "-b", branch, str(origin), "fresh")
    return clone


def test_what_a_merge_pushes_is_whole(large: Shop, origin: Path) -> None:
    large.up("auth")
    commit(large.tree("auth"), {"model.bin": "second\n", "b.bin": "third\n"})
    merged, outcome = landed(large)
    assert (outcome.state, merged.pushed, files_at(origin)) == ("landed", True, 3)
    assert (fresh_clone(large, origin) / "model.bin").read_text() == "second\n"


def test_what_a_pull_request_pushes_is_whole(large: Shop, origin: Path) -> None:
    large.up("auth")
    commit(large.tree("auth"), {"model.bin": "second\n"})
    assert pr(large.repository, "auth", large.emit).pushed
    assert (fresh_clone(large, origin, "feature/auth") / "model.bin").read_text() == "second\n"


def test_where_the_origin_does_not_take_a_file_nothing_lands(large: Shop, origin: Path) -> None:
    large.up("auth")
    commit(large.tree("auth"), {"model.bin": "second\n"})
    before = git(origin, "rev-parse", "main")
    (origin / "lfs").rename(origin / "elsewhere")
    (origin / "lfs").write_text("in the way")
    _, outcome = landed(large)
    assert outcome.state == "refused"
    assert "did not take the files of Git LFS" in outcome.message
    assert git(origin, "rev-parse", "main") == git(large.repo, "rev-parse", "main") == before
    (origin / "lfs").unlink()
    (origin / "elsewhere").rename(origin / "lfs")
    assert landed(large)[1].state == "landed"


def test_a_pointer_to_a_file_that_is_nowhere_is_refused_before_a_gate(
    large: Shop, tmp_path: Path
) -> None:
    large.up("auth")
    pointer = f"{POINTER}\noid sha256:{'1' * 64}\nsize 12\n"
    write(large.tree("auth"), {"model.bin": pointer})
    git(large.tree("auth"), "add", "model.bin")
    git(large.tree("auth"), "commit", "--quiet", "--message", "only its pointer")
    touched = tmp_path / "gate"
    wanted = Merge(gates=(f"touch {touched}",))
    (outcome,) = merge(large.project, ["auth"], wanted, large.emit)[0].outcomes
    assert outcome.state == "refused"
    assert "neither here nor at origin: 1111111111" in outcome.message
    assert not touched.exists()


def test_text_like_a_pointer_where_nothing_is_under_git_lfs_is_a_text(
    shop: Shop, origin: Path
) -> None:
    shop.up("auth")
    commit(shop.tree("auth"), {"t": f"{POINTER}\noid sha256:{'1' * 64}\nsize 12\n" + "x" * 20})
    assert landed(shop)[1].state == "landed"


def status(auth: Inside) -> tuple[str, str]:
    """What git says inside and on the host."""
    return auth("git status --porcelain"), git(auth.tree, "status", "--porcelain")


@pytest.mark.parametrize("how", ["merge", "rebase"])
def test_after_an_update_the_files_of_base_are_there_on_both_sides(large: Shop, how: How) -> None:
    large.up("auth")
    auth = Inside(large)
    auth.commit({"login.txt": "x\n"})
    commit(large.repo, {"a.bin": "of base\n", "new folder/b.bin": "new\n", "c.txt": "c\n"})
    auth.update(how)
    assert (auth.tree / "a.bin").read_text() == "of base\n"
    assert (auth.tree / "new folder/b.bin").read_text() == "new\n"
    assert status(auth) == ("", "")
    assert git(auth.tree, "show", "HEAD:a.bin").startswith(POINTER)
    commit(large.repo, {"a.bin": "again\n"})
    auth.update(how)
    assert (auth.tree / "a.bin").read_text() == "again\n"
    assert status(auth) == ("", "")


def test_a_file_that_is_committed_on_the_host_is_uncommitted_nowhere(large: Shop) -> None:
    large.up("auth")
    auth = Inside(large)
    commit(auth.tree, {"a.bin": "of the host\n", "b.bin": "new\n"})
    auth.sync()
    assert status(auth) == ("", "")
    commit(large.repo, {"c.txt": "c\n"})
    auth.update()
    assert (auth.tree / "a.bin").read_text() == "of the host\n"
    assert status(auth) == ("", "")
    seen = review(large.repository, "auth", large.emit)
    assert seen.uncommitted
    assert seen.uncommitted.files == []
    (compared,) = conflicts(large.project, ["auth"], large.emit)[0].compared
    assert (compared.dirty_included, compared.skipped) == (False, ())


def test_an_edit_of_such_a_file_stays_uncommitted_and_is_not_overwritten(large: Shop) -> None:
    large.up("auth")
    auth = Inside(large)
    commit(auth.tree, {"a.bin": "of the host\n"})
    write(auth.tree, {"a.bin": "edited\n"})
    auth.sync()
    assert (auth.tree / "a.bin").read_text() == "edited\n"
    assert git(auth.tree, "status", "--porcelain") == " M a.bin\n"
    assert auth.run("git diff-files --quiet").code != 0
    seen = review(large.repository, "auth", large.emit)
    assert seen.uncommitted
    assert [one.path for one in seen.uncommitted.files] == ["a.bin"]


def test_an_attached_branch_has_its_files(large: Shop) -> None:
    git(large.repo, "switch", "--quiet", "-c", "feature/auth")
    commit(large.repo, {"a.bin": "of the branch\n"})
    git(large.repo, "switch", "--quiet", "main")
    large.up(InstanceRequest("auth", attach=True))
    auth = Inside(large)
    assert (auth.tree / "a.bin").read_text() == "of the branch\n"
    assert status(auth) == ("", "")


def test_a_file_that_cannot_be_had_is_said_and_comes_with_the_command_that_is_told(
    large: Shop,
) -> None:
    large.up("auth")
    auth = Inside(large)
    commit(large.repo, {"a.bin": "of base\n"})
    elsewhere = large.repo / ".git/lfs.elsewhere"
    (large.repo / ".git/lfs").rename(elsewhere)
    auth.update()
    assert (auth.tree / "a.bin").read_text().startswith(POINTER)
    (said,) = [text for text in auth.said if "a.bin stay as committed" in text]
    shutil.rmtree(large.repo / ".git/lfs")
    elsewhere.rename(large.repo / ".git/lfs")
    git(Path("/"), *said.rpartition(": git ")[2].split())
    assert (auth.tree / "a.bin").read_text() == "of base\n"
    assert git(auth.tree, "status", "--porcelain") == ""
