"""Frozen dataclasses that are made fast behave as those of Python."""

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import FrozenInstanceError, field
from typing import Any, ClassVar

import pytest

from runner.domain import frozen

Decorator = Callable[..., Any]


def _classes(dataclass: Decorator) -> tuple[Any, Any, Any]:
    @dataclass(frozen=True)
    class Point:
        KIND: ClassVar[str] = "point"
        x: int
        y: int = 2
        tags: list[str] = field(default_factory=list, hash=False)
        seen: int = field(default=0, compare=False, repr=False)

        def __post_init__(self) -> None:
            if self.x < 0:
                raise ValueError("x")

    @dataclass(frozen=True, kw_only=True)
    class Named(Point):
        name: str

    @dataclass(frozen=True)
    class Own:
        a: int

        def __repr__(self) -> str:
            return "own"

    return Point, Named, Own


Classes = tuple[Any, Any, Any]


@pytest.fixture(params=[dataclasses.dataclass, frozen.dataclass], ids=["python", "fast"])
def classes(request: pytest.FixtureRequest) -> Classes:
    return _classes(request.param)


def test_they_compare_hash_and_print_by_their_fields(classes: Classes) -> None:
    Point, Named, Own = classes
    one = Point(1, tags=["a"], seen=1)
    assert one == Point(1, 2, ["a"], 9)
    assert one != Point(1, 3, ["a"])
    assert one != Named(x=1, y=2, tags=["a"], name="n")
    assert hash(one) == hash(Point(1, tags=["b"]))
    assert len({one, Point(1, tags=["a"]), Point(2)}) == 2
    assert repr(one).endswith("Point(x=1, y=2, tags=['a'])")
    assert repr(Named(1, name="n")).endswith("Named(x=1, y=2, tags=[], name='n')")
    assert repr(Own(1)) == "own"
    assert list(vars(one)) == ["x", "y", "tags", "seen"]


def test_defaults_are_made_each_time(classes: Classes) -> None:
    Point = classes[0]
    Point(1).tags.append("a")
    assert Point(1).tags == []


@pytest.mark.parametrize(
    ("args", "given"), [((), {}), ((1,), {"x": 2}), ((1,), {"z": 1}), ((1, 2, [], 3, 4), {})]
)
def test_what_does_not_fit_is_refused(
    classes: Classes, args: tuple[Any, ...], given: dict[str, Any]
) -> None:
    with pytest.raises(TypeError):
        classes[0](*args, **given)


def test_a_field_by_keyword_is_not_taken_by_position(classes: Classes) -> None:
    with pytest.raises(TypeError):
        classes[1](1, 2, [], 0, "name")


def test_nothing_changes_afterwards(classes: Classes) -> None:
    one = classes[0](1)
    with pytest.raises(FrozenInstanceError):
        one.x = 2
    with pytest.raises(FrozenInstanceError):
        one.new = 2
    with pytest.raises(FrozenInstanceError):
        del one.x
    assert one.x == 1


def test_they_are_copied_replaced_and_taken_apart(classes: Classes) -> None:
    Point, Named, _ = classes
    assert copy.deepcopy(Point(1, tags=["a"])) == Point(1, tags=["a"])
    assert dataclasses.replace(Named(1, name="a"), name="b") == Named(x=1, name="b")
    assert dataclasses.asdict(Named(1, name="a"))["name"] == "a"
    assert Named.__match_args__ == ("x", "y", "tags", "seen")
    with pytest.raises(ValueError, match="x"):
        Point(-1)


def test_a_docstring_stays_and_a_missing_one_is_no_description(classes: Classes) -> None:
    assert classes[0].__doc__.startswith("Point(")
