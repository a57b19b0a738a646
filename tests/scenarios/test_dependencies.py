"""What set-up steps make, on the real engine: made once, shared, and written by each for itself."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.engine.protocol import Engine, Filter
from runner.controller.project import Repository, open_repository
from runner.controller.volumes.layers import engine_name
from tests.real_git import commit, git
from tests.running import CHECKOUT
from tests.scenarios.conftest import App

pytestmark = pytest.mark.engine

INSTALL = """\
#!/bin/sh
mkdir -p lib/module && cat lock > lib/module/file && chmod 444 lib/module/file && echo ran
[ ! -e postinstall ] || sh postinstall
"""
SETUP = [{"run": "sh install", "in": "app", "produces": ["lib"], "key": ["lock"]}]
PERSON = 12345


@pytest.fixture
def shared(app: App) -> App:
    """The app with an installer whose result is shared."""
    commit(app.folder, {"app/install": INSTALL, "app/lock": "one\n"}, "installer")
    app.configure(setup=SETUP, services=None, database=None, test="grep -q one app/lib/module/file")
    return app


def snapshots(app: App) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = app.cli("cache", "list", "--json").json["cached"]
    return found


def volumes(app: App, **labels: str) -> list[str]:
    return app.engine.volumes(Filter(repository=open_repository(app.folder).key, **labels))


def read(app: App, instance: str) -> str:
    return app.inside(instance, "cat app/lib/module/file").stdout.strip()


def ran(app: App, instance: str) -> bool:
    """Whether the step ran in the instance itself."""
    return "ran" in app.cli("logs", instance, "setup-1").stdout


def test_five_first_ones_at_once_share_what_one_run_made(shared: App) -> None:
    ids = ["auth", "pay", "search", "cart", "mail"]
    assert {view["state"] for view in shared.up(*ids).values()} == {"running"}
    assert {read(shared, instance) for instance in ids} == {"one"}
    assert not any(ran(shared, instance) for instance in ids)
    (one,) = snapshots(shared)
    assert (one["used_by"], one["step"]) == (5, "sh install in app")
    assert one["size"] > 0


def test_what_one_writes_no_other_sees_nor_does_a_later_one(shared: App) -> None:
    shared.up("auth", "pay")
    poison = (
        "set -e; cd app/lib; rm -f module/file; echo evil > module/file; touch new; "
        "python3 -c \"import os; os.rename('module', 'moved'); os.rename('moved', 'module')\""
    )
    done = shared.inside("auth", poison)
    assert done.exit_code == 0, done.stderr
    assert read(shared, "auth") == "evil"
    assert read(shared, "pay") == "one"
    shared.up("search")
    assert read(shared, "search") == "one"
    assert shared.inside("search", "ls app/lib").stdout == "module\n"
    for verb in ("down", "up"):
        assert shared.cli(verb, "auth").exit_code == 0
    assert read(shared, "auth") == "evil"


def test_what_a_branch_adds_beside_its_lock_file_reaches_nobody(shared: App) -> None:
    """Same lock file, another script that runs at installation."""
    shared.up("auth")
    script = "echo 'echo evil > lib/evil' > app/postinstall; git add -A; git commit -qm evil"
    assert shared.inside("auth", script).exit_code == 0
    assert shared.cli("clean", "auth", "--force").exit_code == 0
    assert shared.cli("cache", "prune", "--max-size", "0").exit_code == 0
    git(shared.folder, "branch", "feature/evil", git(shared.folder, "rev-parse", "main").strip())
    git(shared.folder, "switch", "--quiet", "feature/evil")
    commit(shared.folder, {"app/postinstall": "echo evil > lib/evil\n"}, "evil")
    git(shared.folder, "switch", "--quiet", "main")
    assert shared.cli("up", "evil", "--attach").exit_code == 0
    shared.up("pay")
    assert shared.inside("pay", "ls app/lib").stdout == "module\n"
    assert len(snapshots(shared)) == 1


def test_a_lock_file_of_its_own_is_installed_above_the_nearest(shared: App) -> None:
    shared.up("auth", "pay")
    assert (
        shared.inside("auth", "echo two > app/lock; chmod u+w app/lib/module/file").exit_code == 0
    )
    assert shared.status("auth")["out_of_date"] == ["setup"]
    shared.up("auth")
    assert ran(shared, "auth")
    assert (read(shared, "auth"), read(shared, "pay")) == ("two", "one")
    assert len(snapshots(shared)) == 1


def test_a_gate_starts_with_it_and_leaves_nothing(shared: App) -> None:
    shared.up("auth")
    shared.inside("auth", "echo x > x.txt; git add -A; git commit -qm x")
    answer = shared.cli("merge", "auth", "--json")
    assert answer.exit_code == 0, answer.stderr + answer.stdout
    assert volumes(shared) == volumes(shared, cache="snapshot")
    logs = list((shared.folder / ".git/treedock/runs").rglob("setup-1.log"))
    assert logs == []


def test_prune_never_removes_what_is_in_use(shared: App) -> None:
    shared.up("auth")
    assert shared.cli("down", "auth").exit_code == 0
    assert shared.cli("cache", "prune", "--max-size", "0", "--json").json["pruned"] == []
    assert shared.up("auth")["auth"]["state"] == "running"
    assert read(shared, "auth") == "one"
    assert shared.cli("clean", "auth").exit_code == 0
    assert len(shared.cli("cache", "prune", "--older-than", "1d", "--json").json["pruned"]) == 0
    assert len(shared.cli("cache", "prune", "--max-size", "0", "--json").json["pruned"]) == 1
    assert volumes(shared) == []


def test_warm_makes_it_ahead_of_time(shared: App) -> None:
    (one,) = shared.cli("warm", "--json").json["cached"]
    assert one["used_by"] == 0
    assert shared.containers() == []
    shared.up("auth")
    assert not ran(shared, "auth")
    assert [one["used_by"] for one in snapshots(shared)] == [1]


def test_an_engine_that_cannot_mount_overlays_copies(shared: App, docker_engine: Engine) -> None:
    known = shared.folder / ".git/treedock/snapshots/engine"
    known.parent.mkdir(parents=True)
    known.write_text(f"copy {engine_name(docker_engine.info())}")
    shared.up("auth", "pay")
    assert shared.inside("auth", "! grep -q /workspace/app/lib.overlay /proc/mounts").exit_code == 0
    shared.inside("auth", "chmod u+w app/lib/module/file; echo mine > app/lib/module/file")
    assert (read(shared, "auth"), read(shared, "pay")) == ("mine", "one")
    findings = shared.cli("doctor", "--json").json["findings"]
    (said,) = [one for one in findings if one["check"] == "dependencies"]
    assert said["status"] == "warning"


@pytest.fixture
def theirs(shared: App) -> Iterator[Path]:
    """The project of somebody who is not root, where everybody may go."""
    if os.getuid() != 0:
        pytest.skip("everything else shows it then")
    top = Path(tempfile.mkdtemp(prefix="treedock-person-"))
    top.chmod(0o755)
    folder = shutil.copytree(shared.folder, top / "shop")
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, PERSON, PERSON)
    yield folder
    key = Repository(folder, folder / ".git").key
    for container in shared.engine.containers(Filter(repository=key)):
        shared.engine.remove(container.id)
    for volume in shared.engine.volumes(Filter(repository=key)):
        shared.engine.remove_volume(volume)
    shutil.rmtree(top)


def test_a_visible_product_is_a_copy_in_the_worktree(shared: App) -> None:
    shared.configure(setup=[SETUP[0] | {"visible": True}])
    shared.up("auth", "pay")
    for instance in ("auth", "pay"):
        assert (shared.tree(instance) / "app/lib/module/file").read_text() == "one\n"
        assert not ran(shared, instance)
        assert shared.inside(instance, "grep -c /app/lib /proc/mounts").stdout == "0\n"
        assert git(shared.tree(instance), "status", "--porcelain") == ""
    assert shared.inside("auth", "rm -rf app/lib; mkdir app/lib; echo x >app/lib/x").exit_code == 0
    shared.cli("restart", "auth")
    assert [path.name for path in (shared.tree("auth") / "app/lib").iterdir()] == ["x"]
    assert read(shared, "pay") == "one"


def test_a_copy_never_leaves_the_worktree(shared: App, tmp_path: Path) -> None:
    victim = tmp_path / "lib"
    victim.mkdir()
    (victim / "mine").write_text("kept")
    git(shared.folder, "switch", "--quiet", "-c", "feature/auth")
    (shared.folder / "app2").symlink_to(tmp_path)
    git(shared.folder, "add", "app2")
    git(shared.folder, "commit", "--quiet", "--message", "a way out")
    git(shared.folder, "switch", "--quiet", "main")
    commit(shared.folder, {"app2/lock": "one\n", "app2/install": INSTALL}, "a folder here")
    shared.configure(setup=[SETUP[0] | {"in": "app2", "visible": True}])
    shared.cli("up", "auth", "--attach")
    assert [path.name for path in victim.iterdir()] == ["mine"]


def test_it_works_for_a_person_who_is_not_root(theirs: Path) -> None:
    group = Path("/var/run/docker.sock").stat().st_gid
    ids = ["--reuid", str(PERSON), "--regid", str(PERSON), "--groups", str(group)]
    # The interpreter may lie where only root may read.
    read = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
    nowhere = {"GIT_CONFIG_GLOBAL": "/dev/null", "XDG_CONFIG_HOME": "/none"}

    def person(*arguments: str) -> str:
        done = subprocess.run(
            ["setpriv", *ids, *read, sys.executable, "-m", "runner", *arguments],
            cwd=theirs,
            env=os.environ | {"PYTHONPATH": str(CHECKOUT)} | nowhere,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    person("up", "auth", "pay")
    person("exec", "auth", "--", "sh", "-c", "echo mine > app/lib/new; rm -rf app/lib/module")
    assert person("exec", "pay", "--", "ls", "app/lib") == "module\n"
    owner = person("exec", "pay", "--", "stat", "-c", "%u", "app/lib", "app/lib/module/file")
    assert owner.split() == [str(PERSON)] * 2
    person("clean", "--all", "--force")


def test_npm_and_uv_are_known_and_cope_with_a_mount_point(app: App) -> None:
    package = {"name": "web", "version": "1.0.0", "dependencies": {"is-number": "7.0.0"}}
    lock = {
        "name": "web",
        "version": "1.0.0",
        "lockfileVersion": 3,
        "requires": True,
        "packages": {"": package, "node_modules/is-number": {"version": "7.0.0"}},
    }
    project = '[project]\nname = "api"\nversion = "0.1.0"\nrequires-python = ">=3.11"\n'
    locked = (
        'version = 1\nrevision = 3\nrequires-python = ">=3.11"\n\n'
        '[[package]]\nname = "api"\nversion = "0.1.0"\nsource = { virtual = "." }\n'
    )
    files = {
        "web/package.json": json.dumps(package),
        "web/package-lock.json": json.dumps(lock),
        "api/pyproject.toml": project,
        "api/uv.lock": locked,
    }
    commit(app.folder, files, "dependencies")
    app.configure(
        setup=[{"run": "npm ci", "in": "web"}, {"run": "uv sync --locked", "in": "api"}],
        services=None, database=None, limits={"disk_free": 0},
    )  # fmt: skip
    shown = app.cli("config", "show").stdout
    assert '["package-lock.json", "package.json"]' in shown
    assert '[".venv"]' in shown
    app.up("auth")
    app.up("pay")
    assert {one["step"] for one in snapshots(app)} == {"npm ci in web", "uv sync --locked in api"}
    script = "cd web && node -p 'require(\"is-number\")(7)' && cd ../api && .venv/bin/python -V"
    for instance in ("auth", "pay"):
        assert app.inside(instance, script).stdout.startswith("true\nPython 3")
        assert not ran(app, instance)
        again = app.inside(instance, "cd web && npm ci && cd ../api && uv sync --locked")
        assert again.exit_code == 0, again.stderr
        assert app.inside(instance, script).exit_code == 0
        assert app.inside(instance, "git status --porcelain").stdout == ""
        assert git(app.tree(instance), "status", "--porcelain") == ""
    # What the clean run downloaded need not be downloaded again, and is each one's own to add to.
    offline = (
        "rm -rf /tmp/web; cp -r web /tmp/web; cd /tmp/web; rm -rf node_modules; npm ci --offline"
    )
    assert app.inside("auth", offline).exit_code == 0
    assert app.inside("auth", "rm -rf ~/.npm/* && touch ~/.npm/mine").exit_code == 0
    assert app.inside("pay", "test -d ~/.npm/_cacache && ! test -e ~/.npm/mine").exit_code == 0
    # A lock file with hashes, as npm writes it: what another clean run left is found by these.
    relock = "mkdir /tmp/new; cp web/package.json /tmp/new; cd /tmp/new; npm i --package-lock-only"
    hashed = app.inside("pay", f"{{ {relock}; }} >&2; cat package-lock.json").stdout
    assert '"integrity": "sha512-' in hashed
    files = {"web/.npmrc": "offline=true\n", "web/package-lock.json": hashed}
    commit(app.folder, files, "a clean run that finds what another left")
    app.up("search")
    assert not ran(app, "search")
    assert len(snapshots(app)) == 3


PATH_DEPENDENCY = {
    "api/pyproject.toml": '[project]\nname = "api"\nversion = "1"\nrequires-python = ">=3.11"\n'
    'dependencies = ["lib"]\n[tool.uv.sources]\nlib = { path = "../lib" }\n',
    "lib/pyproject.toml": '[project]\nname = "lib"\nversion = "1"\nrequires-python = ">=3.11"\n'
    '[build-system]\nrequires = ["uv_build>=0.7,<99"]\nbuild-backend = "uv_build"\n',
    "lib/src/lib/__init__.py": "works = True\n",
}


@pytest.mark.long
def test_a_gate_and_an_instance_have_the_path_dependency_of_their_own_branch(app: App) -> None:
    commit(app.folder, PATH_DEPENDENCY, "a library of the project's own")
    app.configure(
        setup=[{"run": "uv sync --offline", "in": "api"}], services=None, database=None,
        test="api/.venv/bin/python -c 'import lib; assert lib.works'",
    )  # fmt: skip
    app.up("auth")
    assert app.inside("auth", "git add -A; git commit -qm lock").exit_code == 0
    landed = app.cli("merge", "auth", "--no-gate", "--json")
    assert landed.exit_code == 0, landed.stderr + landed.stdout
    app.up("pay")
    broken = "echo works = False > lib/src/lib/__init__.py; git commit -qam broken"
    assert app.inside("pay", broken).exit_code == 0
    assert app.cli("merge", "pay").exit_code == 1
    assert app.cli("clean", "pay", "--force").exit_code == 0
    git(app.folder, "switch", "--quiet", "-c", "feature/pay")
    commit(app.folder, {"lib/src/lib/__init__.py": "works = 'mine'\n"}, "mine")
    git(app.folder, "switch", "--quiet", "main")
    assert app.cli("up", "pay", "--attach").exit_code == 0
    shown = app.inside("pay", "api/.venv/bin/python -c 'import lib; print(lib.works)'")
    assert shown.stdout == "mine\n"
