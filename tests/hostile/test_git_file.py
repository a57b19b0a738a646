"""The worktree's `.git` file: whoever replaces it decides what git on this machine runs."""

from collections.abc import Iterator

import pytest

from tests.hostile.layouts import House, Naive, plain_git

pytestmark = pytest.mark.engine

_OWN = 'git init -q {0} && git -C {0} config core.fsmonitor "touch $CANARY; :"'
# Each ends with a `.git` that leads to a configuration of the attacker's.
REPLACED = {
    "removed and made anew": f"rm -f .git; {_OWN.format('.')}",
    "renamed away": f"mv .git .was; {_OWN.format('.')}",
    "a folder moved over it": f"{_OWN.format('.made')}; mv .git .was; mv .made/.git .git",
    "a symlink": f"{_OWN.format('.planted')}; ln -sfn .planted/.git .git",
    "another file": f"{_OWN.format('.other')}; rm -f .git; echo 'gitdir: .other/.git' >.git",
    "written to": f"{_OWN.format('.third')}; echo 'gitdir: .third/.git' >.git",
}
# What takes rights that a plain container does not give either.
FORCED = [
    "umount .git",
    "umount -l /workspace/.git",
    "mount --bind . .git",
    "unshare -Urm sh -c 'umount .git && rm .git'",
    "unshare -Um sh -c 'mount -t tmpfs none . && rm .git'",
    "chmod 777 .git && rm .git",
    "mv /workspace /elsewhere",
    "rm -rf /workspace/.git",
]


@pytest.mark.parametrize("name", REPLACED)
def test_naively_a_replaced_git_file_runs_code_on_this_machine(naive: Naive, name: str) -> None:
    naive.attack(REPLACED[name])
    naive.git("status")
    assert naive.canary.exists()


def test_no_way_inside_replaces_the_git_file(house: House) -> None:
    cover = house.tree("auth") / ".git"
    before = cover.read_bytes()
    for name, script in REPLACED.items():
        house.attack(script, name)
        assert not cover.is_symlink(), name
        assert cover.read_bytes() == before, name
    for script in FORCED:
        assert house.attack(script).exit_code != 0, script
        assert cover.read_bytes() == before, script
    house.look()
    assert plain_git(house.tree("auth"), "status") == 0
    house.require_silence("git status in the worktree")


@pytest.fixture
def uncovered(house: House) -> Iterator[House]:
    """The house after a program on this machine has replaced the `.git` file by one just like
    it: from then on it can be removed inside. Afterwards it is as git wrote it."""
    cover = house.tree("auth") / ".git"
    text = cover.read_text()
    new = cover.with_name(".git.new")
    new.write_text(text)
    new.replace(cover)
    yield house
    house.cli("down", "auth")
    if cover.is_dir():
        cover.rename(house.tree("auth") / ".git.planted")
    cover.unlink(missing_ok=True)
    cover.write_text(text)
    house.up("auth")


def test_a_git_file_that_lost_its_cover_runs_nothing_and_stops_the_container(
    uncovered: House,
) -> None:
    cover = uncovered.tree("auth") / ".git"
    uncovered.attack(REPLACED["removed and made anew"])
    uncovered.attack(REPLACED["a folder moved over it"])
    assert cover.is_dir(), "the attack is meant to come through here"
    answers = uncovered.look()
    assert answers["sync"].exit_code == 4
    assert "is not the file that git wrote there" in answers["sync"].stderr
    assert uncovered.status("auth")["error"]["code"] == "refused"
