"""`clean` of several instances: all of them are looked at before the first one goes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from runner.controller.clean import Cleaned
from runner.controller.parallel import STOPS, side_by_side
from runner.domain.errors import RunnerError

_Found = TypeVar("_Found")


@dataclass(frozen=True)
class HeldBack:
    """An instance that could go, and stays because another one was refused."""

    id: str


Answer = Cleaned | HeldBack | RunnerError


def clean_several(
    ids: Sequence[str], look: Callable[[str], object], clean: Callable[[str], Cleaned]
) -> list[Answer]:
    """The answer for each id, in their order. Where `look` raises a RunnerError for one of them,
    `clean` is called for none."""
    looked = side_by_side(lambda id_: _attempt(look, id_), ids)
    if any(isinstance(answer, RunnerError) for answer in looked):
        pairs = zip(ids, looked, strict=True)
        return [a if isinstance(a, RunnerError) else HeldBack(id_) for id_, a in pairs]
    return clean_each(ids, clean)


def clean_each(ids: Sequence[str], clean: Callable[[str], Cleaned]) -> list[Answer]:
    """The answer for each id, whatever becomes of the others."""
    return [*side_by_side(lambda id_: _attempt(clean, id_), ids, STOPS)]


def _attempt(verb: Callable[[str], _Found], instance: str) -> _Found | RunnerError:
    try:
        return verb(instance)
    except RunnerError as error:
        return error
