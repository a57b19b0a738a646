"""What a Compose file adds to what is found in a repository."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runner import resources
from runner.adapters.files import yaml_tree
from runner.domain.config.project import Config
from runner.domain.config.validate import validate
from runner.domain.detect import ComposeFile, Findings, Listing, detect
from runner.domain.rendering.starter import render_starter

FILES = Path(__file__).parent / "compose"
VITE = '{"scripts": {"dev": "vite"}, "devDependencies": {"vite": "^7"}}'
DJANGO = {
    "manage.py": "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'config.settings')\n",
    "config/settings.py": "ENGINE = 'django.db.backends.postgresql'",
    "requirements.txt": "django\ncelery\n",
    ".env.example": "# of the database\nPOSTGRES_PASSWORD='change me'\nOTHER=x\n",
}
NODE = {
    "server/package.json": '{"scripts": {"dev": "nodemon ."}, "dependencies": {"express": "5"}}',
    "server/package-lock.json": "{}",
    "client/package.json": VITE,
    "client/package-lock.json": "{}",
}
FASTAPI = {
    "backend/pyproject.toml": '[project]\nname = "a"\ndependencies = ["fastapi"]\n[tool.uv]\n',
    "backend/app/main.py": "from fastapi import FastAPI\napp = FastAPI()\n",
    "backend/app/__init__.py": "",
    "backend/scripts/prestart.sh": "#!/bin/sh\n",
    "frontend/package.json": VITE,
    ".env": "POSTGRES_PASSWORD=changethis\nPOSTGRES_USER=postgres\nPOSTGRES_DB=app\nKEY=hush\n",
}


def found(text: str, files: dict[str, str] | None = None) -> Findings:
    """Findings of these files with this Compose file; what init writes of them has to load."""
    files = files or {}
    compose = ComposeFile("compose.yaml", yaml_tree.parse(text, "compose.yaml"))
    listing = Listing(frozenset(files), files.__getitem__, lambda name: False)
    findings = detect(listing, compose)
    loaded(findings)
    return findings


def loaded(findings: Findings) -> Config:
    starter = (resources.templates() / "treedock.yaml").read_text()
    return validate(yaml.safe_load(render_starter(starter, "shop", findings)), "treedock.yaml")


def sample(name: str, files: dict[str, str]) -> tuple[Findings, Config]:
    findings = found((FILES / name).read_text(), files)
    return findings, loaded(findings)


def of_service(text: str, **files: str) -> Config:
    return loaded(found(f"services:\n  it: {text}\n", files))


def test_django_with_postgres_redis_and_celery() -> None:
    findings, config = sample("django.yml", DJANGO)
    assert set(config.sidecars) == {"db", "redis", "mailpit"}
    db, redis = config.sidecars["db"], config.sidecars["redis"]
    assert (db.image, db.volume) == ("postgres:16-alpine", "/var/lib/postgresql/data")
    assert db.env == {
        "POSTGRES_USER": "shop",
        "POSTGRES_PASSWORD": "change me",
        "POSTGRES_DB": "shop",
    }
    assert db.command == "postgres -c max_connections=200 -c log_statement=all"
    assert (redis.image, redis.command) == ("redis", "--appendonly yes")
    assert config.services["backend"].run.endswith("manage.py runserver 0.0.0.0:$BACKEND_PORT")
    assert config.services["worker"].run == ".venv/bin/celery -A config worker --loglevel=INFO"
    assert config.services["worker"].port is None
    assert config.database
    assert (config.database.engine, config.database.beside) == ("postgres", "db")
    assert config.database.reset == ".venv/bin/python manage.py migrate --noinput"
    assert config.env.set_ == {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": "postgres://shop:change me@localhost:5432/shop",
        "CELERY_BROKER_URL": "redis://localhost:6379/0",
        "EMAIL_HOST": "localhost",
        "EMAIL_PORT": "1025",
        "PYTHONPATH": "/workspace/src",
    }
    omitted = "\n".join(findings.omitted)
    for name in ("nginx (nginx:1.27)", "flower: it starts with the profile", "init.sql", "5432"):
        assert name in omitted
    assert any("your .env" in line for line in findings.unsure)


def test_node_with_mongo_and_mailhog() -> None:
    findings, config = sample("node.yml", NODE)
    assert set(config.sidecars) == {"mongo", "mailhog"}
    assert config.sidecars["mongo"].volume == "/data/db"  # its own, not ./data of the checkout
    assert config.sidecars["mailhog"].port == 1025
    assert set(config.services) == {"backend", "frontend"}
    variables = config.env.set_
    assert variables["MONGO_URL"] == "mongodb://root:example@localhost:27017/shop?authSource=admin"
    assert variables["CLIENT_URL"] == "http://localhost:${FRONTEND_PORT}"
    assert variables["VITE_API_URL"] == "http://localhost:${BACKEND_PORT}/api"
    assert not {"PORT", "SESSION_SECRET", "VITE_BACKEND_URL"} & set(variables)
    assert any("mongo-express" in line for line in findings.omitted)


def test_fastapi_with_anchors_profiles_and_a_step_that_others_wait_for() -> None:
    findings, config = sample("fastapi.yml", FASTAPI)
    db = config.sidecars["db"]
    assert (db.image, db.volume) == (
        "pgvector/pgvector:pg17",
        "/var/lib/postgresql/data/pgdata",
    )
    assert db.env["POSTGRES_PASSWORD"] == "changethis"
    assert "KEY" not in db.env
    assert config.sidecars["cache"].image == "valkey/valkey:8-alpine"
    assert config.database
    assert config.database.reset == "bash scripts/prestart.sh"
    assert config.database.folder == "backend"
    assert config.env.set_["POSTGRES_SERVER"] == "localhost"
    assert config.env.set_["FRONTEND_HOST"] == "http://localhost:${FRONTEND_PORT}"
    assert config.env.set_["VITE_API_URL"] == "http://localhost:${BACKEND_PORT}"
    omitted = "\n".join(findings.omitted)
    assert "queue (redis:7): cache has port 6379 already" in omitted
    assert "playwright: it starts with the profile test only" in omitted


@pytest.mark.parametrize(
    ("image", "expected", "port"),
    [
        ("postgres", "postgres", 5432),
        ("redis", "redis", 6379),
        ("postgres:16", "postgres:16", 5432),
        ("postgis/postgis:16-3.4", "postgis/postgis:16-3.4", 5432),
        ("registry.example:5000/team/mysql", "registry.example:5000/team/mysql", 3306),
        ("mariadb", "mariadb:latest", 3306),
        ("redis@sha256:abc", "redis@sha256:abc", 6379),
        ("minio/minio", "minio/minio", 9000),
    ],
)
def test_an_image_with_a_tag_stays_and_a_bare_one_is_treedocks_or_the_latest(
    image: str, expected: str, port: int
) -> None:
    sidecar = of_service(f"{{image: '{image}'}}").sidecars["it"]
    assert (sidecar.image, sidecar.port) == (expected, port)


def test_two_on_one_port_cannot_share_a_localhost() -> None:
    findings = found("services: {a: {image: redis}, b: {image: 'valkey/valkey:8'}}")
    assert [sidecar.name for sidecar in findings.sidecars] == ["a"]
    assert "a has port 6379 already" in findings.omitted[0]


def test_a_password_that_only_the_ignored_env_file_has_is_not_needed() -> None:
    text = "{image: 'postgres:16', environment: {POSTGRES_PASSWORD: '${DB_PASSWORD:?set it}'}}"
    assert of_service(text).sidecars["it"].env == {"POSTGRES_HOST_AUTH_METHOD": "trust"}
    assert of_service(text.replace("postgres:16", "postgres")).sidecars["it"].env == {}


def test_an_image_that_init_cannot_name_is_left_out() -> None:
    findings = found("services: {a: {image: 'postgres:${V}'}, b: {image: '-x:1'}, c: {}}")
    assert findings.sidecars == ()
    assert "${V} has no value here" in findings.omitted[0]
    assert len(findings.omitted) == 3


def test_a_project_in_another_language_is_built_from_its_own_dockerfile() -> None:
    text = """
services:
  api:
    build: {context: ./api, dockerfile: dev.Dockerfile}
    command: bundle exec rails server -b 0.0.0.0 -p 3000
    ports: ["127.0.0.1:3000:3000"]
    environment: {DATABASE_HOST: db, WORKERS: "2"}
  jobs: {build: {context: ./api, dockerfile: dev.Dockerfile}, command: bundle exec sidekiq}
  db: {image: "mysql:8"}
"""
    findings = found(text, {"api/dev.Dockerfile": "FROM ruby\n"})
    config = loaded(findings)
    assert not isinstance(config.image, str)
    assert config.image.build
    assert (config.image.build.context, config.image.build.dockerfile) == ("api", "dev.Dockerfile")
    run = config.services["backend"].run
    assert run == "bundle exec rails server -b 0.0.0.0 -p $BACKEND_PORT"
    assert (config.services["jobs"].folder, config.services["jobs"].port) == ("api", None)
    assert config.env.set_ == {"DATABASE_HOST": "localhost", "WORKERS": "2"}


def test_scripts_of_several_lines_and_programs_of_the_image() -> None:
    text = """
services:
  a:
    build: .
    command: |
      sh -c "set -e
      # tables
      ./migrate &&
        ./serve --quiet"
  b: {build: ., command: /entrypoint.sh}
  c: {build: .}
"""
    findings = found(text)
    assert loaded(findings).services["a"].run == "set -e; ./migrate && ./serve --quiet"
    assert [line.split(":")[1].strip() for line in findings.omitted] == ["b", "c"]


def test_a_name_of_the_network_is_replaced_as_a_host_and_nowhere_else() -> None:
    text = """
services:
  web:
    build: .
    environment:
      - DB_HOST=db
      - DB_USER=db
      - URL=postgresql+asyncpg://db:db@db/db
      - CACHES=redis://cache:6379,redis://cache.example:6379
      - ADDRESS=db:5432
      - PRICE=3 $$
  db: {image: postgres}
  cache: {image: redis}
"""
    assert loaded(found(text)).env.set_ == {
        "DB_HOST": "localhost",
        "DB_USER": "db",
        "URL": "postgresql+asyncpg://db:db@localhost/db",
        "CACHES": "redis://localhost:6379,redis://cache.example:6379",
        "ADDRESS": "localhost:5432",
        "PRICE": "3 $$",
    }


def test_one_behind_a_proxy_is_what_was_found_and_what_ends_is_no_service() -> None:
    text = """
services:
  web: {build: .}
  setup: {build: ., command: poetry run python manage.py migrate}
  worker: {build: ., command: poetry run celery -A config worker, devices: [/dev/x], x-y: 1}
  tests: {build: ., command: pytest -x}
  assets: {build: ., command: make assets}
  other:
    build: .
    command: ./other
    depends_on: {assets: {condition: service_completed_successfully}}
  db: {image: "mysql:8", entrypoint: [x], shm_size: 1g, restart: always}
"""
    findings = found(text, DJANGO)
    config = loaded(findings)
    assert set(config.services) == {"backend", "worker", "other"}
    assert [step.run for step in config.setup][1:] == ["make assets"]
    assert config.services["worker"].run == ".venv/bin/celery -A config worker"
    assert config.database
    assert config.database.engine == "command"
    assert config.database.reset == ".venv/bin/python manage.py migrate"
    assert [line.removeprefix("compose.yaml: ") for line in findings.omitted] == [
        "sidecars.db: `entrypoint`, `shm_size`",
        "worker: `devices`",
        "tests: it tests, which `test:` and `gates:` are for",
    ]


def test_what_it_extends_in_the_same_file_is_merged() -> None:
    text = """
services:
  base: {image: "postgres:16", environment: [POSTGRES_DB=a, POSTGRES_PASSWORD=b], profiles: [x]}
  db: {extends: {service: base}, environment: {POSTGRES_DB: c}, profiles: []}
  loop: {extends: loop, image: "redis:7"}
"""
    config = loaded(found(text))
    assert config.sidecars["db"].env == {"POSTGRES_DB": "c", "POSTGRES_PASSWORD": "b"}
    assert "loop" in config.sidecars


def test_other_files_are_named_and_not_read() -> None:
    text = """
include: [other.yaml]
services:
  db: {image: "postgres:16", extends: {file: ../elsewhere.yaml, service: db}}
  out: {build: ../elsewhere}
  git: {build: ., env_file: [.git/config, ../secret, "~/x", sub/.env], command: ./x}
"""
    findings = found(text)
    omitted = "\n".join(findings.omitted)
    for name in ("include", "elsewhere.yaml", "out: what it is built from"):
        assert name in omitted
    assert findings.copy == ("sub/.env",)


def test_names_that_yaml_takes_for_something_else_are_names() -> None:
    text = """
services:
  no: {image: redis}
  "true": {build: ., command: ./x, environment: {"on": "off"}}
"""
    config = loaded(found(text))
    assert (set(config.sidecars), set(config.services)) == ({"no"}, {"true"})
    assert config.env.set_ == {"on": "off"}


@pytest.mark.parametrize("text", ["", "[]", "services: []", "web: {image: postgres}", "services:"])
def test_what_is_no_compose_file_is_told(text: str) -> None:
    findings = found(text)
    assert "there are no `services:` in it; nothing was taken" in findings.unsure[0]


NAMES = st.text(max_size=12) | st.sampled_from(["db", "web", "A B", "backend", "it-s", "日本"])
TEXTS = st.text(max_size=20) | st.sampled_from(
    ["postgres", "redis:7", "${A}", "${A:-b}", "$", "sh -c 'x", "./a", "../b", ".git", "a:/", ":",
     "bash -c \"a\nb\"", "\0", "\x1b[0m", "8000:8000", "x=y", "db", "http://db:1", "python a.py"]
)  # fmt: skip
KEYS = st.sampled_from(
    ["image", "build", "command", "environment", "env_file", "ports", "volumes", "depends_on",
     "profiles", "extends", "entrypoint", "context", "dockerfile", "file", "condition", "service"]
)  # fmt: skip
TREES: st.SearchStrategy[Any] = st.recursive(
    TEXTS | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | TEXTS, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.deep
@settings(max_examples=300, deadline=None)
@given(st.dictionaries(NAMES, st.dictionaries(KEYS, TREES, max_size=6) | TREES, max_size=4))
@example({"\ufffe": {}})
def test_whatever_a_compose_file_says_the_proposal_loads(services: dict[str, Any]) -> None:
    listing = Listing(frozenset(), str, lambda name: False)
    findings = detect(listing, ComposeFile("compose.yaml", {"services": services}))
    loaded(findings)
