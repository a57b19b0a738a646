"""What is wrong with a value of treedock.yaml, in plain words instead of pydantic's."""

from datetime import date, datetime
from typing import Any

from runner.domain.sizes import format_size

_WANTED = {
    "string_type": "text",
    "list_type": "a list ('- ' before each entry)",
    "dict_type": "keys and values",
    "dataclass_type": "keys and values",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}
_BOUNDS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_LONGEST = 40  # characters of a given value that are shown


def wrong_value(problem: dict[str, Any]) -> str:
    """One of pydantic's problems as 'needs a whole number, not 'many''."""
    kind, given, context = problem["type"], problem["input"], problem.get("ctx", {})
    if kind == "missing":
        return "is missing; it has to be there"
    if kind == "string_too_short":
        return "must not be empty"
    if kind in _WANTED:
        return f"needs {_WANTED[kind]}, not {_shown(given)}{_advice(kind, given)}"
    if kind == "literal_error":
        return f"needs {context['expected']}, not {_shown(given)}{_advice(kind, given)}"
    if kind == "invalid_key":
        return f"the key {_shown(given)} has to be text{_advice('string_type', given)}"
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"needs {words} {_bound(context[bound], given)}, not {_shown(given)}"
    if kind == "string_pattern_mismatch":
        return f"{_shown(given)} does not fit the pattern {context['pattern']}"
    return str(problem["msg"]).removeprefix("Value error, ")


def _bound(bound: float, given: object) -> str:
    """A bound as one writes it: a size where a size was given, or where it is one."""
    whole = int(bound)
    if whole != bound:
        return f"{bound:g}"
    is_size = isinstance(given, str) and not given.strip().lstrip("-").isdecimal()
    return format_size(whole) if is_size or whole >= 2**20 else str(whole)


def _shown(given: object) -> str:
    """A value as it looks in YAML, whole where it is short."""
    if isinstance(given, date):  # a time of day, too
        return given.isoformat(" ") if isinstance(given, datetime) else given.isoformat()
    if isinstance(given, bytes):
        return "binary data"
    if isinstance(given, set):
        return "a set"
    if given is None:
        return "nothing"
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, dict):
        return "keys and values"
    if isinstance(given, list):
        return "a list"
    text = repr(given)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _advice(kind: str, given: object) -> str:
    if kind not in ("string_type", "literal_error"):
        return ""
    if isinstance(given, bool):
        return "; YAML reads yes, no, on and off as true and false: put it into quotes"
    if isinstance(given, date):
        return "; YAML reads it as a date: put it into quotes"
    return (
        "; put it into quotes" if isinstance(given, int | float) and kind == "string_type" else ""
    )
