"""The measuring tool of the house: what it says about a package that was made up."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.running import CHECKOUT

TRACED = CHECKOUT / "benchmarks/traced.py"


@pytest.fixture(scope="module")
def shape() -> ModuleType:
    spec = importlib.util.spec_from_file_location("shape", CHECKOUT / "benchmarks/shape.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["shape"] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


def package(folder: Path, **files: str) -> Path:
    """A package `made` of these files; a__b is b.py in the folder a."""
    root = folder / "made"
    for name, text in files.items():
        path = root.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        for above in (path.parent, root):
            (above / "__init__.py").touch()
    return root


def test_a_circle_of_files_is_found_over_others(shape: ModuleType, tmp_path: Path) -> None:
    root = package(
        tmp_path, a="from made import b", b="import made.c", c="from made.a import x", d="import a"
    )
    assert shape.shape(root)["circles"]["files"] == [["made.a", "made.b", "made.c"]]


LATE = "def f():\n    from made.a import x"
TYPED = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from made.a import x"


@pytest.mark.parametrize(("text", "late"), [(LATE, True), (TYPED, False)], ids=["late", "typed"])
def test_a_late_import_closes_a_circle_of_its_own_kind(
    shape: ModuleType, tmp_path: Path, text: str, late: bool
) -> None:
    circles = shape.shape(package(tmp_path, a="import made.b", b=text))["circles"]
    assert circles["files"] == []
    assert circles["files_with_late"] == ([["made.a", "made.b"]] if late else [])
    assert circles["files_with_late_and_types"] == [["made.a", "made.b"]]


def test_rooms_may_be_in_a_circle_where_no_files_are(shape: ModuleType, tmp_path: Path) -> None:
    root = package(
        tmp_path, one__a="import made.two.b", one__c="x = 1", two__b="from made.one.c import x"
    )
    circles = shape.shape(root)["circles"]
    assert circles["files"] == []
    assert circles["rooms"] == [["made.one", "made.two"]]


def test_sizes_are_counted(shape: ModuleType, tmp_path: Path) -> None:
    long = "def long():\n" + "    x = 1\n" * 40
    found = shape.shape(package(tmp_path, a=long + "def short(): pass\n", b="x = 1\n" * 251))
    assert found["longest_function"] == ["a.py:1 long", 41]
    assert found["functions_over_40_lines"] == [["a.py:1 long", 41]]
    assert found["share_over_40_lines"] == 0.5
    assert found["files_over_250_lines"] == [["b.py", 251]]
    assert found["lines"] == 42 + 251


# --- the tracer -----------------------------------------------------------------------------

MAIN = """
from runner.inner.work import values, work
x = work()  # runs while the module is imported

def main():
    list(values())
    work()
"""
WORK = """
import subprocess

def values():
    yield 1
    yield 2

def work():
    subprocess.run(["true", "a"])
"""


def traced(folder: Path) -> dict[str, Any]:
    for name, text in {"main": MAIN, "inner/work": WORK}.items():
        path = folder / "runner" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        (path.parent / "__init__.py").touch()
    command = folder / "command"
    command.write_text("from runner.main import main\nmain()\n")
    out = folder / "out.json"
    subprocess.run(
        [sys.executable, TRACED, out, command], check=True, env={"PYTHONPATH": str(folder)}
    )
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def test_calls_between_files_and_processes_are_traced(tmp_path: Path) -> None:
    found = traced(tmp_path)
    assert found["files"] == ["inner/work.py", "main.py"]
    assert found["crossings"] == {"main.py -> inner/work.py": 2}
    second = found["processes"][1]
    assert second["words"] == ["true", "a"]
    assert [caller[::2] for caller in second["callers"]] == [
        ["inner/work.py", "work"], ["main.py", "main"],
    ]  # fmt: skip
