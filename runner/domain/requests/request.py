"""What all requests have in common."""

from typing import Any, ClassVar, Generic, TypeVar, get_args

from runner.domain.answers import Answer
from runner.domain.frozen import dataclass

A = TypeVar("A", bound=Answer)


@dataclass(frozen=True, kw_only=True)
class Request(Generic[A]):
    """What a face asks for. The type in brackets is the class of the answer."""

    verb: ClassVar[str] = ""
    """As on the command line."""


def answer_of(request: type[Request[Any]]) -> type[Answer]:
    """The class of the answer to a request."""
    bases = (base for one in request.__mro__ for base in getattr(one, "__orig_bases__", ()))
    found = (argument for base in bases for argument in get_args(base))
    return next(one for one in found if isinstance(one, type) and issubclass(one, Answer))
