"""Repositories of other users."""

import os
from pathlib import Path

import pytest

from runner.controller.project import open_repository
from runner.domain.errors import Refused, Unavailable
from tests.real_git import make_repository
from tests.running import Cli
from tests.shop import Shop

pytestmark = pytest.mark.deep

OTHER = 54321  # a user id that has no name

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def give_away(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, OTHER, OTHER, follow_symlinks=False)


@as_root
def test_another_users_repository_is_named_with_its_owner(repo: Path, cli: Cli) -> None:
    give_away(repo)
    with pytest.raises(Refused, match=f"{repo} belongs to user {OTHER}") as caught:
        open_repository(repo)
    assert f"sudo -u '#{OTHER}'" in caught.value.hint
    for verb in (("list",), ("up", "auth"), ("doctor",)):
        said = cli(*verb)
        assert (said.exit_code, f"belongs to user {OTHER}" in said.stderr) == (4, True)
        assert "git init" not in said.stderr
    assert not (repo / ".git" / "treedock").exists()


@as_root
def test_root_leaves_nothing_in_a_checkout_that_git_trusts(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_away(repo)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("SUDO_UID", str(OTHER))  # git then trusts the files of that user
    with pytest.raises(Refused, match="could not change what root leaves there"):
        open_repository(repo)


@as_root
def test_the_instances_of_a_checkout_are_one_users(shop: Shop) -> None:
    shop.up("auth")
    os.chown(shop.repo / ".git" / "treedock", OTHER, OTHER)
    for folder in (shop.repo, shop.repo / "trees" / "auth"):
        with pytest.raises(Refused, match=r"treedock belongs to user 54321.* are one user's"):
            open_repository(folder)


def test_a_broken_repository_of_our_own_is_not_called_none(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "broken")
    (folder / ".git" / "HEAD").write_text("nonsense")
    with pytest.raises(Unavailable, match="although it has a") as caught:
        open_repository(folder)
    assert f"git -C {folder} status" in caught.value.hint
