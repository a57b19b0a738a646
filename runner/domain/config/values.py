"""The types of values in treedock.yaml: paths, sizes, port ranges, names, commands.

What is checked of a value stands in its annotation, and pydantic asks for it by the methods that it
looks for there (https://docs.pydantic.dev/latest/concepts/types/). Nothing here imports pydantic:
most verbs read a configuration that was checked before.
"""

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Annotated, Any

from runner.domain.instance.environment import one_argument
from runner.domain.instance.ports import PortRange
from runner.domain.sizes import format_size, parse_size


class After:
    """A check of a value of the right type, which it may replace. Raises ValueError."""

    def __init__(self, check: Callable[[str], str]) -> None:
        self._check = check

    def __get_pydantic_core_schema__(self, source: object, handler: Callable[..., Any]) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self._check, handler(source))


class Written:
    """A value that is written as text: how that is read and shown, and its JSON Schema."""

    def __init__(
        self, read: Callable[[object], object], show: Callable[[Any], str], schema: dict[str, Any]
    ) -> None:
        self._read = read
        self._show = show
        self._schema = schema

    def __get_pydantic_core_schema__(self, source: object, handler: Callable[..., Any]) -> Any:
        from pydantic_core import core_schema

        shown = core_schema.plain_serializer_function_ser_schema(
            self._show, return_schema=core_schema.str_schema()
        )
        return core_schema.no_info_before_validator_function(
            self._read, handler(source), serialization=shown
        )

    def __get_pydantic_json_schema__(self, core: object, handler: object) -> dict[str, Any]:
        return dict(self._schema)


class Bounds:
    """Constraints of a number or text, by the names that pydantic has for them."""

    def __init__(self, **constraints: object) -> None:
        self._constraints = constraints

    def __get_pydantic_core_schema__(self, source: object, handler: Callable[..., Any]) -> Any:
        whole = inner = handler(source)
        while inner["type"] not in ("int", "float", "str"):
            inner = inner["schema"]
        inner.update(self._constraints)
        return whole


def _parse_range(value: object) -> PortRange:
    if isinstance(value, PortRange):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a port range such as 9100-9114")
    return PortRange.parse(value)


def relative_path(text: str) -> str:
    """A path that stays inside the checkout, as written. Raises ValueError otherwise."""
    path = PurePosixPath(text)
    if not text or "\0" in text or path.is_absolute() or ".." in path.parts or text[0] == "~":
        raise ValueError(f"{text!r} leaves the checkout; paths are relative and stay inside")
    if path.parts[:1] == (".git",):
        raise ValueError(f"{text!r} lies in the git directory")
    return str(path)


def relative_file(text: str) -> str:
    """The same, for what cannot be the checkout itself."""
    if relative_path(text) == ".":
        raise ValueError(f"{text!r} is the checkout itself")
    return relative_path(text)


def trees_inside(text: str) -> str:
    try:
        return relative_file(text)
    except ValueError as error:
        own = "only your own ~/.config/treedock/config.yaml may put worktrees elsewhere"
        raise ValueError(f"{error}; {own}") from error


def _one_line(text: str) -> str:
    if "\n" in text or "\0" in text:
        raise ValueError("has to fit on one line")
    return one_argument(text)


def branch_pattern(text: str) -> str:
    if text.count("{id}") != 1 or not re.fullmatch(r"[A-Za-z0-9._/{}-]+", text):
        raise ValueError(f"{text!r} needs {{id}} once, and else only letters, digits, . _ / -")
    if re.search(r"(^|/)[.-]|\.\.|//|\.lock(/|$)|/$|^/|\.$|@\{", text):
        raise ValueError(f"{text!r} is not a name that git allows for a branch")
    return text


def trees_anywhere(text: str) -> str:
    if not text or re.search(r"[\0\n]", text):
        raise ValueError("has to be a path on one line")
    if re.search(r"[{}]", text.replace("{project}", "")):
        raise ValueError(f"{text!r}: only {{project}} is filled in")
    if text.startswith("~"):
        raise ValueError(f"{text!r}: write the path out, or relative to the checkout")
    return text


Size = Annotated[
    int,
    Written(parse_size, format_size, {"type": ["string", "integer"], "examples": ["512m", "2g"]}),
]
Range = Annotated[
    PortRange,
    Written(
        _parse_range,
        str,
        {"type": "string", "pattern": r"^\d+-\d+$", "examples": ["9100-9114"]},
    ),
]
Path = Annotated[str, After(relative_path)]
FilePath = Annotated[str, After(relative_file)]
Line = Annotated[str, After(_one_line)]
Pattern = Annotated[str, After(_one_line), After(relative_path)]
Name = Annotated[str, Bounds(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
Variable = Annotated[str, Bounds(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Command = Annotated[str, Bounds(min_length=1), After(one_argument)]
