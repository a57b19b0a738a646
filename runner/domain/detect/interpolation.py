"""Variables in a Compose file: `$NAME`, `${NAME}`, `${NAME:-default}` and their kin.

The rules are those of the Compose specification, 'Interpolation'.
"""

import re
from collections.abc import Mapping

DEPTH = 20  # of defaults within defaults

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Unset(Exception):
    """A variable without a value: its name, and what `${NAME:?message}` says of it."""

    def __init__(self, name: str, message: str = "") -> None:
        super().__init__(name)
        self.message = message

    @property
    def sentence(self) -> str:
        """What is missing, as a note has it."""
        return f"${{{self}}} has no value here" + (f" ({self.message})" if self.message else "")


def interpolate(text: str, values: Mapping[str, str], depth: int = 0) -> str:
    """`text` with variables filled in. Raises Unset for one that has neither value nor default,
    ValueError where it is not written as it should be."""
    if depth > DEPTH:
        raise ValueError("defaults within defaults without end")
    parts, at = [], 0
    while (dollar := text.find("$", at)) >= 0:
        parts.append(text[at:dollar])
        name = _NAME.match(text, dollar + 1)
        if text[dollar + 1 : dollar + 2] == "$":
            parts.append("$")
            at = dollar + 2
        elif name:
            parts.append(_value(name[0], values))
            at = name.end()
        elif text[dollar + 1 : dollar + 2] == "{":
            at = _end(text, dollar + 2) + 1
            parts.append(_braced(text[dollar + 2 : at - 1], values, depth))
        else:
            raise ValueError(f"a $ without a name in {text!r}; Compose wants $$")
    return "".join([*parts, text[at:]])


def _braced(inner: str, values: Mapping[str, str], depth: int) -> str:
    name = _NAME.match(inner)
    rest = inner[name.end() :] if name else inner
    if name is None or not re.match(r":?[-?+]|$", rest):
        raise ValueError(f"${{{inner}}} is no variable")
    given = values.get(name[0])
    there = bool(given) if rest.startswith(":") else given is not None
    sign, word = rest.lstrip(":")[:1], rest.lstrip(":")[1:]
    if sign == "+":
        return interpolate(word, values, depth + 1) if there else ""
    if not there and sign == "?":
        raise Unset(name[0], " ".join(word.split()))
    if there or sign != "-":
        return _value(name[0], values if there else {})
    return interpolate(word, values, depth + 1)


def _value(name: str, values: Mapping[str, str]) -> str:
    if name not in values:
        raise Unset(name)
    return values[name]


def _end(text: str, at: int) -> int:
    """Where the brace that was opened before `at` closes."""
    depth = 1
    for place in range(at, len(text)):
        if text.startswith("${", place):
            depth += 1
        elif text[place] == "}":
            depth -= 1
            if depth == 0:
                return place
    raise ValueError(f"a brace stays open in {text!r}")
