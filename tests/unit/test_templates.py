"""Everything in templates/ is rendered and loaded again as treedock would."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runner import resources
from runner.domain.config.project import Config
from runner.domain.config.validate import validate
from runner.domain.detect import Database, Findings, Listing, Service, Step, detect
from runner.domain.rendering.starter import render_starter

NOTHING = Findings((), (), None, (), {}, None, (), (), ())
DEMO = resources.templates() / "demo"


@pytest.fixture
def starter() -> str:
    return (resources.templates() / "treedock.yaml").read_text()


def load(text: str) -> Config:
    return validate(yaml.safe_load(text), "treedock.yaml")


def test_the_starter_with_nothing_found_is_the_default_configuration(starter: str) -> None:
    assert load(render_starter(starter, "shop", NOTHING)) == Config(name="shop")


def test_every_commented_example_of_the_starter_is_valid(starter: str) -> None:
    images = re.findall(r"(?m)^#(image: .*)$", starter)
    lines = [line for line in starter.splitlines() if not line.startswith("#image:")]
    text = "\n".join(re.sub(r"^#(\w+:|  )", r"\1", line) for line in lines)
    config = load(text)
    assert config.database
    assert set(config.services) == {"backend", "frontend"}
    assert len(images) == 2
    assert all(load(image) for image in images)


def test_what_was_found_takes_the_place_of_the_examples(starter: str) -> None:
    findings = Findings(
        setup=(Step("uv sync", "my app"), Step('echo "a: b" # not a comment')),
        services=(
            Service("backend", "serve: $BACKEND_PORT", ".", http="/health"),
            Service("frontend", "npm run dev -- --port $FRONTEND_PORT", "web", timeout=180),
        ),
        database=Database("./scripts/reset.sh", "data/app.db", "web"),
        copy=("web/.env",),
        variables={"VITE_URL": "http://localhost:${BACKEND_PORT}"},
        test="cd web && npm test",
        said=(),
        unsure=(),
        leaves=(),
    )
    text = render_starter(starter, "shop", findings)
    config = load(text)
    assert [(step.run, step.folder) for step in config.setup] == [
        ("uv sync", "my app"),
        ('echo "a: b" # not a comment', "."),
    ]
    assert config.services["backend"].run == "serve: $BACKEND_PORT"
    assert config.services["backend"].ready.http == "/health"
    assert config.services["frontend"].ready.timeout == 180
    assert config.database
    assert (config.database.path, config.database.folder) == ("data/app.db", "web")
    assert config.env.copy_ == [".env", ".env.local", "web/.env"]
    assert config.env.set_ == {"VITE_URL": "http://localhost:${BACKEND_PORT}"}
    assert config.test == "cd web && npm test"
    assert "#verify: " in text
    assert "#services:" not in text


@given(st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), min_size=1))
def test_any_printable_command_survives_the_file(command: str) -> None:
    text = render_starter("#test: x\n#env: x\n#name: x\n", "shop", findings_with(command))
    data: dict[str, Any] = yaml.safe_load(text)
    assert data["test"] == command
    assert data["env"]["copy"][-1] == command


def findings_with(text: str) -> Findings:
    return Findings((), (), None, (text,), {}, text, (), (), ())


def test_the_demo_has_a_valid_configuration_whose_paths_exist() -> None:
    config = load((DEMO / "treedock.yaml").read_text())
    assert config.database
    assert config.database.reset
    assert (DEMO / config.database.reset).stat().st_mode & 0o111
    folders = [step.folder for step in config.setup]
    folders += [service.folder for service in config.services.values()]
    assert all((DEMO / folder).is_dir() for folder in folders)


def test_the_demo_is_recognised_for_what_its_own_configuration_says(starter: str) -> None:
    own = load((DEMO / "treedock.yaml").read_text())
    guessed = load(render_starter(starter, "demo", detect(listing_of(DEMO))))
    assert guessed == own


def listing_of(folder: Path) -> Listing:
    files = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}
    return Listing(
        frozenset(files),
        lambda name: files[name].read_text(),
        lambda name: bool(files[name].stat().st_mode & 0o100),
    )


def test_the_demo_names_no_package_index() -> None:
    lock = json.loads((DEMO / "app/client/package-lock.json").read_text())
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]
    assert not (DEMO / "app/server/uv.lock").exists()
