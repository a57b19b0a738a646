"""Plain data, as JSON gives it, turned into a dataclass, with the type of every field checked."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

_T = TypeVar("_T")


class Document:
    """A dataclass that is kept as a file of its own, which says the version of its layout."""

    VERSION: ClassVar[int] = 1


def typed(cls: Callable[..., _T], data: object) -> _T:
    """An instance of the dataclass `cls` from a mapping.

    Raises TypeError, with the name of the field, for what is missing, unknown or of another type.
    """
    if not isinstance(data, Mapping):
        raise TypeError(f"it is {_kind(data)} and should be an object")
    hints = _hints(cls)
    unknown = [key for key in data if key not in hints]
    if unknown:
        raise TypeError(f"{unknown[0]} is unknown")
    found = {key: _value(hints[key], data[key], key) for key in hints if key in data}
    missing = [name for name in _required(cls) if name not in found]
    if missing:
        raise TypeError(f"{missing[0]} is missing")
    return cls(**found)


@cache
def _hints(cls: Hashable) -> dict[str, Any]:
    assert is_dataclass(cls)
    hints = get_type_hints(cls)
    return {one.name: hints[one.name] for one in fields(cls)}


@cache
def _required(cls: Hashable) -> tuple[str, ...]:
    assert is_dataclass(cls)
    return tuple(
        one.name for one in fields(cls) if one.default is MISSING and one.default_factory is MISSING
    )


def _value(hint: Any, value: object, where: str) -> Any:
    """`value` as the type `hint`: a list becomes a tuple, an object a dataclass."""
    if hint is Any:
        return value
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _one_of(arguments, value, where)
    if origin is Literal:
        return _checked(value in arguments, value, where, " or ".join(map(repr, arguments)))
    if origin is dict:
        _checked(isinstance(value, dict), value, where, "an object")
        assert isinstance(value, dict)
        return {key: _value(arguments[1], one, f"{where}.{key}") for key, one in value.items()}
    if origin in (tuple, list):
        _checked(isinstance(value, list | tuple), value, where, "a list")
        assert isinstance(value, list | tuple)
        return origin(_value(arguments[0], one, f"{where}[{at}]") for at, one in enumerate(value))
    if is_dataclass(hint):
        assert isinstance(hint, type)
        try:
            return typed(hint, value)
        except TypeError as error:
            raise TypeError(f"{where}: {error}") from error
    # Not isinstance: True is an int in Python, but no port.
    fits = type(value) is hint or (hint is float and type(value) is int)
    return _checked(fits, value, where, _NAMES.get(hint, str(hint)))


def _one_of(hints: tuple[Any, ...], value: object, where: str) -> Any:
    if value is None and NoneType in hints:
        return None
    rest = [hint for hint in hints if hint is not NoneType]
    for hint in rest[:-1]:
        try:
            return _value(hint, value, where)
        except TypeError:
            continue
    return _value(rest[-1], value, where)


def _checked(fits: bool, value: object, where: str, wanted: str) -> Any:
    if not fits:
        raise TypeError(f"{where} is {_kind(value)} and should be {wanted}")
    return value


_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _kind(value: object) -> str:
    kinds = {NoneType: "null", dict: "an object", list: "a list", **_NAMES}
    return kinds.get(type(value), "of an unknown type")
