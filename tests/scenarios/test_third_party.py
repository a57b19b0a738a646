"""Projects that nobody here wrote: what `npm create vite` and `django-admin startproject` make."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError

import pytest
import yaml

from tests.free_ports import free_block
from tests.real_git import commit, git, make_repository
from tests.running import Cli
from tests.scenarios.conftest import fetch

pytestmark = [pytest.mark.engine, pytest.mark.long]

# Run in an instance, because a machine that runs treedock need not have npm.
GENERATE = """
set -e
uv venv --quiet ~/made
uv pip install --quiet --python ~/made django 'psycopg[binary]'
mkdir backend
~/made/bin/django-admin startproject shop backend
uv pip freeze --quiet --python ~/made > backend/requirements.txt
npm create --yes vite@latest frontend -- --template react
cd frontend && npm install --silent
"""
IGNORED = "node_modules/\n.venv/\n*.sqlite3\n__pycache__/\n"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a Django project in backend/ and a Vite React app in frontend/."""
    folder = make_repository(tmp_path_factory.mktemp("generated") / "shop")
    cli = Cli(folder)
    commit(folder, {"treedock.yaml": ports(), ".gitignore": IGNORED}, "nothing yet")
    try:
        answer = cli("up", "workshop", timeout=900)
        assert answer.exit_code == 0, answer.stderr
        made = cli("exec", "workshop", "--", "sh", "-c", GENERATE, timeout=600)
        assert made.exit_code == 0, made.stdout + made.stderr
        git(folder / "trees/workshop", "add", "--all")
        git(folder / "trees/workshop", "commit", "--quiet", "--message", "as generated")
        git(folder, "merge", "--quiet", "feature/workshop")
    finally:
        cli("clean", "--all", "--force")
        cli("cache", "prune", "--max-size", "0")
    return folder


@pytest.fixture
def shop(generated: Path, tmp_path: Path) -> Iterator[Path]:
    """A clone of it with the treedock.yaml that `init` finds. Its instances are removed
    afterwards."""
    folder = tmp_path / "shop"
    git(tmp_path, "clone", "--quiet", str(generated), str(folder))
    git(folder, "remote", "remove", "origin")
    cli = Cli(folder)
    found = cli("init", "--force")
    assert found.exit_code == 0, found.stderr
    config = re.sub("^ports:.*\n", "", (folder / "treedock.yaml").read_text(), flags=re.M)
    commit(folder, {"treedock.yaml": config + ports()}, "what init found")
    try:
        yield folder
    finally:
        cli("clean", "--all", "--force")
        cli("cache", "prune", "--max-size", "0")


def ports() -> str:
    first = free_block(20)
    return f"ports: {{backend: {first}-{first + 9}, frontend: {first + 10}-{first + 19}}}\n"


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


STOCK = {
    "backend/stock/__init__.py": "",
    "backend/stock/migrations/__init__.py": "",
    "backend/stock/migrations/0001_initial.py": """
from django.db import migrations, models

class Migration(migrations.Migration):
    initial = True
    operations = [
        migrations.CreateModel("Item", [
            ("id", models.BigAutoField(primary_key=True)),
            ("name", models.CharField(max_length=50)),
        ])
    ]
""",
    "backend/stock/models.py": """
from django.db import models

class Item(models.Model):
    name = models.CharField(max_length=50)
""",
    "backend/stock/fixtures/stock.json": json.dumps(
        [{"model": "stock.item", "pk": n, "fields": {"name": f"item {n}"}} for n in (1, 2, 3)]
    ),
    "backend/shop/urls.py": """
from django.http import JsonResponse
from django.urls import path
from stock.models import Item

def items(request):
    return JsonResponse({"items": list(Item.objects.order_by("pk").values())})

urlpatterns = [path("items", items)]
""",
}
SETTINGS = """
import os
INSTALLED_APPS += ["stock"]
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "CONN_MAX_AGE": 60,
    "NAME": os.environ["PGDATABASE"], "HOST": os.environ["PGHOST"],
    "PORT": os.environ["PGPORT"], "USER": os.environ["PGUSER"],
    "PASSWORD": os.environ["PGPASSWORD"]}}
"""
PRICE = """
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("stock", "0001_initial")]
    operations = [migrations.AddField("Item", "price", models.IntegerField(default=7))]
"""
PRICED = STOCK["backend/stock/models.py"] + "    price = models.IntegerField(default=7)\n"
MANAGE = ".venv/bin/python manage.py"


@pytest.fixture
def stocked(shop: Path) -> Path:
    """The same on PostgreSQL, with a model, a migration and a fixture of its own."""
    config = yaml.safe_load((shop / "treedock.yaml").read_text())
    env = {"POSTGRES_USER": "shop", "POSTGRES_PASSWORD": "s3cret", "POSTGRES_DB": "shop"}
    config |= {
        "sidecars": {"postgres": {"image": "postgres", "env": env}},
        "database": {
            "engine": "postgres",
            "reset": f"{MANAGE} migrate --verbosity 0 && {MANAGE} loaddata stock",
            "in": "backend",
        },
        "setup": [
            {"run": "uv venv && uv pip install -r requirements.txt", "in": "backend"},
            {"run": "npm ci", "in": "frontend"},
        ],
    }
    config["services"]["backend"] |= {
        "run": f"{MANAGE} runserver 0.0.0.0:$BACKEND_PORT",
        "in": "backend",
        "ready": {"http": "/items"},
    }
    settings = (shop / "backend/shop/settings.py").read_text() + SETTINGS
    settings = settings.replace("ALLOWED_HOSTS = []", 'ALLOWED_HOSTS = ["*"]')
    files = {**STOCK, "backend/shop/settings.py": settings}
    commit(shop, files | {"treedock.yaml": yaml.safe_dump(config)}, "on PostgreSQL")
    return shop


def test_django_on_postgresql_and_vite_three_at_once_each_with_its_own_data(stocked: Path) -> None:
    cli = Cli(stocked)
    answer = cli("up", "auth", "pay", "search", "--json", timeout=900)
    assert answer.exit_code == 0, answer.stdout + answer.stderr
    urls = {view["id"]: view["urls"] for view in answer.json["instances"]}

    def names(instance: str) -> list[str]:
        return [i["name"] for i in json.loads(fetch(urls[instance]["backend"] + "/items"))["items"]]

    def manage(instance: str, *words: str) -> str:
        run = ["sh", "-c", f'cd backend && {MANAGE} "$@"', "sh", *words]
        done = cli("exec", instance, "--", *run)
        assert done.exit_code == 0, done.stderr
        return done.stdout

    seeded = ["item 1", "item 2", "item 3"]
    for instance in urls:
        assert names(instance) == seeded
        assert "/src/main.jsx" in fetch(urls[instance]["frontend"])
        new = f"from stock.models import Item; Item.objects.create(pk=4, name='of {instance}')"
        manage(instance, "shell", "-c", new)
    assert [names(instance)[-1] for instance in urls] == [f"of {instance}" for instance in urls]

    # Reset one while it is asked all the time: its connections end, the others' data stays.
    over = threading.Event()

    def ask_on() -> None:
        while not over.is_set():
            with suppress(URLError):
                names("pay")

    asking = threading.Thread(target=ask_on)
    asking.start()
    try:
        assert cli("db", "reset", "pay").exit_code == 0
    finally:
        over.set()
        asking.join()
    assert names("pay") == seeded
    assert (names("auth")[-1], names("search")[-1]) == ("of auth", "of search")

    # A branch with another migration, beside one without.
    tree = stocked / "trees/search"
    files = {
        "backend/stock/models.py": PRICED,
        "backend/stock/migrations/0002_price.py": PRICE,
    }
    commit(tree, files, "price")
    done = cli("db", "reset", "search")
    assert done.exit_code == 0, done.stderr
    assert "what database.reset reads has changed" in done.stderr
    with_price = json.loads(fetch(urls["search"]["backend"] + "/items"))["items"]
    assert [item["price"] for item in with_price] == [7, 7, 7]
    assert "price" not in fetch(urls["auth"]["backend"] + "/items")
    assert "0002_price" not in manage("auth", "showmigrations", "stock")

    # What one has kept is restored in another.
    assert cli("db", "snapshot", "auth", "mine").exit_code == 0
    assert cli("db", "restore", "pay", "mine", "--from", "auth").exit_code == 0
    assert names("pay") == [*seeded, "of auth"]
