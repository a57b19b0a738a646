"""The shape of a Python package, read from its source: sizes, functions, imports and circles."""

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LONG_FUNCTION = 40  # lines
LONG_FILE = 250

Graph = dict[str, set[str]]


@dataclass(frozen=True)
class Function:
    where: str  # "controller/up.py:12 up"
    lines: int  # from `def` to its end, decorators left out


@dataclass(frozen=True)
class Source:
    """One file, and the absolute names that it imports: `now` when it is imported itself, `late`
    inside of functions, `typed` for the type checker only."""

    name: str
    lines: int
    functions: tuple[Function, ...]
    now: frozenset[str] = field(repr=False)
    late: frozenset[str] = field(repr=False)
    typed: frozenset[str] = field(repr=False)


def shape(root: Path) -> dict[str, Any]:
    """Everything about the package in the folder `root`, ready for JSON."""
    sources = {module_of(path, root): read(path, root) for path in sorted(root.rglob("*.py"))}
    functions = [one for source in sources.values() for one in source.functions]
    longest = sorted(functions, key=lambda one: -one.lines)
    long = [one for one in longest if one.lines > LONG_FUNCTION]
    files = sorted(sources.values(), key=lambda one: -one.lines)
    largest = [[one.name, one.lines] for one in files if one.lines > LONG_FILE]
    return {
        "files": len(sources),
        "lines": sum(one.lines for one in sources.values()),
        "functions": len(functions),
        "longest_function": [longest[0].where, longest[0].lines] if longest else None,
        "functions_over_40_lines": [[one.where, one.lines] for one in long],
        "share_over_40_lines": round(len(long) / len(functions), 4) if functions else 0,
        "files_over_250_lines": largest,
        "circles": {
            f"{kind}{with_}": circles(found)
            for with_, files in graphs(sources).items()
            for kind, found in (("files", files), ("rooms", rooms(files, root)))
        },
    }


# --- one file -------------------------------------------------------------------------------


def module_of(path: Path, root: Path) -> str:
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read(path: Path, root: Path) -> Source:
    text = path.read_text()
    tree = ast.parse(text)
    name = str(path.relative_to(root))
    functions = tuple(
        Function(f"{name}:{one.lineno} {one.name}", (one.end_lineno or one.lineno) - one.lineno + 1)
        for one in ast.walk(tree)
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    package = list(path.relative_to(root.parent).parent.parts)
    now = frozenset(_imported(_nodes(tree, functions=False), package))
    run = frozenset(_imported(_nodes(tree, functions=True), package))
    every = frozenset(_imported(ast.walk(tree), package))
    return Source(name, len(text.splitlines()), functions, now, run - now, every - run)


def _nodes(node: ast.AST, *, functions: bool) -> Iterator[ast.AST]:
    """What runs when the module is imported and, with `functions`, later."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and not functions:
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from (part for other in child.orelse for part in ast.walk(other))
            continue
        yield child
        yield from _nodes(child, functions=functions)


def _imported(nodes: Iterable[ast.AST], package: list[str]) -> Iterator[str]:
    """What is named by `import a.b` and `from a import b`: both times a.b."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = [*above, *([node.module] if node.module else [])]
            yield from (".".join([*module, alias.name]) for alias in node.names)


# --- graphs ---------------------------------------------------------------------------------


def graphs(sources: dict[str, Source]) -> dict[str, Graph]:
    """Which module of the package imports which: at import, with late imports, with those for the
    type checker as well."""
    return {
        "": _graph(sources, lambda one: one.now),
        "_with_late": _graph(sources, lambda one: one.now | one.late),
        "_with_late_and_types": _graph(sources, lambda one: one.now | one.late | one.typed),
    }


def _graph(sources: dict[str, Source], imports: Callable[[Source], frozenset[str]]) -> Graph:
    found: Graph = {}
    for module, source in sources.items():
        # Of `from a import b`, b is a module, or a name that a itself defines.
        named = imports(source)
        found[module] = {name if name in sources else name.rpartition(".")[0] for name in named}
        found[module] &= sources.keys() - {module}
    return found


def rooms(files: Graph, root: Path) -> Graph:
    """The same between folders. A file that lies beside folders is a room by itself."""
    folders = {
        module_of(path, root)
        for path in root.rglob("__init__.py")
        if not any(path.parent.glob("*/__init__.py"))
    }

    def room(module: str) -> str:
        above = module.rpartition(".")[0]
        return above if above in folders else module

    found: Graph = {}
    for module, needed in files.items():
        others = {room(name) for name in needed} - {room(module)}
        found.setdefault(room(module), set()).update(others)
    return found


def circles(of: Graph) -> list[list[str]]:
    """The groups in which each imports each, over others or itself; sorted, the largest first."""
    reach = {name: _reached(of, name) for name in of}
    groups = {
        tuple(sorted(other for other in reach[name] if name in reach.get(other, ())))
        for name in of
        if name in reach[name]
    }
    return sorted((list(group) for group in groups), key=lambda group: (-len(group), group))


def _reached(of: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    left = list(of[start])
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            left.extend(of.get(name, ()))
    return seen
