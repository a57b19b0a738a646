"""Projects that nobody here wrote: what `npm create vite` and `django-admin startproject` make."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.free_ports import free_block
from tests.real_git import commit, git, make_repository
from tests.running import Cli
from tests.scenarios.conftest import fetch

pytestmark = [pytest.mark.engine, pytest.mark.long]

# Run in an instance, because a machine that runs treedock need not have npm.
GENERATE = """
set -e
uv venv --quiet ~/made
uv pip install --quiet --python ~/made django
mkdir backend
~/made/bin/django-admin startproject shop backend
uv pip freeze --quiet --python ~/made > backend/requirements.txt
npm create --yes vite@latest frontend -- --template react
cd frontend && npm install --silent
"""
IGNORED = "node_modules/\n.venv/\n*.sqlite3\n__pycache__/\n"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Path]:
    """A repository with a Django project in backend/, a Vite React app in frontend/, and the
    treedock.yaml that `init` finds for them. Its instances are removed afterwards."""
    folder = make_repository(tmp_path / "shop")
    cli = Cli(folder)
    first = free_block(20)
    ports = f"ports: {{backend: {first}-{first + 9}, frontend: {first + 10}-{first + 19}}}\n"
    commit(folder, {"treedock.yaml": ports, ".gitignore": IGNORED}, "nothing yet")
    try:
        answer = cli("up", "workshop", timeout=900)
        assert answer.exit_code == 0, answer.stderr
        made = cli("exec", "workshop", "--", "sh", "-c", GENERATE, timeout=600)
        assert made.exit_code == 0, made.stdout + made.stderr
        git(folder / "trees/workshop", "add", "--all")
        git(folder / "trees/workshop", "commit", "--quiet", "--message", "as generated")
        git(folder, "merge", "--quiet", "feature/workshop")
        assert cli("clean", "workshop").exit_code == 0
        found = cli("init", "--force")
        assert found.exit_code == 0, found.stderr
        config = re.sub("^ports:.*\n", "", (folder / "treedock.yaml").read_text(), flags=re.M)
        commit(folder, {"treedock.yaml": config + ports}, "what init found")
        yield folder
    finally:
        cli("clean", "--all", "--force")


def test_django_and_vite_as_generated_run_with_what_init_finds(shop: Path) -> None:
    cli = Cli(shop)
    answer = cli("up", "auth", "search", "--json", timeout=900)
    assert answer.exit_code == 0, answer.stdout + (shop / "treedock.yaml").read_text()
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
        assert git(Path(view["worktree"]), "status", "--porcelain") == ""
    assert cli("clean", "--all").exit_code == 0
