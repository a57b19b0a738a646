"""`clean` of several instances: all of them are looked at before the first one goes."""

from collections.abc import Callable, Sequence

from runner.controller.parallel import STOPS, attempts
from runner.domain.errors import RunnerError
from runner.domain.frozen import dataclass
from runner.domain.requests.cleanup import Cleaned


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
    looked = attempts(look, ids)
    if any(isinstance(answer, RunnerError) for answer in looked):
        pairs = zip(ids, looked, strict=True)
        return [a if isinstance(a, RunnerError) else HeldBack(id_) for id_, a in pairs]
    return clean_each(ids, clean)


def clean_each(ids: Sequence[str], clean: Callable[[str], Cleaned]) -> list[Answer]:
    """The answer for each id, whatever becomes of the others."""
    return [*attempts(clean, ids, STOPS)]
