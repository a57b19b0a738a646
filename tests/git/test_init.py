"""`treedock init` and the demo, on real repositories."""

import subprocess
from pathlib import Path

import pytest
import yaml

from runner.controller.onboarding.demo import copy_demo
from runner.controller.onboarding.init import init
from runner.domain.config.project import Config
from runner.domain.config.validate import validate
from runner.domain.errors import NotFound, Refused

FASTAPI = "from fastapi import FastAPI\napp = FastAPI()\n"


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A repository with one tracked FastAPI app."""
    folder = tmp_path / "Corner Shop"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "main.py").write_text(FASTAPI)
    (folder / "requirements.txt").write_text("fastapi\nuvicorn\n")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "first")
    return folder


def config_of(folder: Path) -> Config:
    return validate(yaml.safe_load((folder / "treedock.yaml").read_text()), "treedock.yaml")


def test_init_writes_what_it_found_and_tells_it(shop: Path) -> None:
    found = init(shop, force=False)
    assert found.path == shop / "treedock.yaml"
    assert any(line.startswith("main.py (FastAPI) → services.backend") for line in found.found)
    assert any(line.startswith("found main.py (FastAPI)") for line in found.sentences)
    config = config_of(shop)
    assert config.name == "corner-shop"
    assert config.services["backend"].run.startswith(".venv/bin/uvicorn main:app")


def test_init_in_a_sub_folder_writes_at_the_top(shop: Path) -> None:
    (shop / "inner").mkdir()
    assert init(shop / "inner", force=False).path == shop / "treedock.yaml"


def test_init_refuses_to_write_over_a_file_unless_forced(shop: Path) -> None:
    (shop / "treedock.yaml").write_text("name: mine\n")
    with pytest.raises(Refused, match="already"):
        init(shop, force=False)
    assert (shop / "treedock.yaml").read_text() == "name: mine\n"
    init(shop, force=True)
    assert config_of(shop).name == "corner-shop"


def test_init_does_not_write_through_a_symlink(shop: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    (shop / "treedock.yaml").symlink_to(target)
    with pytest.raises(Refused):
        init(shop, force=False)
    init(shop, force=True)
    assert not target.exists()


def test_untracked_files_are_looked_at_and_ignored_ones_are_not(shop: Path) -> None:
    for folder in ("web", "old"):
        (shop / folder).mkdir()
        (shop / folder / "package.json").write_text('{"scripts": {"dev": "vite"}}')
    (shop / ".git" / "info" / "exclude").write_text("/old/\n")
    init(shop, force=False)
    services = config_of(shop).services
    assert set(services) == {"backend", "frontend"}
    assert services["frontend"].folder == "web"


def test_a_tracked_file_that_is_gone_or_a_symlink_out_is_passed_over(
    shop: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "package.json"
    secret.write_text('{"scripts": {"dev": "vite"}}')
    (shop / "package.json").symlink_to(secret)
    git(shop, "add", "--all")
    (shop / "main.py").unlink()
    init(shop, force=False)
    assert config_of(shop).services == {}


def test_what_git_would_show_after_set_up_is_said_beforehand(shop: Path) -> None:
    assert any(line.startswith(".venv/ is not ignored") for line in init(shop, force=False).unsure)
    (shop / ".gitignore").write_text(".venv/\n__pycache__/\n")
    assert not any("not ignored" in line for line in init(shop, force=True).unsure)


COMPOSE = """
services:
  web: {build: ., ports: ["8000:8000"], environment: {DATABASE_URL: "postgres://a:${PASS:-b}@db/a"}}
  db: {image: "postgres:16", environment: {POSTGRES_PASSWORD: "${PASS:-b}"}}
  proxy: {image: "nginx:1.27"}
"""


def test_a_compose_file_gives_sidecars_and_what_is_left_out_is_told_and_written(
    shop: Path,
) -> None:
    (shop / ".gitignore").write_text("/.env\n")
    (shop / ".env").write_text("PASS=hush\n")
    (shop / "docker-compose.yml").write_text("services: {cache: {image: redis}}")
    (shop / "compose.yml").write_text(COMPOSE)
    found = init(shop, force=False)
    config = config_of(shop)
    assert config.sidecars["db"].env == {"POSTGRES_PASSWORD": "b"}
    assert config.env.set_ == {"DATABASE_URL": "postgres://a:b@localhost/a"}
    assert config.database
    assert config.database.beside == "db"
    assert any(line.startswith("left out of compose.yml: proxy") for line in found.sentences)
    text = (shop / "treedock.yaml").read_text()
    assert "# Left out of compose.yml: proxy (nginx:1.27): no database" in text
    assert "hush" not in text
    assert "cache" not in config.sidecars


def test_a_compose_file_that_leads_out_of_the_checkout_is_not_read(
    shop: Path, tmp_path: Path
) -> None:
    (tmp_path / "outside.yaml").write_text("services: {db: {image: 'postgres:16'}}")
    (shop / "compose.yaml").symlink_to(tmp_path / "outside.yaml")
    (shop / "docker-compose.yml").write_text("services: {web: {build: ., env_file: [far.env]}}")
    (shop / "far.env").symlink_to(tmp_path / "far.env")
    (tmp_path / "far.env").write_text("SECRET=hush\n")
    found = init(shop, force=False)
    assert config_of(shop).sidecars == {}
    assert any("there are no `services:`" in line for line in found.unsure)
    (shop / "compose.yaml").unlink()
    init(shop, force=True)
    assert "hush" not in (shop / "treedock.yaml").read_text()


@pytest.mark.parametrize(
    "text", ["services: [", "a: &a [*a]", "{a: " * 999, "\0", "services: {a: {image: *x}}"]
)
def test_a_broken_compose_file_is_a_sentence_and_the_rest_is_found(shop: Path, text: str) -> None:
    (shop / "compose.yaml").write_text(text)
    found = init(shop, force=False)
    assert any(line.startswith("compose.yaml cannot be read") for line in found.unsure)
    assert "backend" in config_of(shop).services


def test_init_outside_of_a_repository_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="not in a git repository"):
        init(tmp_path, force=False)


def test_the_demo_becomes_a_clean_repository_with_one_commit(tmp_path: Path) -> None:
    folder = copy_demo(tmp_path / "new" / "demo")
    assert git(folder, "log", "--format=%an %D") == "treedock HEAD -> main\n"
    assert git(folder, "status", "--porcelain") == ""
    assert (folder / "scripts" / "reset_db.sh").stat().st_mode & 0o111
    assert {".gitignore", ".env.example"} <= set(git(folder, "ls-files").split())
    assert [path.name for path in folder.parent.iterdir()] == ["demo"]


def test_the_demo_is_left_alone_where_it_is_already(tmp_path: Path) -> None:
    folder = copy_demo(tmp_path / "demo")
    (folder / "mine.txt").write_text("work")
    assert copy_demo(folder) == folder
    assert (folder / "mine.txt").read_text() == "work"


def test_the_demo_takes_no_folder_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "work.txt").write_text("work")
    with pytest.raises(Refused, match="not the demo"):
        copy_demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["work.txt"]


def test_the_demos_reset_makes_a_database_that_names_the_instance(tmp_path: Path) -> None:
    folder = copy_demo(tmp_path / "demo")
    for instance in ("auth", "search"):
        subprocess.run(
            ["./scripts/reset_db.sh"], cwd=folder, check=True, env={"TREEDOCK_ID": instance}
        )
        assert f"Apples of {instance}".encode() in (folder / "app/server/app.db").read_bytes()
    assert git(folder, "status", "--porcelain") == ""
