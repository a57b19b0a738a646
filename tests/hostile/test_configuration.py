"""treedock.yaml: what it may name, and whose it is."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.hostile.layouts import House, Naive
from tests.real_git import commit, git

pytestmark = pytest.mark.engine

SECRET = "the-secret-of-this-machine"
WEAK = "version: 1\nname: shop\ntest: 'true'\n"


@pytest.fixture(scope="module")
def house(build: Callable[..., House]) -> Iterator[House]:
    """A project with a gate, which `auth` would not pass."""
    house = build(test="test ! -e broken")
    yield house
    house.end()


@pytest.fixture
def secret(house: House) -> Path:
    """A file on this machine beside the checkout, and a symlink in the checkout that leads
    there."""
    folder = house.folder.parent / "private"
    folder.mkdir(exist_ok=True)
    (folder / "secret.env").write_text(SECRET)
    link = house.folder / "link"
    if not link.is_symlink():
        link.symlink_to(folder)
        commit(house.folder, {"kept.txt": "kept\n", ".gitignore": "*.env\n"}, "ignore")
        git(house.folder, "add", "link")
        git(house.folder, "commit", "--quiet", "--message", "link")
        house.before = house.state()
    return folder / "secret.env"


def test_naively_a_copy_follows_the_path_out_of_the_checkout(naive: Naive, tmp_path: Path) -> None:
    (tmp_path / "secret.env").write_text(SECRET)
    (naive.folder / "link").symlink_to(tmp_path)
    shutil.copy(naive.folder / "link/secret.env", naive.tree / "secret.env")
    assert SECRET in naive.run("cat secret.env")[1]


@pytest.mark.parametrize(
    "keys",
    [
        {"env": {"copy": ["../private/secret.env"]}},
        {"env": {"copy": ["link/secret.env"]}},
        {"env": {"copy": ["{secret}"]}},
        {"worktrees": "../outside"},
        {"worktrees": "link/trees"},
        {"worktrees": ".git/trees"},
        {"database": {"engine": "sqlite", "path": "../private/app.db", "reset": "true"}},
        {"database": {"engine": "sqlite", "path": "/etc/passwd", "reset": "true"}},
        {"image": {"build": "../private"}},
        {"image": {"build": "link"}},
        {"image": {"build": ".", "dockerfile": "../private/secret.env"}},
        {"services": {"backend": {"run": "true", "in": "../private"}}},
        {"setup": [{"run": "true", "in": "/etc"}]},
        {"sandbox": {"mounts": [{"source": "/", "target": "/host", "read_only": False}]}},
        {"sandbox": {"capabilities": ["SYS_ADMIN"]}},
    ],
    ids=lambda keys: yaml.safe_dump(keys, default_flow_style=True).strip(),
)
def test_a_path_out_of_the_checkout_and_a_weaker_sandbox_are_refused(
    house: House, secret: Path, keys: dict[str, Any]
) -> None:
    text = (house.folder / "treedock.yaml").read_text()
    wanted = yaml.safe_dump({**house.config, **keys}).replace("{secret}", str(secret))
    (house.folder / "treedock.yaml").write_text(wanted)
    try:
        answer = house.cli("up", "other", timeout=60)
        copies = [*house.folder.glob("trees/other/*secret*")]
    finally:
        (house.folder / "treedock.yaml").write_text(text)
        house.cli("clean", "other", "--force")
    house.require_calm("up", answer)
    assert answer.exit_code in (2, 4), answer.stderr
    assert not copies
    assert not (house.folder.parent / "outside").exists()
    assert not [path for path in secret.parent.iterdir() if path != secret]
    house.require_unharmed()


def test_an_include_file_that_leads_out_copies_nothing(house: House, secret: Path) -> None:
    patterns = house.folder / ".worktreeinclude"
    patterns.write_text("link/*\n../private/*\n*.env\n")
    house.up("other")
    patterns.unlink()
    assert house.attack(f"grep -r {SECRET} .", instance="other").exit_code != 0
    house.cli("clean", "other", "--force")


def test_a_worktree_s_own_treedock_yaml_counts_for_nothing(house: House) -> None:
    own = {"setup": [{"run": "touch weak"}], "sandbox": {"capabilities": ["SYS_ADMIN"]}}
    house.attacked(f"cat >treedock.yaml <<'END'\n{yaml.safe_dump(own)}\nEND\n")
    house.look()
    assert not (house.tree("auth") / "weak").exists()
    for arguments in (("up",), ("status",), ("restart",)):
        answer = house.cli(*arguments, cwd=house.tree("auth"))
        house.require_calm(arguments[0], answer)
        assert answer.exit_code == 0, answer.stderr
    assert not (house.tree("auth") / "weak").exists()
    capabilities = house.inside("auth", "grep CapEff /proc/self/status").stdout.split()
    assert capabilities[1:] == ["0" * 16]
    house.attacked("git checkout -q treedock.yaml")


def test_naively_a_candidate_chooses_the_test_that_it_has_to_pass(naive: Naive) -> None:
    commit(naive.folder, {"treedock.yaml": "test: test ! -e broken\n"}, "a gate")
    naive.attack(f'echo "{WEAK}" >treedock.yaml; touch broken; git add .; git commit -qm weaker')
    git(naive.tree, "merge", "--quiet", "--strategy=ours", "main")
    test = yaml.safe_load((naive.tree / "treedock.yaml").read_text())["test"]
    assert subprocess.run(["sh", "-c", test], cwd=naive.tree).returncode == 0


def test_a_candidate_cannot_weaken_the_gate_that_it_has_to_pass(house: House) -> None:
    before = git(house.folder, "rev-parse", "main")
    house.attacked(
        f'echo "{WEAK}" >treedock.yaml; touch broken; '
        "git add treedock.yaml broken; git commit -qm weaker"
    )
    answers = house.look(("merge", "auth"))
    assert answers["merge"].exit_code == 1, answers["merge"].stderr
    assert git(house.folder, "rev-parse", "main") == before
    assert "treedock.yaml" in answers["review"].stdout.partition("\nCommits:")[0]
