"""Tiny repositories, each with the shape of a public one, and what `treedock init` makes of them.

A file `NAME.yaml` holds `repository` and `commit` (where the shape was seen), `files` (path to
text; written for this test) and `expect`:

    services   name -> [folder, command]; a service without a port is [folder, command, null]
    setup      commands, in order           reset      the command of the database, or null
    sidecars   name -> image                variables  names of env.set
    ports      names beyond backend and frontend
    notes      a phrase of each sentence that asks for a look or tells of an omission

What `expect` does not name has to be empty; `setup` is compared where it is named.
"""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.controller.onboarding.init import init
from runner.domain.config.project import Config
from runner.domain.config.validate import validate

SHAPES = sorted(Path(__file__).parent.glob("*.yaml"))


def test_there_are_shapes_and_each_names_where_it_was_seen() -> None:
    shapes = [yaml.safe_load(path.read_text()) for path in SHAPES]
    assert shapes
    assert all(len(str(shape["commit"])) == 40 and "/" in shape["repository"] for shape in shapes)


@pytest.mark.parametrize("path", SHAPES, ids=lambda path: path.stem)
def test_init_finds_what_the_shape_has(path: Path, tmp_path: Path) -> None:
    shape = yaml.safe_load(path.read_text())
    checkout = laid_out(tmp_path / "shape", shape["files"])
    found = init(checkout, force=False)
    config = validate(yaml.safe_load(found.path.read_text()), found.path.name)
    expected = shape["expect"]
    assert picture(config, with_setup="setup" in expected) == filled(expected)
    notes = [*found.unsure, *found.omitted]
    assert unmatched(notes, expected.get("notes", [])) == ([], [])
    text = found.path.read_text()
    assert [line for line in found.omitted if line not in text] == []


def laid_out(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    exclude = "__pycache__/\n.venv/\nnode_modules/\n"
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    (folder / ".git" / "info" / "exclude").write_text(exclude)
    subprocess.run(["git", "-C", folder, "add", "--all"], check=True)
    return folder


def picture(config: Config, *, with_setup: bool) -> dict[str, Any]:
    """The parts of a configuration that a shape tells, as plain values."""
    return {
        "services": {
            name: [service.folder, service.run, *([] if service.port else [None])]
            for name, service in config.services.items()
        },
        "reset": config.database.reset if config.database else None,
        "sidecars": {name: sidecar.image for name, sidecar in config.sidecars.items()},
        "variables": sorted(config.env.set_),
        "ports": sorted(set(config.ports) - {"backend", "frontend"}),
        "setup": [step.run for step in config.setup] if with_setup else [],
    }


def filled(expected: dict[str, Any]) -> dict[str, Any]:
    empty: dict[str, Any] = {
        "services": {},
        "reset": None,
        "sidecars": {},
        "variables": [],
        "ports": [],
        "setup": [],
    }
    named = {key: value for key, value in expected.items() if key != "notes"}
    return {**empty, **named, "variables": sorted(named.get("variables", []))}


def unmatched(notes: list[str], phrases: list[str]) -> tuple[list[str], list[str]]:
    """(notes that no phrase names, phrases that no note has); what is merely not there is not a
    note."""
    told = [note for note in notes if not note.startswith("not found:")]
    return (
        [note for note in told if not any(phrase in note for phrase in phrases)],
        [phrase for phrase in phrases if not any(phrase in note for note in told)],
    )
