"""The types of values in treedock.yaml: paths, sizes, port ranges, names, commands."""

import re
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

from runner.domain.instance.environment import one_argument
from runner.domain.instance.ports import PortRange
from runner.domain.sizes import format_size as format_size
from runner.domain.sizes import parse_size as parse_size


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
    BeforeValidator(parse_size),
    PlainSerializer(format_size, return_type=str),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["512m", "2g"]}),
]


Range = Annotated[
    PortRange,
    BeforeValidator(_parse_range),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\d+-\d+$", "examples": ["9100-9114"]}),
]


Path = Annotated[str, AfterValidator(relative_path)]


FilePath = Annotated[str, AfterValidator(relative_file)]


Line = Annotated[str, AfterValidator(_one_line)]


Pattern = Annotated[str, AfterValidator(_one_line), AfterValidator(relative_path)]


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]


Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


Command = Annotated[str, Field(min_length=1), AfterValidator(one_argument)]
