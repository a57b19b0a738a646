"""What an instance gets a copy of, and what is refused before anything is made."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.controller.cleanup.unsaved import edited_copies
from runner.controller.instance.worktree import InstanceRequest
from runner.controller.lifecycle.preflight import obstacles
from runner.controller.lifecycle.up import up
from runner.controller.onboarding.config_report import check
from runner.controller.operation import Operation
from runner.domain.errors import ConfigError, EngineFailed, RunnerError, UncommittedChanges
from tests.real_git import commit, git, write
from tests.running import Cli
from tests.shop import Shop

pytestmark = pytest.mark.deep


def refused(shop: Shop) -> RunnerError:
    """What `up` is refused with as a whole, having touched nothing; `doctor` knows it too."""
    with pytest.raises(RunnerError) as caught:
        shop.bring("auth")
    assert shop.repository.records.all() == []
    assert not (shop.repo / "trees").exists()
    assert git(shop.repo, "branch", "--list", "feature/*") == ""
    assert [error.message for error in obstacles(shop.project)] == [caught.value.message]
    return caught.value


def test_of_a_link_of_the_persons_own_the_content_is_taken(shop: Shop, tmp_path: Path) -> None:
    commit(shop.repo, {".gitignore": ".env*\n"})
    write(tmp_path, {"secrets/env": f"TOKEN=1\nROOT={shop.repo}\n"})
    (shop.repo / ".env").symlink_to(tmp_path / "secrets/env")
    shop.up("auth")
    copy = shop.tree("auth") / ".env"
    assert not copy.is_symlink()
    assert copy.read_text().startswith("TOKEN=1\n")
    assert check(shop.project) == []
    operation = Operation(shop.project, "auth", shop.emit)
    assert edited_copies(operation) == []
    copy.write_text("TOKEN=2\n")
    assert edited_copies(operation) == [".env"]


@pytest.mark.parametrize("kind", ["dangling", "folder", "fifo"])
def test_what_cannot_be_copied_is_refused_by_its_name_before_anything_is_made(
    shop: Shop, tmp_path: Path, cli: Cli, kind: str
) -> None:
    commit(shop.repo, {".gitignore": ".env*\n"})
    env = shop.repo / ".env"
    if kind == "fifo":
        os.mkfifo(env)
    else:
        env.symlink_to(tmp_path if kind == "folder" else tmp_path / "absent")
    error = refused(shop)
    assert isinstance(error, ConfigError)
    assert str(env) in error.message
    answer = cli("config", "check")
    assert (answer.exit_code, str(env) in answer.stderr) == (2, True)
    env.unlink()
    shop.up("auth")
    env.symlink_to(tmp_path / "absent")
    shop.up("auth")  # it has its copy


def test_what_lies_behind_a_link_is_refused(shop: Shop, tmp_path: Path) -> None:
    write(tmp_path, {"secrets/env": "TOKEN=1\n"})
    (shop.repo / "secrets").symlink_to(tmp_path / "secrets")
    shop.configure(env={"copy": ["secrets/env"]})
    assert "secrets/env lies behind a link" in refused(shop).message


def test_ignored_files_of_a_folder_are_copied(shop: Shop) -> None:
    commit(shop.repo, {".gitignore": "*.pem\n", "certs/README": "committed\n"})
    write(shop.repo, {"certs/a.pem": "A", "certs/deep/b.pem": "B", "certs/README": "edited\n"})
    shop.configure(env={"copy": ["certs"]})
    shop.up("auth")
    certs = shop.tree("auth") / "certs"
    assert [(certs / name).read_text() for name in ("a.pem", "deep/b.pem")] == ["A", "B"]
    assert (certs / "README").read_text() == "committed\n"
    assert git(shop.tree("auth"), "status", "--porcelain") == ""


def test_a_folder_that_is_too_large_is_refused(shop: Shop) -> None:
    commit(shop.repo, {".gitignore": "data/\n"})
    (shop.repo / "data").mkdir()
    with (shop.repo / "data/huge").open("wb") as file:
        file.truncate(2**40)
    shop.configure(env={"copy": ["data"]})
    assert f"{shop.repo / 'data'} holds more than" in refused(shop).message


def test_links_that_stay_inside_what_is_copied_are_kept_and_others_named(
    shop: Shop, tmp_path: Path
) -> None:
    commit(shop.repo, {".gitignore": "node_modules/\n", ".worktreeinclude": "node_modules/\n"})
    packages = shop.repo / "node_modules"
    write(packages, {".pnpm/vite@5/bin/vite.js": "run", "a/index.js": "a"})
    links = {
        "vite": ".pnpm/vite@5",
        ".bin/vite": "../vite/bin/vite.js",
        ".bin/a": "../a/index.js",
        "own": str(tmp_path),
        "own-file": "own/x",
        "up": "../README.md",
        "out": "../../elsewhere",
        "round": "a/../a",
    }
    (packages / ".bin").mkdir()
    write(tmp_path, {"x": "x"})
    for name, target in links.items():
        (packages / name).symlink_to(target)
    shop.up("auth")
    copied = shop.tree("auth") / "node_modules"
    kept = ("vite", ".bin/vite", ".bin/a")
    assert {name: str((copied / name).readlink()) for name in kept} == {n: links[n] for n in kept}
    assert (copied / ".bin/vite").read_text() == "run"
    (warning,) = [text for text in shop.warnings if "are not copied" in text]
    for name in links.keys() - set(kept):
        assert not os.path.lexists(copied / name)
        assert f"node_modules/{name}" in warning
    shop.up("auth")
    assert shop.warnings == []


def test_an_include_file_that_is_a_link_is_not_read_and_that_is_said(
    shop: Shop, tmp_path: Path
) -> None:
    commit(shop.repo, {".gitignore": "*.key\n"})
    write(shop.repo, {"a.key": "A"})
    write(tmp_path, {"patterns": "*.key\n"})
    (shop.repo / ".worktreeinclude").symlink_to(tmp_path / "patterns")
    shop.up("auth")
    said = ".worktreeinclude is a link, so it is not read"
    assert said in shop.warnings
    assert said in check(shop.project)
    assert not (shop.tree("auth") / "a.key").exists()


def test_a_file_to_rewrite_is_copied_and_longer_names_stay(shop: Shop) -> None:
    commit(shop.repo, {".gitignore": "*.json\n", "tracked.json": "{}"})
    paths = [f"{shop.repo}", f"file://{shop.repo}/app", f"{shop.repo}-old/app", f"{shop.repo}2"]
    write(shop.repo, {".mcp.json": "\n".join(paths)})
    shop.configure(env={"rewrite": [".mcp.json", "tracked.json", "absent.json"]})
    shop.up("auth")
    tree = shop.tree("auth")
    copied = (tree / ".mcp.json").read_text().split("\n")
    assert copied == [f"{tree}", f"file://{tree}/app", *paths[2:]]
    assert edited_copies(Operation(shop.project, "auth", shop.emit)) == []
    assert check(shop.project) == [
        "treedock.yaml: env.rewrite: 'tracked.json' is tracked, so it stays as it is",
        f"treedock.yaml: env.rewrite: there is no 'absent.json' in {shop.repo}",
    ]


def test_what_is_uncommitted_in_the_main_checkout_is_named_or_refused(shop: Shop) -> None:
    commit(shop.repo, {"a": "1", ".gitignore": "*.log\n"})
    write(shop.repo, {"a": "2", "new": "n", "x.log": "ignored", ".env": "copied, not ignored"})
    said = f"uncommitted in {shop.repo}, so not in new instances: a, new"
    with pytest.raises(UncommittedChanges) as caught:
        up(shop.project, [InstanceRequest("auth")], shop.emit, require_clean=True)
    assert f"{shop.repo} has uncommitted changes" in caught.value.message
    assert "a, new" in caught.value.message
    assert not (shop.repo / "trees").exists()
    shop.up("auth")
    assert said in shop.remarks
    shop.up("auth")
    assert shop.remarks == []
    git(shop.repo, "stash", "--quiet", "--include-untracked")
    shop.up("pay")
    assert shop.remarks == []


def test_a_partial_clone_is_refused_before_anything_is_made(shop: Shop) -> None:
    git(shop.repo, "config", "remote.origin.promisor", "true")
    error = refused(shop)
    assert isinstance(error, ConfigError)
    assert "partial clone" in error.message
    with pytest.raises(ConfigError, match="partial clone"):
        check(shop.project)


def test_submodules_are_refused_before_anything_is_made(shop: Shop) -> None:
    head = git(shop.repo, "rev-parse", "HEAD").strip()
    git(shop.repo, "branch", "whole")
    git(shop.repo, "update-index", "--add", "--cacheinfo", f"160000,{head},sub")
    git(shop.repo, "commit", "--quiet", "--message", "a submodule")
    assert "main has submodules" in refused(shop).message
    shop.up(InstanceRequest("auth", base="whole"))
    git(shop.repo, "branch", "feature/pay")
    error = shop.refusal(InstanceRequest("pay", base="whole", attach=True))
    assert "feature/pay has submodules" in error.message
    assert not (shop.repo / "trees/pay").exists()


def test_a_mount_without_a_source_is_refused(shop: Shop, tmp_path: Path) -> None:
    own = Path(os.environ["XDG_CONFIG_HOME"]) / "treedock" / "config.yaml"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text(f"sandbox: {{mounts: [{{source: {tmp_path}/absent, target: /absent}}]}}\n")
    try:
        assert f"{tmp_path}/absent, to be mounted at /absent" in refused(shop).message
    finally:
        own.unlink()


def test_a_sidecar_s_image_that_cannot_be_had_starts_nothing(shop: Shop) -> None:
    shop.configure(sidecars={"mail": {"image": "mail:1", "ready": {"tcp": 8025}}})
    with pytest.raises(EngineFailed, match="mail:1"):
        shop.bring("auth")
    assert shop.repository.records.all() == []
    assert not (shop.repo / "trees").exists()


@pytest.fixture
def noexec(shop: Shop) -> Iterator[Path]:
    """The folder of the worktrees, on a file system from which nothing may be run."""
    trees = shop.repo / "trees"
    trees.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", str(trees)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can mount")
    yield trees
    shop.engine.close()
    subprocess.run(["umount", "--lazy", str(trees)], check=True)


def test_a_noexec_mount_is_said_at_once_and_where_a_script_cannot_run(
    shop: Shop, noexec: Path, cli: Cli
) -> None:
    commit(shop.repo, {"run.sh": "#!/bin/sh\n"})
    git(shop.repo, "update-index", "--chmod=+x", "run.sh")
    git(shop.repo, "commit", "--quiet", "--message", "executable")
    git(shop.repo, "reset", "--quiet", "--hard")
    shop.configure(setup=[{"run": "./run.sh"}])
    error = shop.refusal("auth")
    said = f"{noexec} is mounted noexec"
    assert any(said in warning for warning in shop.warnings)
    assert said in error.message
    assert f"mount -o remount,exec {noexec}" in error.message
    assert "chmod" not in error.message
    answer = cli("doctor", "--json", env={"DOCKER_HOST": "unix:///absent.sock"})
    (finding,) = [f for f in answer.json["findings"] if f["check"] == "repository"]
    assert (finding["status"], said in finding["message"]) == ("warning", True)


def test_an_unknown_variable_is_refused_when_the_file_is_read(shop: Shop, cli: Cli) -> None:
    shop.configure(env={"set": {"API": "http://localhost:${BACKND_PORT}"}})
    for verb in (("up", "auth"), ("config", "check")):
        answer = cli(*verb)
        assert answer.exit_code == 2
        assert "env.set.API: ${BACKND_PORT} is not known here." in answer.stderr
        assert "BACKEND_PORT" in answer.stderr
    assert not (shop.repo / "trees").exists()
