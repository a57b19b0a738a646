"""The house: imports point down only, and what is heavy is imported late."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import CHECKOUT

FLOORS = {"domain": 1, "adapters": 2, "controller": 3, "cli": 4}
BESIDES = {"runner.resources": 0, "runner.version": 0, "runner.__init__": 4, "runner.__main__": 5}

# The rooms of each floor, from the lowest: a room imports those before it, late or for types too.
# A module that lies beside the rooms counts as one.
ROOMS = {
    "domain": "frozen data events git sizes text typed errors answers landing instance cache "
    "config requests detect rendering",
    "adapters": "cancellation failpoints engine files database host store git github",
    "controller": "parallel stream project world choosing disk_watch operation volumes instance "
    "cache sync data lifecycle observe cleanup landing onboarding table acts verbs",
}

# What each floor may import besides the standard library and the floors below it.
OUTSIDE = {
    "domain": {"pydantic", "pydantic_core"},
    "adapters": {"docker", "dotenv", "portpicker", "requests", "urllib3", "yaml"},
    "controller": set[str](),
    "cli": {"click", "rich"},
}
# Standard modules that talk to the world; decisions are made without them.
WORLD = {"socket", "subprocess", "os", "pathlib", "shutil", "tempfile", "time", "fcntl", "urllib"}

MODULES = sorted((CHECKOUT / "runner").rglob("*.py"))


def test_there_are_modules_to_look_at() -> None:
    assert {floor_of(name_of(path)) for path in MODULES} >= set(FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: name_of(path))
def test_imports_point_down_only(path: Path) -> None:
    own = level(name_of(path))
    upwards = [name for name in imports(path) if name.startswith("runner.") and level(name) > own]
    assert upwards == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: name_of(path))
def test_rooms_import_the_rooms_before_them_only(path: Path) -> None:
    floor, room, *_ = [*name_of(path).removeprefix("runner.").split("."), ""]
    order = ROOMS.get(floor, room).split()
    if room in ("", "__init__") or floor not in ROOMS:
        return
    there = {name.split(".")[2] for name in imports(path) if name.startswith(f"runner.{floor}.")}
    assert sorted(other for other in there if order.index(other) > order.index(room)) == []


def test_no_files_import_each_other_in_a_circle() -> None:
    names = {name_of(path).removesuffix(".__init__"): path for path in MODULES}
    del names["runner"]  # it names what it offers and imports it when that is asked for
    rest = {
        name: {found for one in imports(path) for found in (one, one.rpartition(".")[0])}
        & (names.keys() - {name})
        for name, path in names.items()
    }
    while free := [name for name, found in rest.items() if not found & rest.keys()]:
        for name in free:
            del rest[name]
    assert sorted(rest) == []


@pytest.mark.parametrize("path", [p for p in MODULES if "cli" in p.parts], ids=str)
def test_a_face_knows_the_door_the_project_and_the_domain_only(path: Path) -> None:
    doors = ("runner.controller.verbs.", "runner.controller.project.")
    below = [name for name in imports(path) if floor_of(name) in ("adapters", "controller")]
    assert [name for name in below if not name.startswith(doors)] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: name_of(path))
def test_only_adapters_import_what_they_wrap(path: Path) -> None:
    floor = floor_of(name_of(path))
    allowed = OUTSIDE.get(floor, {"runner"}) | {"runner"} | sys.stdlib_module_names
    found = {name.partition(".")[0] for name in imports(path)}
    assert found <= allowed
    if floor in ("controller", "cli"):
        assert not found & {"subprocess", "socket", "fcntl"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: name_of(path))
def test_the_message_of_an_error_is_put_into_another_by_sentences(path: Path) -> None:
    """An f-string makes plain text of it, and then its own line breaks are escaped as foreign."""
    names = {"error", "problem", "why"}
    flat = [
        ast.unparse(part.value)
        for part in ast.walk(ast.parse(path.read_text()))
        if isinstance(part, ast.FormattedValue)
        and isinstance(part.value, ast.Attribute)
        and part.value.attr in ("message", "hint")
        and isinstance(part.value.value, ast.Name)
        and part.value.value.id in names
    ]
    assert flat == []


@pytest.mark.parametrize("path", [p for p in MODULES if "domain" in p.parts], ids=str)
def test_the_domain_asks_the_world_nothing(path: Path) -> None:
    assert not {name.partition(".")[0] for name in imports(path)} & (WORLD - {"pathlib"})


@pytest.mark.parametrize(
    "module", ["runner.cli.main", "runner.cli.observe", "runner.controller.observe.listing"]
)
def test_list_does_not_pay_for_what_it_does_not_use(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKOUT
    )
    loaded = set(done.stdout.split())
    assert module in loaded
    heavy = {"docker", "dotenv", "portpicker", "pydantic", "requests", "rich", "urllib3", "yaml"}
    assert not loaded & heavy


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(CHECKOUT).with_suffix("").parts)


def floor_of(module: str) -> str:
    return [*module.split("."), ""][1]


def level(module: str) -> int:
    """The floor's number; what lies on no floor is below or above all of them."""
    return FLOORS.get(floor_of(module), BESIDES.get(module, 0))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports anywhere, as 'runner.domain.instance.ports'."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the floor"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
