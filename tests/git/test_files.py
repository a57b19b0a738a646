"""What treedock writes into a worktree, and what of it git shows: nothing."""

import json
from pathlib import Path

import pytest
from dotenv import dotenv_values

from runner.adapters.engine.protocol import Exec
from runner.controller.instance.worktree import InstanceRequest
from tests.real_git import commit, git, write
from tests.shop import Shop

pytestmark = pytest.mark.deep


def clean_status(shop: Shop) -> bool:
    """Whether git shows nothing, neither here nor in any worktree."""
    folders = [shop.repo, *(Path(r.worktree) for r in shop.repository.records.all())]
    return all(git(folder, "status", "--porcelain") == "" for folder in folders)


def test_an_instance_gets_its_ports_and_values_in_both_files(shop: Shop) -> None:
    shop.configure(env={"set": {"API": "http://localhost:${BACKEND_PORT}/it's"}})
    git(shop.repo, "commit", "--quiet", "--all", "--message", "values")
    ports = shop.up("auth").ports
    wanted = {
        "BACKEND_PORT": str(ports["backend"]),
        "FRONTEND_PORT": str(ports["frontend"]),
        "TREEDOCK_ID": "auth",
        "API": f"http://localhost:{ports['backend']}/it's",
    }
    for name in (".ports.env", ".env"):
        assert dotenv_values(shop.tree("auth") / name) == wanted
    assert clean_status(shop)


def test_ignored_files_are_copied_once_and_an_instances_own_edits_stay(shop: Shop) -> None:
    commit(shop.repo, {".gitignore": ".env*\n"})
    write(shop.repo, {".env": "SECRET=1\n", ".env.local": "LOCAL=1\n"})
    (shop.repo / ".env").chmod(0o600)
    shop.up("auth")
    tree = shop.tree("auth")
    assert (tree / ".env").read_text().startswith("SECRET=1\n# >>> treedock")
    assert (tree / ".env").stat().st_mode & 0o777 == 0o600
    assert (tree / ".env.local").read_text() == "LOCAL=1\n"
    (tree / ".env.local").write_text("LOCAL=2\n")
    before = (tree / ".env").read_text()
    shop.up("auth")
    assert (tree / ".env.local").read_text() == "LOCAL=2\n"
    assert (tree / ".env").read_text() == before
    assert (shop.repo / ".env").read_text() == "SECRET=1\n"
    assert clean_status(shop)


def test_a_later_change_in_the_main_checkout_comes_once_the_copy_is_deleted(shop: Shop) -> None:
    commit(shop.repo, {".gitignore": ".env*\n"})
    write(shop.repo, {".env": "SECRET=1\n"})
    shop.up("auth")
    write(shop.repo, {".env": "SECRET=2\n"})
    shop.up("auth")
    assert dotenv_values(shop.tree("auth") / ".env")["SECRET"] == "1"
    (shop.tree("auth") / ".env").unlink()
    shop.up("auth")
    assert dotenv_values(shop.tree("auth") / ".env")["SECRET"] == "2"


def test_a_listed_file_that_is_tracked_comes_from_the_branch(shop: Shop) -> None:
    shop.configure(env={"copy": ["README.md", "staged", "absent"]})
    write(shop.repo, {"README.md": "edited and not committed", "staged": "not in base"})
    git(shop.repo, "add", "staged")
    shop.up("auth")
    assert (shop.tree("auth") / "README.md").read_text() == "# shop\n"
    assert not (shop.tree("auth") / "staged").exists()


def test_patterns_in_worktreeinclude_pick_more_ignored_files(shop: Shop) -> None:
    commit(shop.repo, {".gitignore": "*.key\nsecrets/\n", ".worktreeinclude": "*.key\n!b.key\n"})
    write(shop.repo, {"a.key": "A", "b.key": "B", "deep/c.key": "C", "secrets/d": "D"})
    shop.up("auth")
    shop.up("pay")
    for instance in ("auth", "pay"):
        tree = shop.tree(instance)
        assert (tree / "a.key").read_text() == "A"
        assert (tree / "deep" / "c.key").read_text() == "C"
        assert not (tree / "b.key").exists()
        assert not (tree / "secrets").exists()
        assert not (tree / "trees").exists()
    assert clean_status(shop)


def test_paths_of_the_main_checkout_are_rewritten_where_that_is_wanted(shop: Shop) -> None:
    commit(shop.repo, {".gitignore": "*.json\n"})
    text = json.dumps({"root": str(shop.repo), "sub": f"{shop.repo}/app"})
    write(shop.repo, {".mcp.json": text, "other.json": text})
    shop.configure(env={"copy": [".mcp.json", "other.json"], "rewrite": [".mcp.json"]})
    shop.up("auth")
    tree = shop.tree("auth")
    copied = json.loads((tree / ".mcp.json").read_text())
    assert copied == {"root": str(tree), "sub": f"{tree}/app"}
    assert json.loads((tree / "other.json").read_text())["root"] == str(shop.repo)


@pytest.mark.parametrize("name", [".env", ".ports.env"])
def test_a_symlink_that_a_branch_brings_is_not_followed_and_told_of(
    shop: Shop, tmp_path: Path, name: str
) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    (shop.repo / name).symlink_to(target)
    git(shop.repo, "add", "--force", name)
    git(shop.repo, "commit", "--quiet", "--message", "a trap")
    shop.up("auth")
    assert target.read_text() == "precious"
    assert (shop.tree("auth") / name).is_symlink()
    said = shop.warnings + shop.remarks
    assert any(text.startswith(f"{name} is a symlink") for text in said)
    assert clean_status(shop)


def test_a_symlink_that_code_inside_planted_is_not_followed(shop: Shop, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    shop.up("auth")
    for name in (".env", ".ports.env"):
        (shop.tree("auth") / name).unlink()
        (shop.tree("auth") / name).symlink_to(target)
    shop.up("auth")
    assert target.read_text() == "precious"
    assert len([w for w in shop.warnings if "symlink" in w and "neither followed" in w]) == 2


def test_a_folder_on_the_way_that_is_a_symlink_is_not_followed(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    commit(shop.repo, {".gitignore": "*.key\n", ".worktreeinclude": "*.key\n"})
    write(shop.repo, {"deep/a.key": "A"})
    git(shop.repo, "switch", "--quiet", "--create", "feature/auth")
    (shop.repo / "deep" / "a.key").rename(tmp_path / "a.key")
    (shop.repo / "deep").rmdir()
    (shop.repo / "deep").symlink_to(tmp_path / "outside")
    git(shop.repo, "add", "deep")
    git(shop.repo, "commit", "--quiet", "--message", "a trap")
    git(shop.repo, "switch", "--quiet", "main")
    write(shop.repo, {"deep/a.key": "A"})
    shop.up(InstanceRequest("auth", attach=True))
    assert list((tmp_path / "outside").iterdir()) == []
    assert any("deep/a.key" in warning and "symlink" in warning for warning in shop.warnings)


def test_a_tracked_env_file_stays_as_it_is_and_that_is_said_once(shop: Shop) -> None:
    commit(shop.repo, {".env": "COMMITTED=1\n"})
    shop.up("auth")
    assert (shop.tree("auth") / ".env").read_text() == "COMMITTED=1\n"
    assert [text for text in shop.remarks if ".env is tracked" in text]
    assert clean_status(shop)
    shop.up("auth")
    assert not [text for text in shop.remarks if ".env is tracked" in text]
    (container,) = shop.engine.containers()
    shown = shop.engine.exec(container.id, Exec(["env"])).output.decode().splitlines()
    assert "COMMITTED=1" in shown
    assert "TREEDOCK_ID=auth" in shown


def test_the_database_and_its_side_files_do_not_show(shop: Shop) -> None:
    shop.configure(database={"engine": "sqlite", "path": "app/x.db", "reset": "mkdir -p app"})
    git(shop.repo, "commit", "--quiet", "--all", "--message", "database")
    shop.up("auth")
    for end in ("", "-wal", "-shm", "-journal"):
        write(shop.tree("auth"), {f"app/x.db{end}": "x"})
    assert clean_status(shop)


def test_the_gitignore_of_the_project_is_not_touched(shop: Shop) -> None:
    shop.up("auth")
    assert not (shop.repo / ".gitignore").exists()
    assert "/trees/" in (shop.repo / ".git" / "info" / "exclude").read_text()
