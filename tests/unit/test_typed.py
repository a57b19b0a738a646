"""Plain data becomes a dataclass only where every type is right."""

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from runner.domain.typed import typed


@dataclass(frozen=True)
class Inner:
    name: str


@dataclass(frozen=True)
class Outer:
    text: str
    number: int = 0
    share: float = 0.0
    on: bool = False
    maybe: str | None = None
    kind: Literal["a", "b"] = "a"
    words: tuple[str, ...] = ()
    ports: dict[str, int] = field(default_factory=dict)
    inner: Inner | None = None
    many: tuple[Inner, ...] = ()
    free: dict[str, Any] | None = None


def test_what_fits_is_taken() -> None:
    data = {
        "text": "x", "number": 1, "share": 1, "on": True, "maybe": None, "kind": "b",
        "words": ["a"], "ports": {"web": 80}, "inner": {"name": "n"},
        "many": [{"name": "m"}], "free": {"a": [1]},
    }  # fmt: skip
    assert typed(Outer, data) == Outer(
        "x", 1, 1, True, None, "b", ("a",), {"web": 80}, Inner("n"), (Inner("m"),), {"a": [1]}
    )
    assert typed(Outer, {"text": "x"}) == Outer("x")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"text": None}, "text is null and should be text"),
        ({"text": 1}, "text is a whole number and should be text"),
        ({"number": True}, "number is true or false and should be a whole number"),
        ({"number": "1"}, "number is text"),
        ({"share": "1"}, "share is text and should be a number"),
        ({"on": 1}, "on is a whole number"),
        ({"maybe": 1}, "maybe is a whole number and should be text"),
        ({"kind": "c"}, "kind is text and should be 'a' or 'b'"),
        ({"kind": []}, "kind is a list"),
        ({"words": "a"}, "words is text and should be a list"),
        ({"words": [1]}, r"words\[0\] is a whole number"),
        ({"ports": None}, "ports is null and should be an object"),
        ({"ports": {"web": "80"}}, "ports.web is text and should be a whole number"),
        ({"inner": "x"}, "inner: it is text and should be an object"),
        ({"inner": {}}, "inner: name is missing"),
        ({"many": [{}]}, "name is missing"),
        ({"free": "x"}, "free is text and should be an object"),
        ({"colour": "red"}, "colour is unknown"),
        ({"inner": {"name": "n", "more": 1}}, "inner: more is unknown"),
    ],
)
def test_every_other_type_is_refused_by_the_name_of_its_field(
    wrong: dict[str, object], said: str
) -> None:
    with pytest.raises(TypeError, match=said):
        typed(Outer, {"text": "x", **wrong})


@pytest.mark.parametrize("data", [None, [], "x", 1, {}])
def test_what_is_no_object_at_all_is_refused(data: object) -> None:
    with pytest.raises(TypeError):
        typed(Outer, data)
