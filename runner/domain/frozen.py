"""`@dataclass(frozen=True)`, made in a tenth of the time.

Python writes the methods of every dataclass as text and compiles it. With eighty of them that is
a third of what a verb needs to start; here the methods are the same functions for all.
"""

import dataclasses
from collections.abc import Callable, Hashable
from dataclasses import MISSING, FrozenInstanceError
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

_T = TypeVar("_T")

if TYPE_CHECKING:  # for a type checker there is no difference
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, frozen: bool, kw_only: bool = False) -> Callable[[type], type]:
        """The decorator, with those options that treedock uses."""
        assert frozen, "others are made by Python's own"
        return lambda cls: _made(cls, kw_only)


def _made(cls: type[_T], kw_only: bool) -> type[_T]:
    # Without one Python writes the signature, which is slow, and which pydantic leaves out.
    cls.__doc__ = cls.__doc__ or f"{cls.__name__}(...)"
    for method in (__init__, __eq__, __hash__, __repr__, __setattr__, __delattr__):
        if method.__name__ not in cls.__dict__:
            setattr(cls, method.__name__, method)
    return dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=kw_only)(cls)


class _Plan(NamedTuple):
    names: list[str]
    by_position: list[str]
    values: dict[str, Any]
    """What a field is by default."""
    makers: dict[str, Callable[[], Any]]
    """What makes the default of a field, each time."""
    compared: list[str]
    hashed: list[str]


@cache
def _plan(cls: Hashable) -> _Plan:
    fields = dataclasses.fields(cast(Any, cls))
    return _Plan(
        [one.name for one in fields],
        [one.name for one in fields if not one.kw_only],
        {one.name: one.default for one in fields if one.default is not MISSING},
        {one.name: one.default_factory for one in fields if one.default_factory is not MISSING},
        [one.name for one in fields if one.compare],
        [one.name for one in fields if (one.compare if one.hash is None else one.hash)],
    )


def _plan_of(one: Any) -> _Plan:
    cls: Any = type(one)
    return _plan(cls)


def __init__(self: Any, /, *args: Any, **given: Any) -> None:
    plan = _plan_of(self)
    values = {**plan.values, **dict(zip(plan.by_position, args, strict=False)), **given}
    for name in plan.makers.keys() - values.keys():
        values[name] = plan.makers[name]()
    twice = given.keys() & set(plan.by_position[: len(args)])
    wrong = sorted(twice | (values.keys() ^ set(plan.names)))
    if wrong or len(args) > len(plan.by_position):
        what = ", ".join(wrong) or f"{len(args)} values by position"
        raise TypeError(f"{type(self).__name__}: missing, unknown, or given twice: {what}")
    self.__dict__.update({name: values[name] for name in plan.names})
    if hasattr(self, "__post_init__"):
        self.__post_init__()


def __eq__(self: Any, other: object) -> bool:
    if type(other) is not type(self):
        return NotImplemented
    return all(getattr(self, name) == getattr(other, name) for name in _plan_of(self).compared)


def __hash__(self: Any) -> int:
    return hash(tuple(getattr(self, name) for name in _plan_of(self).hashed))


def __repr__(self: Any) -> str:
    shown = [one.name for one in dataclasses.fields(self) if one.repr]
    values = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
    return f"{type(self).__qualname__}({values})"


def __setattr__(self: Any, name: str, value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def __delattr__(self: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")
