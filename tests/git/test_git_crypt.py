"""Files under git-crypt, whose keys lie in the git directory. A stand-in does as git-crypt 0.7:
it finds its keys by `git rev-parse --git-dir`, and shifts letters instead of encrypting."""

import os
import shutil
from pathlib import Path

import pytest

from runner.controller.landing.merge import merge
from runner.controller.onboarding.doctor import examine
from runner.domain.requests.landing import Merge
from tests.inside import Inside
from tests.real_git import commit, git
from tests.shop import Shop

pytestmark = pytest.mark.deep

STAND_IN = """#!/bin/sh
test -e "$(git rev-parse --git-dir)/git-crypt/keys/default" || exit 1
case $1 in clean) exec tr a-z b-za ;; smudge) exec tr b-za a-z ;; esac
"""


@pytest.fixture
def crypt(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A shop with an encrypted file, unlocked."""
    program = tmp_path / "bin/git-crypt"
    program.parent.mkdir()
    program.write_text(STAND_IN)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    keys = shop.repo / ".git/git-crypt/keys"
    keys.mkdir(parents=True)
    (keys / "default").write_text("key")
    for name in ("clean", "smudge"):
        git(shop.repo, "config", f"filter.git-crypt.{name}", f'"git-crypt" {name}')
    git(shop.repo, "config", "filter.git-crypt.required", "true")
    commit(shop.repo, {".gitattributes": "*.key filter=git-crypt\n", "a.key": "secret\n"})
    assert git(shop.repo, "cat-file", "blob", "HEAD:a.key") == "tfdsfu\n"
    return shop


def test_encrypted_files_can_be_read_inside_and_are_never_committed_raw(crypt: Shop) -> None:
    crypt.up("auth")
    assert any("filter git-crypt can be read" in said for said in crypt.warnings)
    auth = Inside(crypt)
    assert auth("cat a.key; git status --porcelain") == "secret"
    assert not (auth.own_git / "git-crypt").exists()
    (auth.tree / "a.key").write_text("another\n")
    assert auth.run("git commit -qam raw").code != 0
    git(auth.tree, "commit", "--quiet", "--all", "--message", "by the person")
    assert git(crypt.repo, "cat-file", "blob", "feature/auth:a.key") == "bopuifs\n"
    tested = Merge(gates=("grep -q another a.key",))
    (merged,) = merge(crypt.project, ["auth"], tested, crypt.emit)
    assert [one.state for one in merged.outcomes] == ["landed"]
    assert (crypt.repo / "a.key").read_text() == "another\n"
    assert (crypt.repo / ".git/git-crypt/keys/default").exists()


def test_without_the_key_or_the_program_nothing_is_made_and_doctor_knows(
    crypt: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(crypt.repo / ".git/git-crypt")
    assert "git-crypt unlock" in refused(crypt)
    (crypt.repo / ".git/git-crypt/keys").mkdir(parents=True)
    assert "git-crypt unlock" in refused(crypt)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    if shutil.which("git-crypt") is None:
        assert "Install git-crypt" in refused(crypt)
    git(crypt.repo, "config", "--remove-section", "filter.git-crypt")
    crypt.up("auth")
    assert (crypt.tree("auth") / "a.key").read_text() == "tfdsfu\n"


def refused(shop: Shop) -> str:
    """The way out that `up` and `doctor` name; nothing was made."""
    from runner.domain.errors import Refused

    with pytest.raises(Refused) as error:
        shop.bring("auth")
    assert not (shop.repo / "trees").exists()
    assert shop.repository.records.ids() == []
    found = examine(shop.project, fix=False, emit=shop.emit)
    ways = [one.way_out for one in found if one.check == "repository"]
    assert ways == [error.value.hint]
    return error.value.hint
