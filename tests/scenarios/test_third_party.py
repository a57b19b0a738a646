"""Projects that nobody here wrote: what `npm create vite` and `django-admin startproject` make."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.free_ports import free_block
from tests.real_git import git, make_repository
from tests.running import Cli
from tests.scenarios.conftest import fetch

pytestmark = [pytest.mark.engine, pytest.mark.long]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A repository with a Django project in backend/ and a Vite React app in frontend/."""
    folder = make_repository(tmp_path / "shop")
    (folder / "backend").mkdir()
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    subprocess.run([str(venv / "bin/pip"), "install", "--quiet", "django"], check=True)
    start = [str(venv / "bin/django-admin"), "startproject", "shop", "backend"]
    subprocess.run(start, cwd=folder, check=True)
    frozen = subprocess.check_output([str(venv / "bin/pip"), "freeze"], text=True)
    (folder / "backend/requirements.txt").write_text(frozen)
    create = ["npm", "create", "--yes", "vite@latest", "frontend", "--", "--template", "react"]
    subprocess.run(create, cwd=folder, check=True, stdin=subprocess.DEVNULL, timeout=300)
    subprocess.run(["npm", "install", "--silent"], cwd=folder / "frontend", check=True, timeout=300)
    ignored = "node_modules/\n.venv/\n*.sqlite3\n__pycache__/\n"
    (folder / ".gitignore").write_text(ignored)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "as generated")
    return folder


def test_django_and_vite_as_generated_run_with_what_init_finds(shop: Path) -> None:
    cli = Cli(shop)
    found = cli("init")
    assert found.exit_code == 0, found.stderr
    first = free_block(20)
    ports = f"ports: {{backend: {first}-{first + 9}, frontend: {first + 10}-{first + 19}}}\n"
    config = shop / "treedock.yaml"
    kept = [line for line in config.read_text().splitlines() if not line.startswith("ports:")]
    config.write_text("\n".join(kept) + "\n" + ports)
    git(shop, "add", "--all")
    git(shop, "commit", "--quiet", "--message", "treedock")
    try:
        answer = cli("up", "auth", "search", "--json", timeout=900)
        assert answer.exit_code == 0, answer.stderr + config.read_text()
        for view in answer.json["instances"]:
            assert "The install worked successfully" in fetch(view["urls"]["backend"])
            assert "/src/main.jsx" in fetch(view["urls"]["frontend"])
            name = view["id"]
            add = (
                "from django.contrib.auth.models import User;"
                f"User.objects.create_user('only-in-{name}');"
                "print([u.username for u in User.objects.all()])"
            )
            python = '[ -x .venv/bin/python ] && exec .venv/bin/python "$@"; exec python "$@"'
            shell = ["sh", "-c", f"cd backend; {python}", "sh", "manage.py", "shell", "-c", add]
            users = cli("exec", name, "--", *shell)
            assert f"['only-in-{name}']" in users.stdout, users.stderr
            status = subprocess.check_output(
                ["git", "-C", view["worktree"], "status", "--porcelain"], env=os.environ
            )
            assert status == b""
        assert cli("clean", "--all").exit_code == 0
    finally:
        cli("clean", "--all", "--force")
